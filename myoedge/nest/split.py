# SPDX-License-Identifier: Apache-2.0
"""Sums over joined arrays as one sum per array.

For 8 elements x and 32 elements h, with at[c] = c,

    sum over c of w[c] * where(at[c] < 8, x[c], h[c - 8])

becomes (sum over a of w[a] * x[a]) + (sum over b of w[b + 8] * h[b]) with 8 a and 32 b, where the
choice always has the same side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from itertools import pairwise

from myoedge.nest.ir import Affine, Array, Axis, Binary, Element, Expr, Number, Reduced, walk
from myoedge.nest.rebuild import rebuilt, with_elements, with_operands

JOINED = {"sum": "+", "max": "max", "min": "min"}  # reduction -> operation that joins its parts

Load = Callable[[Array, tuple[Affine, ...]], Expr]


def split_sums(value: Expr, load: Load) -> Expr:
    """Return a formula whose reductions end where a comparison of an axis' index changes.

    load   (array, index) -> the element
    """

    def change(part: Expr, made: Mapping[int, Expr]) -> Expr:
        changed = with_operands(part, made)
        match changed:
            case Reduced(operation, ends=None) if operation in JOINED:
                return _split(changed, load)
        return changed

    return rebuilt(value, change=change)[id(value)]


def _split(part: Reduced, load: Load) -> Expr:
    """Return a reduction as one per run of an axis' indices with equal comparisons."""
    axis, changes = part.axis, {*_changes(part)}
    if not changes:
        return part
    runs = pairwise(sorted({0, *changes, axis.extent}))
    parts = [_run(part, first, end - first, load) for first, end in runs]
    return reduce(lambda a, b: Binary(JOINED[part.operation], a, b), parts)


def _changes(part: Reduced) -> Iterator[int]:
    """Yield the indices of the axis, inside of it, at which a comparison changes."""
    for inner in walk(part.value):
        match inner:
            case Binary("<", Element(array, (Affine(((axis, 1),), const),)), Number(limit)):
                if axis == part.axis and is_index(array) and 0 < limit - const < axis.extent:
                    yield limit - const


def _run(part: Reduced, first: int, extent: int, load: Load) -> Expr:
    """Return the reduction over `extent` indices of the axis from `first` on."""
    axis = Axis(f"{part.axis.name}_{first}", extent)
    place = axis.at + first if extent > 1 else Affine(const=first)

    def moved(i: Affine) -> Affine:
        return Affine(tuple(x for x in i.terms if x[0] != part.axis), i.const) + place * i.stride(
            part.axis
        )

    body = with_elements(part.value, lambda x: load(x.array, tuple(map(moved, x.index))))
    return Reduced(part.operation, axis, body) if extent > 1 else body


def is_index(array: Array) -> bool:
    """Return whether an array is 0, 1, 2, ..."""
    values = array.values
    return (
        values is not None
        and values.ndim == 1
        and bool((values[:1] == 0).all())
        and bool((values[1:] - values[:-1] == 1).all())
    )
