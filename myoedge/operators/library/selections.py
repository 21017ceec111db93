# SPDX-License-Identifier: Apache-2.0
"""Selection by a mask from tensors that may be infinite or NaN where the mask is 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from myoedge.graph.match import require
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import evaluate
from myoedge.operators.library.known_values import NOT, arguments, is_truth, producer, results
from myoedge.operators.library.masks import once
from myoedge.operators.library.nonfinite import VALUES, Nonfinite

BOTH_ENDS: Mapping[str, np.ufunc] = {"mul": np.multiply, "maximum": np.maximum}  # of truth values
Known = Mapping[str, Array]  # truth values, and arguments of functions, that are taken as known


def chosen(known: Nonfinite, x: str, mask: str) -> str:
    """Return x where a mask is 1 and 0 elsewhere, also if x is infinite or NaN there.

    Values that are infinite or NaN and that the mask leaves are known for further guards.
    Errors: Unsupported; NoMatch if the mask hides none of them for certain.
    """
    kinds = {kind: test for kind in VALUES if (test := known.where(x, kind))}
    left = {kind: test for kind, test in kinds.items() if not _is_hidden(known, x, test, mask)}
    require(len(left) < len(kinds))
    y = once(known.d, "mul", known.finite(x), mask)
    known.add_selection(y, {kind: known.both(test, mask) for kind, test in left.items()})
    return y


def _is_hidden(known: Nonfinite, x: str, test: str, mask: str) -> bool:
    """Return whether a mask is 0 wherever x is of a kind, which `test` tells."""
    known = Nonfinite.of(known.d)  # with the nodes of the test
    there: Known = {known.first.get(test, test): np.ones(1)}
    sources = ({base: at} for base, at in _sources(known, x))
    return _is_zero(known, mask, there) or all(_is_zero(known, mask, at) for at in sources)


def _sources(known: Nonfinite, x: str) -> Iterator[tuple[str, Array]]:
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


def _is_zero(known: Nonfinite, mask: str, values: Known) -> bool:
    return not np.any(_bounds(known, mask, _implied(known, values))[1])


def _implied(known: Nonfinite, values: Known) -> Known:
    """Return known values, and the factors of products of truth values that are all 1."""
    found, pending = dict(values), [x for x, value in values.items() if (value == 1.0).all()]
    while pending:
        x = known.first.get(pending.pop(), "")
        node = producer(known.d, x)
        read = node.inputs if node and node.op == "mul" and is_truth(known.d, x) else ()
        pending += [name for name in read if name not in found]
        found.update(dict.fromkeys(read, np.ones(1)))
    return found


def _bounds(known: Nonfinite, x: str, values: Known) -> tuple[Array, Array]:
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
        low, high = _bounds(known, node.inputs[0], values)
        return 1.0 - high, 1.0 - low
    if node.op in BOTH_ENDS and is_truth(known.d, x):
        ends = zip(*(_bounds(known, name, values) for name in node.inputs), strict=True)
        low, high = (BOTH_ENDS[node.op](*pair) for pair in ends)
        return low, high
    return np.zeros(1), np.ones(1)
