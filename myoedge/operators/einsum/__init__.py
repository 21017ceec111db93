# SPDX-License-Identifier: Apache-2.0
"""Import of einsum (sums of products of tensors whose axes are named by letters) as matrix
products, two operands per product."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, reshape, transpose
from myoedge.operators.import_rows import Arguments, ImportRow
from myoedge.operators.indexing import diagonal
from myoedge.operators.library.arithmetic import combined
from myoedge.operators.linear import import_matmul

SPARE = "01234567"  # letters for the axes of an ellipsis
SAME_EXTENTS = "expand the operands first, x.expand(2, -1, -1)"


@dataclass(frozen=True)
class LetteredOperand:
    """An operand of einsum, with one letter per axis.

    x      name of the tensor
    axes   letters of its axes, in order
    """

    x: str
    axes: str


def einsum(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import einsum: sum over axes that only one operand has, then multiply operands from left to
    right."""
    inputs, result = letters(a["equation"], [len(d.shape(x)) for x in a["tensors"]])
    terms = [_take_diagonals(d, *pair) for pair in zip(a["tensors"], inputs, strict=True)]
    _check_letter_extents(d, terms)
    total, *others = terms
    for i, term in enumerate(others):
        needed = {*result, *"".join(t.axes for t in others[i + 1 :])}
        pair = (
            _sum_unneeded_axes(d, total, needed | {*term.axes}),
            _sum_unneeded_axes(d, term, needed | {*total.axes}),
        )
        total = _multiply_operands(d, *pair, needed)
    return _order_axes(d, _sum_unneeded_axes(d, total, {*result}), result)


def letters(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Parse an einsum equation; return the letters of each operand's axes, and those of the
    result's axes.

    ranks   number of axes per operand, for "..."
    Without an arrow, the result has the letters that occur once, sorted.
    """
    left, arrow, result = equation.replace(" ", "").partition("->")
    given = left.split(",")
    if len(given) != len(ranks):
        raise ValueError(f"{equation!r} for {len(ranks)} operands")
    hidden = [n - len(axes.replace("...", "")) for axes, n in zip(given, ranks, strict=True)]
    if any(n < 0 or ("..." not in axes and n) for axes, n in zip(given, hidden, strict=True)):
        raise ValueError(f"{equation!r} for operands of {[*ranks]} axes")
    inputs = [_expand_ellipsis(axes, n) for axes, n in zip(given, hidden, strict=True)]
    result = _expand_ellipsis(
        result if arrow else f"...{_letters_occurring_once(inputs)}", max(hidden)
    )
    if len({*result}) < len(result):
        raise ValueError(f"{equation!r} gives an axis twice")
    return inputs, result


def _letters_occurring_once(inputs: Sequence[str]) -> str:
    """Return the letters that occur once in all operands, sorted; except axes of an ellipsis."""
    counts = Counter("".join(inputs))
    return "".join(sorted(x for x in counts.keys() - {*SPARE} if counts[x] == 1))


def _expand_ellipsis(axes: str, count: int) -> str:
    """Replace an ellipsis "..." by `count` spare letters."""
    return axes.replace("...", SPARE[len(SPARE) - count :])


def _take_diagonals(d: GraphBuilder, x: str, axes: str) -> LetteredOperand:
    """Take the diagonal of axes that share a letter, so that each letter occurs once."""
    while twice := next((axis for axis in axes if axes.count(axis) > 1), ""):
        pair = axes.index(twice), axes.rindex(twice)
        axes = "".join(axis for i, axis in enumerate(axes) if i not in pair) + twice
        shape = [n for i, n in enumerate(d.shape(x)) if i not in pair]
        dims = {"dim1": pair[0], "dim2": pair[1]}
        x = diagonal(d, {"self": x, **dims}, (*shape, d.shape(x)[pair[0]]))
    return LetteredOperand(x, axes)


def bilinear(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import torch's bilinear layer: y[k] = sum over i, j of x1[i] * w[k, i, j] * x2[j] +
    bias[k]."""
    tensors = [a["input1"], a["weight"], a["input2"]]
    y = einsum(d, {"equation": "...i,kij,...j->...k", "tensors": tensors}, out)
    return y if a["bias"] is None else combined(d, "add", y, a["bias"], 1.0, out)


def _check_letter_extents(d: GraphBuilder, terms: Sequence[LetteredOperand]) -> None:
    extents: dict[str, int] = {}
    for term in terms:
        for axis, n in zip(term.axes, d.shape(term.x), strict=True):
            if extents.setdefault(axis, n) != n:
                raise Unsupported("an einsum of operands that broadcast", SAME_EXTENTS)


def _sum_unneeded_axes(d: GraphBuilder, term: LetteredOperand, needed: set[str]) -> LetteredOperand:
    """Sum a term over the axes that are not needed later."""
    gone = tuple(i for i, axis in enumerate(term.axes) if axis not in needed)
    if not gone:
        return term
    axes = "".join(axis for axis in term.axes if axis in needed)
    if term.x in d.constants:
        return LetteredOperand(d.constant(d.array(term.x).sum(gone)), axes)
    return LetteredOperand(d.add("sum", term.x, axes=gone, keepdim=False), axes)


def _order_axes(d: GraphBuilder, term: LetteredOperand, axes: str) -> str:
    order = [term.axes.index(axis) for axis in axes]
    if term.x in d.constants:
        return d.constant(np.transpose(d.array(term.x), order))
    return transpose(d, term.x, order)


def _partition_axes(axes: Iterable[str], chosen: Container[str]) -> tuple[str, str]:
    """Split axes into those in `chosen` and the rest."""
    names = [*axes]
    kept = [axis for axis in names if axis in chosen]
    return "".join(kept), "".join(axis for axis in names if axis not in kept)


def _multiply_operands(
    d: GraphBuilder, left: LetteredOperand, right: LetteredOperand, needed: set[str]
) -> LetteredOperand:
    """Multiply two operands, and sum over their common axes that are not needed later."""
    both = [axis for axis in left.axes if axis in right.axes]
    batch, along = _partition_axes(both, needed)
    (_, rows), (_, columns) = _partition_axes(left.axes, both), _partition_axes(right.axes, both)
    if left.x in d.constants and not batch:
        left, right, rows, columns = right, left, columns, rows
    sizes = dict(zip(left.axes + right.axes, d.shape(left.x) + d.shape(right.x), strict=True))

    def extents(axes: str) -> Shape:
        return tuple(sizes[axis] for axis in axes)

    def merged(term: LetteredOperand, first: str, second: str) -> str:
        x = _order_axes(d, term, batch + first + second)
        shape = (*extents(batch), math.prod(extents(first)), math.prod(extents(second)))
        return d.constant(d.array(x).reshape(shape)) if x in d.constants else reshape(d, x, shape)

    a, b = merged(left, rows, along), merged(right, along, columns)
    if along and not rows + columns:
        a, b = (_order_axes(d, term, batch + along) for term in (left, right))
        y = d.add("mul", a, b)
        axes = tuple(range(len(batch), len(batch + along)))
        y = d.add("sum", y, axes=axes, keepdim=False)
    elif along:
        out = (*d.shape(a)[:-1], d.shape(b)[-1])
        y = import_matmul(d, {"self": a, "other": b}, out)
    else:
        y = d.add("mul", a, b)
    return LetteredOperand(reshape(d, y, extents(batch + rows + columns)), batch + rows + columns)


ROWS = (
    ImportRow("linear matmul mul", einsum, "einsum", "Einsum(*tensors, equation)"),
    ImportRow("linear matmul mul", bilinear, "bilinear"),
)
