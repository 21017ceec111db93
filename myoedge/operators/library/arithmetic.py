# SPDX-License-Identifier: Apache-2.0
"""Import of sums, products, quotients, remainders and powers of tensors and numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.graph.match import require
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import evaluate
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, reshape
from myoedge.operators.import_rows import Arguments, Row, one_by_one
from myoedge.operators.library.known_values import NOT, arguments, is_truth, producer, results
from myoedge.operators.library.masks import once
from myoedge.operators.library.nonfinite import VALUES, Nonfinite

ROUNDINGS = ("floor", "trunc")
BY_LOGARITHM = "use (exponent * x.log()).exp(), x being positive"


def number_of(d: GraphBuilder, value: Any) -> float | None:
    """Return an argument as a float if it is a number or a one-element constant; None for other
    tensors."""
    if isinstance(value, int | float):
        return float(value)
    constant = d.find_array(value)
    return float(constant.reshape(-1)[0]) if constant is not None and constant.size == 1 else None


def binary(op: str) -> Row:
    """Return a function that imports add, sub or mul; the optional argument `alpha` multiplies the
    second operand."""
    return lambda d, a, out: combined(d, op, a["self"], a["other"], a.get("alpha", 1.0), out)


def combined(d: GraphBuilder, op: str, left: Any, right: Any, alpha: float, out: Shape) -> str:
    """Add left op alpha * right to the graph: as a pointwise function if one operand is a number,
    otherwise as a node.

    op    "add", "sub" or "mul"
    out   shape of the result; a one-element operand may have more axes than the other one
    """
    a, b = number_of(d, left), number_of(d, right)
    if any(map(math.isinf, filter(None, (a, b)))):
        raise Unsupported(f"{op} with an infinity")
    sign = float(alpha) if op == "add" else -float(alpha)
    if b is not None and not isinstance(left, int | float):
        step = ("affine", b, 0.0) if op == "mul" else ("affine", 1.0, sign * b)
        return reshape(d, d.add("table", left, chain=(step,)), out)
    if a is not None and not isinstance(right, int | float):
        step = ("affine", a, 0.0) if op == "mul" else ("affine", sign, a)
        return reshape(d, d.add("table", right, chain=(step,)), out)
    return d.add(op, left, times(d, right, float(alpha)))


def times(d: GraphBuilder, x: str, factor: float) -> str:
    if factor == 1.0:
        return x
    if x in d.constants:
        return d.constant(np.float32(factor) * d.array(x))
    return d.add("table", x, chain=(("affine", factor, 0.0),))


def div(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    if mode := a.get("rounding_mode"):
        if is_rounded_quotient(d, a, mode):
            chain = (quotient(d, a["other"]), (mode,))
            return reshape(d, d.add("table", a["self"], chain=chain), out)
        y = div(d, {**a, "rounding_mode": None}, out)
        if y in d.constants or mode not in ROUNDINGS:
            raise Unsupported(f"div with rounding_mode={mode!r}")
        return d.add("table", y, chain=((mode,),))
    left, right = a["self"], a["other"]
    divisor = number_of(d, right)
    if divisor == 0.0:
        raise Unsupported("division by zero")
    if divisor is not None:
        return combined(d, "mul", left, 1.0 / divisor, 1.0, out)
    if right in d.constants:
        return d.add("mul", left, d.constant(1.0 / d.array(right)))
    return combined(d, "mul", left, d.add("table", right, chain=(("reciprocal",),)), 1.0, out)


def is_rounded_quotient(d: GraphBuilder, a: Arguments, mode: str) -> bool:
    """Return whether a call divides a tensor by a number and rounds the quotient.

    mode   rounding_mode: "floor", or "trunc" for rounding toward zero
    """
    is_computed = isinstance(a["self"], str) and a["self"] not in d.constants
    return is_computed and mode in ROUNDINGS and bool(number_of(d, a["other"]))


def quotient(d: GraphBuilder, divisor: Any) -> tuple[str, float]:
    """Return the pointwise function x / divisor in float32.

    It is not a product with the reciprocal, because 49 * (1 / 49) < 1 would floor to 0.
    """
    number = float(np.float32(number_of(d, divisor)))
    if number == 0.0:
        raise Unsupported("division by zero")
    return "quotient", number


def rest(rounding: str) -> Row:
    """Return a function that imports the remainder of a division by a number, x - round(x / y) * y.

    rounding   "floor", or "trunc" for rounding toward zero
    """

    def row(d: GraphBuilder, a: Arguments, out: Shape) -> str:
        if not is_rounded_quotient(d, a, rounding):
            raise Unsupported("a remainder of a division by anything but a number")
        divided = quotient(d, a["other"])
        steps = (divided, (rounding,), ("affine", -divided[1], 0.0))
        chain = (("total", (("affine", 1.0, 0.0),), steps),)
        return reshape(d, d.add("table", a["self"], chain=chain), out)

    return row


def modulo(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    return str(rest("trunc" if a["fmod"] else "floor")(d, a, out))


def pow(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    exponent, base = number_of(d, a["exponent"]), number_of(d, a["self"])
    if base is not None and base <= 0.0:
        raise Unsupported(f"pow with the base {base:g}")
    if base is not None:
        chain: tuple[Any, ...] = (("affine", math.log(base), 0.0), ("exp",))
        return reshape(d, d.add("table", a["exponent"], chain=chain), out)
    if exponent is None:
        raise Unsupported("pow with an exponent that is a tensor", BY_LOGARITHM)
    return reshape(d, d.add("table", a["self"], chain=(("pow", exponent),)), out)


total = one_by_one(binary("add"))


def average(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import the mean of any number of tensors."""
    return times(d, total(d, a, out), 1.0 / len(a["tensors"]))


BOTH_ENDS: Mapping[str, np.ufunc] = {"mul": np.multiply, "maximum": np.maximum}  # of truth values
Known = Mapping[str, Array]  # truth values, and arguments of functions, that are taken as known


def chosen(known: Nonfinite, x: str, mask: str) -> str:
    """Return x where a mask is 1 and 0 elsewhere, also if x is infinite or NaN there.

    Values that are infinite or NaN and that the mask leaves are known for further guards.
    Errors: Unsupported; NoMatch if the mask hides none of them for certain.
    """
    kinds = {kind: test for kind in VALUES if (test := known.where(x, kind))}
    left = {
        kind: test for kind, test in kinds.items() if not _is_masked_where(known, x, test, mask)
    }
    require(len(left) < len(kinds))
    y = once(known.d, "mul", known.finite(x), mask)
    known.add_selection(y, {kind: known.both(test, mask) for kind, test in left.items()})
    return y


def _is_masked_where(known: Nonfinite, x: str, test: str, mask: str) -> bool:
    """Return whether a mask is 0 wherever x is of a kind, which `test` tells."""
    known = Nonfinite.of(known.d)  # with the nodes of the test
    there: Known = {known.first.get(test, test): np.ones(1)}
    sources = ({base: at} for base, at in _nonfinite_arguments(known, x))
    return _is_zero_for(known, mask, there) or all(_is_zero_for(known, mask, at) for at in sources)


def _nonfinite_arguments(known: Nonfinite, x: str) -> Iterator[tuple[str, Array]]:
    """Yield the arguments for which functions that x is computed from are not finite; "" in place
    of the argument for what a selection has left."""
    pending, seen = [x], {x}
    while pending:
        name = pending.pop()
        if known.finite(name) == name:
            yield "", np.ones(1)
            continue
        node = known.operator(name)
        read = node.inputs
        if node.op == "table":
            base, chain = known.runs[node.name]
            sign, read = known.sign(base), (base,)
            wrong = arguments(sign)[~np.isfinite(results(chain, sign))]
            wrong = np.intersect1d(wrong, (0.0, 1.0)) if is_truth(known.d, base) else wrong
            if wrong.size:
                yield base, wrong
        further = [name for name in read if name in known.possible and name not in seen]
        pending += further
        seen.update(further)


def _is_zero_for(known: Nonfinite, mask: str, values: Known) -> bool:
    return not np.any(_truth_bounds(known, mask, _imply_factor_values(known, values))[1])


def _imply_factor_values(known: Nonfinite, values: Known) -> Known:
    """Return known values, and the factors of products of truth values that are all 1."""
    found, pending = dict(values), [x for x, value in values.items() if (value == 1.0).all()]
    while pending:
        x = known.first.get(pending.pop(), "")
        node = producer(known.d, x)
        read = node.inputs if node and node.op == "mul" and is_truth(known.d, x) else ()
        pending += [name for name in read if name not in found]
        found.update(dict.fromkeys(read, np.ones(1)))
    return found


def _truth_bounds(known: Nonfinite, x: str, values: Known) -> tuple[Array, Array]:
    """Return the smallest and largest value of a truth value, given values of some tensors."""
    x = known.first.get(x, x)
    base, chain = known.runs.get(x, (x, ()))
    if x in values:
        return values[x], values[x]
    if base in values:
        return (exact := evaluate(chain, values[base])), exact
    node = producer(known.d, x)
    if node is None:
        return np.zeros(1), np.ones(1)
    if node.attrs.get("chain") == NOT:
        low, high = _truth_bounds(known, node.inputs[0], values)
        return 1.0 - high, 1.0 - low
    if node.op in BOTH_ENDS and is_truth(known.d, x):
        ends = zip(*(_truth_bounds(known, name, values) for name in node.inputs), strict=True)
        low, high = (BOTH_ENDS[node.op](*pair) for pair in ends)
        return low, high
    return np.zeros(1), np.ones(1)
