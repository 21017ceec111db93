# SPDX-License-Identifier: Apache-2.0
"""Axes whose index chooses between formulas: an iteration computes all of them.

For y[k, s] = where(at[s] == 0, x[k, 0] + x[k, 1], x[k, 0] - x[k, 1]) with two s, an iteration over
k reads x[k, 0] and x[k, 1] once, and writes y[k, 0] and y[k, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from myoedge.nest.ir import Affine, Axis, Binary, Element, Expr, Nest, Number, Reduced, Where
from myoedge.nest.rebuild import rebuilt, with_operands

SIDES_MAX = 4  # formulas of an iteration


def with_sides(nest: Nest) -> Nest:
    """Return a description without the axis that chooses between formulas, with a result for each
    of its indices in one array; the description itself if there is none."""
    axis = next((x for part in nest.parts if (x := _choosing(part))), None)
    if axis is None or not _has_sides(nest, axis):
        return nest
    value, *others = (_side(nest.value, axis, n) for n in range(axis.extent))
    return replace(
        nest,
        axes=tuple(x for x in nest.axes if x != axis),
        at=tuple(_fixed(i, axis, 0) for i in nest.at),
        value=value,
        more=tuple((nest.out, other) for other in others),
    )


def _has_sides(nest: Nest, axis: Axis) -> bool:
    """Return whether an iteration may compute a result for each index of an axis."""
    is_plain = not nest.more and not any(isinstance(part, Reduced) for part in nest.parts)
    return is_plain and axis in nest.axes and axis.extent <= SIDES_MAX


def _choosing(part: Expr) -> Axis | None:
    """Return the axis whose index alone decides a choice."""
    match part:
        case Where(Binary("==", Element(_, (Affine(((axis, 1),)),)) as at, Number())):
            is_known = at.array.values is not None and not at.array.varies
            return axis if is_known else None
    return None


def _side(value: Expr, axis: Axis, number: int) -> Expr:
    """Return a formula at an index of an axis; what does not depend on the axis stays one part."""

    def change(part: Expr, made: Mapping[int, Expr]) -> Expr:
        match part:
            case Where(Binary(_, Element() as at, Number(chosen))) if _choosing(part) == axis:
                is_chosen = at.array.known[number + at.index[0].const] == chosen
                return made[id(part.then if is_chosen else part.otherwise)]
            case Element(array, index) if any(i.stride(axis) for i in index):
                return Element(array, tuple(_fixed(i, axis, number) for i in index))
        return with_operands(part, made)

    return rebuilt(value, change=change)[id(value)]


def _fixed(index: Affine, axis: Axis, number: int) -> Affine:
    """Return an index in an iteration of an axis."""
    terms = tuple(term for term in index.terms if term[0] != axis)
    return Affine(terms, index.const + number * index.stride(axis))
