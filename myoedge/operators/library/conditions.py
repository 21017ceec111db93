# SPDX-License-Identifier: Apache-2.0
"""Import of conditions: comparisons, logic, selection by a mask.

Booleans are tensors of ones and zeros. Integers are compared by a table, floats with a number at
the resolution of their quantisation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.graph.match import attempt
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT32
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, expand, reshape
from myoedge.operators.import_rows import Arguments, Row, first
from myoedge.operators.library.arithmetic import chosen, combined
from myoedge.operators.library.known_values import (
    COMPARED,
    NOT,
    calculated,
    is_truth,
    producer,
    span_of,
)
from myoedge.operators.library.masks import LOST, MASK_GAP, full
from myoedge.operators.library.nonfinite import TESTS, Nonfinite

SWAPPED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}
BY_ELEMENT = ("add", "maximum", "mul", "sub", "table", "where")
FILL = -20.0 * MASK_GAP  # a fill this low hides elements, unless the other values reach it
# taken off hidden scores: in their rows none of them is left over
MASK_OFFSET = 2.0**10 * LOST
MOST_ROWS = 2**16  # rows of a comparison's table
AS_FLOATS = (
    "compute with floats: a float32 input, in addition to the ids, for arithmetic on their values"
)
BY_INTEGERS = (
    "use an input of integers for indices, an argmax, or sums, products, quotients and remainders "
    "of these"
)
STAY_FLOATS = "use x.floor(), x.trunc() or x.round(), which stay floats"


def compare(name: str) -> Row:
    """Return a function that imports a comparison such as a < b, in which one side must be a number
    or a constant.

    name   the comparison
    """

    def row(d: GraphBuilder, a: Arguments, out: Shape) -> str:
        left, right = first(a), a["other"]
        if left in d.constants:
            return compared(d, SWAPPED[name], right, left, out)
        return compared(d, name, left, right, out)

    return row


def compared(d: GraphBuilder, name: str, x: str, other: Any, out: Shape) -> str:
    """Compare x with a number or a constant; return the result's name, with 1.0 for true and 0.0
    for false.

    name   the comparison
    out    shape of the result
    """
    value = value_of(d, other)
    if (guard := _match_nonfinite_test(d, name, x, other, value)) is not None:
        return full(d, guard, out)
    if value is None or (d.dtype(x) == "float32" and value.size > 1):
        if {d.dtype(x), d.dtype(other)} != {"float32"}:
            return calculated(d, "integer_compare", name, x, other, out)
        return d.add("table", d.add("sub", x, other), chain=((name, 0.0),))
    if d.dtype(x) == "float32":
        number = float(value.reshape(-1)[0])
        return reshape(d, d.add("table", x, chain=((name, number),)), out)
    return _compare_with_constant(d, name, x, value, out)


def _match_nonfinite_test(
    d: GraphBuilder, name: str, x: str, other: Any, value: Array | None
) -> str | None:
    """Return the test for infinity or NaN that x == inf, x != inf, x == x and x != x are; None for
    other comparisons."""
    if name not in ("eq", "ne") or d.dtype(x) != "float32":
        return None
    if x == other:
        found = is_of(d, x, "nan")
    elif value is not None and value.size == 1 and math.isinf(value.reshape(-1)[0]):
        found = is_of(d, x, "posinf" if value.reshape(-1)[0] > 0 else "neginf")
    else:
        return None
    return found if name == ("ne" if x == other else "eq") else d.add("table", found, chain=NOT)


INFINITIES, INFINITE = ("posinf", "neginf"), (("is_inf",),)


def is_of(d: GraphBuilder, x: str, *kinds: str) -> str:
    """Return a tensor that is 1 where x is infinite or NaN, of one of these kinds, 0 elsewhere."""
    known = Nonfinite.of(d)
    if x not in known.possible or known.is_one_function(x):
        chains = [INFINITE] if kinds == INFINITIES else [TESTS[kind] for kind in kinds]
        tests = (d.add("table", x, chain=chain) for chain in chains)
    else:
        tests = (known.where(x, kind) for kind in kinds)
    found = known.union(*tests) or d.constant(np.zeros(1, np.float32))
    return full(d, found, d.shape(x))


def tested(*kinds: str, negated: bool) -> Row:
    """Return a function that imports isnan, isinf or isfinite.

    kinds     of the values that are sought
    negated   whether the result is 1 for all other values
    """

    def row(d: GraphBuilder, a: Arguments, out: Shape) -> str:
        found = is_of(d, first(a), *kinds)
        return d.add("table", found, chain=NOT) if negated else found

    return row


def is_never(d: GraphBuilder, condition: str) -> bool:
    """Return whether a condition asks whether a tensor is NaN that is certain to be finite."""
    test = producer(d, condition)
    is_nan = test is not None and test.attrs.get("chain") == TESTS["nan"]
    return is_nan and test is not None and test.inputs[0] not in Nonfinite.of(d).possible


def _compare_with_constant(d: GraphBuilder, name: str, x: str, value: Array, out: Shape) -> str:
    """Compare integers with a constant: by a table for the integers near it, or by the comparison
    operator if the constant has many or distant values."""
    shape, own = d.shape(x), [n for n in value.shape if n > 1] and value.shape
    lead = len(out) - len(own)
    if math.isinf(float(np.abs(value).max())):
        raise Unsupported("a comparison of integers with an infinity")
    near = (math.floor(value.min()) - 1, math.ceil(value.max()) + 1)
    low, high = (min(max(number, INT32.low), INT32.high) for number in near)
    if any(n > 1 for n in shape[len(shape) - len(own) :] if own) or high - low >= MOST_ROWS:
        return calculated(d, "integer_compare", name, x, d.constant(value), out)
    ids = reshape(d, x, out[:lead])
    numbers = np.arange(low, high + 1).reshape(-1, *(1,) * len(own))
    table = COMPARED[name](numbers, value.reshape(tuple(own)))
    return reshape(d, rows_by(d, ids, table, first_id=low, bounded=False), out)


def rows_by(
    d: GraphBuilder, ids: str, table: Array | str, *, first_id: int = 0, bounded: bool = True
) -> str:
    """Look up rows of a constant table by the integers `ids`; return the result's name.

    first_id   integer of row 0
    bounded    whether integers outside the table are the user's error; otherwise they are clamped
    """
    dtype = d.dtype(ids)
    if dtype not in ("int32", "uint8"):
        reason = "indices that are neither an integer input nor the result of argmax"
        raise Unsupported(reason, BY_INTEGERS)
    name = table if isinstance(table, str) else d.constant(np.asarray(table, np.float32))
    rows = d.shape(name)[0] if bounded else 0
    return d.add("embedding", ids, name, first=first_id, rows=rows, dtype=dtype)


def truth(d: GraphBuilder, x: str) -> str:
    """Convert a tensor to truth values: 1 where x is not 0, and 0 elsewhere."""
    if is_truth(d, x):
        return x
    if x in d.constants:
        return d.constant((d.array(x) != 0).astype(np.float32))
    return compared(d, "ne", x, 0, d.shape(x))


def logical_not(d: GraphBuilder, a: Arguments, out: Any) -> str:
    return d.add("table", truth(d, first(a)), chain=NOT)


def logical(op: str) -> Row:
    """Return a function that imports "and" (product) or "or" (maximum) of booleans."""
    return lambda d, a, out: d.add(op, *_boolean_operands(d, a))


def exclusive_or(d: GraphBuilder, a: Arguments, out: Any) -> str:
    return compared(d, "ne", *_boolean_operands(d, a), out)


def _boolean_operands(d: GraphBuilder, a: Arguments) -> tuple[str, str]:
    """Return both operands as booleans; the second one may be True or False."""
    other = a["other"] if isinstance(a["other"], str) else d.constant(np.array(a["other"]))
    return truth(d, first(a)), truth(d, other)


def converted(d: GraphBuilder, x: str, to: str) -> str:
    """Convert a tensor to "bool", "int" or "float"; booleans are already floats 0 and 1.

    Errors: Unsupported for input integers as floats, and for floats truncated to integers.
    """
    if x in d.constants:
        return x
    whole = d.dtype(x) != "float32"
    if to == "bool":
        return truth(d, x)
    if to == "float" and whole:
        low, high = span_of(d, x) or (INT32.low, INT32.high)
        if high - low >= MOST_ROWS:
            raise Unsupported("indices that are read as numbers", AS_FLOATS)
        return rows_by(d, x, np.arange(low, high + 1.0), first_id=low)
    if to == "int" and not (whole or is_truth(d, x)):
        raise Unsupported("floats cut to integers inside the network", STAY_FLOATS)
    return x


# --- choices --------------------------------------------------------------------------------------


def choice(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import where(condition, x, y) with a computed condition, for tensors or numbers.

    A fill that hides elements from a softmax becomes an addend instead, because masks are
    recognised in sums.
    """
    mask, x, y = truth(d, a["condition"]), a["self"], a["other"]
    if _is_mask_fill(d, x):
        return expand(d, _add_scaled_mask(d, y, mask, -MASK_OFFSET, 0.0), out)
    if _is_mask_fill(d, y):
        return expand(d, _add_scaled_mask(d, x, mask, MASK_OFFSET, -MASK_OFFSET), out)
    if _are_plain_operands(d, x, y) and len(_elementwise_leaves(d, mask, x, y)) > 1:
        return expand(d, d.add("where", mask, x, y), out)
    sides = [
        side
        for side in (_selected_operand(d, x, mask, ()), _selected_operand(d, y, mask, NOT))
        if side
    ]
    total = d.add("add", *sides) if len(sides) == 2 else (sides or [d.constant(np.zeros(out))])[0]
    return expand(d, total, out)


def added_mask(d: GraphBuilder, mask: str) -> str:
    """Return the addend of attention scores for a computed mask: 0 for true, a large negative
    number for false."""
    chain = (("affine", MASK_OFFSET, -MASK_OFFSET),)
    return mask if mask in d.constants else d.add("table", mask, chain=chain)


def _is_mask_fill(d: GraphBuilder, side: Any) -> bool:
    value = value_of(d, side)
    return value is not None and bool((value <= FILL).all())


def _are_plain_operands(d: GraphBuilder, x: Any, y: Any) -> bool:
    """Return whether both sides of a choice are computed, finite for certain, and no truth values,
    whose choices are truth values."""
    sides = [side for side in (x, y) if isinstance(side, str) and side not in d.constants]
    finite = Nonfinite.of(d).possible.keys().isdisjoint(sides)
    return len(sides) == 2 and finite and not (is_truth(d, x) and is_truth(d, y))


def _elementwise_leaves(d: GraphBuilder, *names: str) -> set[str]:
    """Return the tensors of which others are functions, element by element: of one tensor, they
    become one table."""
    ahead, found, leaves = [*names], set[str](), set[str]()
    while ahead:
        name = ahead.pop()
        if name in found or name in d.constants:
            continue
        found.add(name)
        node = producer(d, name)
        if node is not None and node.op in BY_ELEMENT:
            ahead += node.inputs
        else:
            leaves.add(name)
    return leaves


def _add_scaled_mask(d: GraphBuilder, x: Any, mask: str, factor: float, offset: float) -> str:
    """Add x + factor * mask + offset to the graph; return the result's name."""
    if isinstance(x, int | float):
        return d.add("table", mask, chain=(("affine", factor, offset + float(x)),))
    return d.add("add", x, d.add("table", mask, chain=(("affine", factor, offset),)))


def _selected_operand(d: GraphBuilder, side: Any, mask: str, chain: tuple[Any, ...]) -> str:
    """Return one operand of a selection, with zeros where the other operand is selected; "" if it
    is 0 everywhere."""
    value = value_of(d, side)
    if value is not None and not value.any():
        return ""
    if value is not None and not np.isfinite(value).all():
        raise Unsupported("a choice between an infinity and numbers that no softmax reads")
    if value is not None and value.size == 1:
        scale = (("affine", float(value.reshape(-1)[0]), 0.0),)
        return d.add("table", mask, chain=(*chain, *scale))
    known, kept = Nonfinite.of(d), d.add("table", mask, chain=chain) if chain else mask
    found = attempt(chosen, known, side, kept) if side in known.possible else None
    return found or d.add("mul", side, kept)


def value_of(d: GraphBuilder, x: Any) -> Array | None:
    """Return a number or a constant's value; None for a computed tensor."""
    return np.asarray(x, np.float32) if isinstance(x, int | float) else d.find_array(x)


def where(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import where(mask, x, y) with a constant mask as mask * x + (1 - mask) * y, otherwise as
    `choice`."""
    if is_never(d, a["condition"]):
        return expand(d, a["other"], out)
    if a["condition"] not in d.constants:
        return choice(d, a, out)
    chosen = d.array(a["condition"]).astype(bool)
    sides = ((a["self"], chosen), (a["other"], ~chosen))
    (x, kept), (y, _) = sides if value_of(d, a["self"]) is None else sides[::-1]
    value = value_of(d, y)
    if value is None:
        pairs = ((x, kept), (y, ~kept))
        x, y = (d.add("mul", z, d.constant(mask.astype(np.float32))) for z, mask in pairs)
        return expand(d, combined(d, "add", x, y, 1.0, out), out)
    rest = np.where(kept, np.float32(0), value)
    left = kept | np.isneginf(rest)  # to x itself minus infinity may be added
    if not left.all():
        x = d.add("mul", x, d.constant(left.astype(np.float32)))
    return expand(d, combined(d, "add", x, d.constant(rest), 1.0, out) if rest.any() else x, out)
