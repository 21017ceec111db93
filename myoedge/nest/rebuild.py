# SPDX-License-Identifier: Apache-2.0
"""Formulas made from other formulas, part by part."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import fields, replace
from functools import cache, reduce
from itertools import pairwise
from typing import Any, cast

import numpy as np

from myoedge.nest.ir import (
    Affine,
    Array,
    Axis,
    Binary,
    Element,
    Expr,
    Nest,
    Number,
    Reduced,
    Where,
    as_index,
    walk,
)
from myoedge.nest.nodes import Scan, Taken


def with_elements(value: Expr, load: Callable[[Element], Expr]) -> Expr:
    """Return a formula with each element replaced; equal parts stay one part.

    load   element -> formula in its place
    """
    return with_elements_of([value], load, {})[id(value)]


def with_elements_of(
    values: Sequence[Expr], load: Callable[[Element], Expr], known: dict[int, Expr]
) -> dict[int, Expr]:
    """Return id of each part of formulas -> the part with each element replaced.

    known   results of earlier calls, which are used again and added to
    """

    def change(part: Expr, made: Mapping[int, Expr]) -> Expr:
        if id(part) in known:
            return known[id(part)]
        return load(part) if isinstance(part, Element) else with_operands(part, made)

    known |= rebuilt(*values, change=change)
    return known


def rebuilt(*values: Expr, change: Callable[[Expr, Mapping[int, Expr]], Expr]) -> dict[int, Expr]:
    """Return id of each part of formulas -> the part in its place, operands first.

    change   (part, id of a part before it -> the part in its place) -> part in its place
    """
    made: dict[int, Expr] = {}
    for part in walk(*values):
        made[id(part)] = change(part, made)
    return made


def merged(values: Sequence[Expr]) -> dict[int, Expr]:
    """Return id of each part of formulas -> the one part that stands for all parts equal to it.
    Carried values are equal if their starts and their next values are."""
    known: dict[Hashable, Expr] = {}
    carried = _recurrence_keys(values)

    def change(part: Expr, made: Mapping[int, Expr]) -> Expr:
        own = with_operands(part, made)
        return known.setdefault(carried.get(id(part)) or _structural_key(own, {}), own)

    return rebuilt(*values, change=change)


def _recurrence_keys(values: Sequence[Expr]) -> dict[int, Hashable]:
    """Return id of each carried value -> a key that is equal for values of equal recurrences."""
    numbers: dict[Hashable, int] = {}  # of the structures of parts
    found: dict[int, Hashable] = {}
    for scan in (x for x in walk(*values) if isinstance(x, Scan)):
        own = {id(state): -1 - at for at, state in enumerate(scan.states)}
        for part in walk(*scan.starts, *scan.nexts):
            key = found.get(id(part)) or _structural_key(part, own)
            own.setdefault(id(part), numbers.setdefault(key, len(numbers)))
        changes = tuple(own[id(x)] for x in (*scan.starts, *scan.nexts))
        for at, state in enumerate(scan.states):
            found.setdefault(id(state), (_structural_key(state, {}), at, changes))
    return found


def _structural_key(part: Expr, numbers: Mapping[int, int]) -> Hashable:
    """Return a key that is equal for parts with equal fields.

    numbers   id of an operand -> the number that stands for it, in place of the id
    """

    def key(value: Any) -> Hashable:
        if isinstance(value, tuple):
            return tuple(map(key, value))
        is_part = isinstance(value, (Expr, Array))
        return numbers.get(id(value), id(value)) if is_part else value

    kind: Any = type(part)
    return kind, *(key(getattr(part, name)) for name in _field_names(kind))


@cache
def _field_names(kind: type[Expr]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cast(Any, kind)))


def with_operands(part: Expr, made: Mapping[int, Expr]) -> Expr:
    """Return a part with each operand x replaced by made[id(x)]: the part itself if none changes;
    a comparison of a value with itself, which compilers of C refuse, is a number."""
    for x in part.operands:
        if made[id(x)] is not x:
            break
    else:
        return part
    if isinstance(part, Binary):
        left, right = made[id(part.left)], made[id(part.right)]
        if left is right and part.operation in ("<", "=="):
            return Number(int(part.operation == "=="))
        return Binary(part.operation, left, right)
    kind: Any = type(part)
    values = (getattr(part, name) for name in _field_names(kind))
    return cast(Expr, kind(*(_replace_parts(value, made) for value in values)))


def _replace_parts(value: Any, made: Mapping[int, Expr]) -> Any:
    if isinstance(value, tuple):
        return tuple(_replace_parts(x, made) for x in value)
    return made[id(value)] if isinstance(value, Expr) else value


Key = tuple[str, tuple[int, ...], tuple[Affine, ...], bool]


def records(nest: Nest) -> dict[int, Expr]:
    """Return id of a part -> the part, for formulas that read constants of one type, shape and
    index as records; constants that are summed, or read at computed indices, stay as they are."""
    groups: dict[Key, list[Element]] = {}
    tables = {id(part.element) for part in nest.parts if isinstance(part, Taken)}
    for part in nest.parts:
        if isinstance(part, Element) and _is_plain_constant(part, nest.axes, tables):
            key = part.array.dtype, part.array.shape, part.index, part.array.varies
            groups.setdefault(key, []).append(part)
    made = {
        id(part): element
        for group in groups.values()
        if len(group) > 1
        for part, element in zip(group, _record_elements(group), strict=True)
    }
    values = [value for _, value in nest.results]
    return with_elements_of(values, lambda part: made.get(id(part), part), {})


def _is_plain_constant(part: Element, axes: Sequence[Axis], tables: Set[int]) -> bool:
    """Return whether an element is of a constant, and the result's loops alone index it.

    tables   ids of elements with a computed index
    """
    is_constant = part.array.values is not None and id(part) not in tables
    return is_constant and all(axis in axes for index in part.index for axis, _ in index.terms)


def _record_elements(parts: Sequence[Element]) -> list[Expr]:
    """Return the elements of one array in which elements of several arrays lie side by side."""
    arrays = {id(part.array): part.array for part in parts}
    values = np.stack([array.known for array in arrays.values()], axis=-1)
    varies = parts[0].array.varies
    kind, width = values.dtype.name, len(arrays)
    array = Array("constants", kind, values.shape, values, width=width, varies=varies)
    at = {known: number for number, known in enumerate(arrays)}
    return [Element(array, (*part.index, as_index(at[id(part.array)]))) for part in parts]


SIDES_MAX = 4  # formulas of an iteration


def with_sides(nest: Nest) -> Nest:
    """Return a description without the axis that chooses between formulas, with a result for each
    of its indices in one array; the description itself if there is none."""
    axis = next((x for part in nest.parts if (x := _choosing_axis(part))), None)
    if axis is None or not _can_compute_sides(nest, axis):
        return nest
    value, *others = (_formula_at_index(nest.value, axis, n) for n in range(axis.extent))
    return replace(
        nest,
        axes=tuple(x for x in nest.axes if x != axis),
        at=tuple(_fix_index(i, axis, 0) for i in nest.at),
        value=value,
        more=tuple((nest.out, other) for other in others),
    )


def _can_compute_sides(nest: Nest, axis: Axis) -> bool:
    """Return whether an iteration may compute a result for each index of an axis."""
    is_plain = not nest.more and not any(isinstance(part, Reduced) for part in nest.parts)
    return is_plain and axis in nest.axes and axis.extent <= SIDES_MAX


def _choosing_axis(part: Expr) -> Axis | None:
    """Return the axis whose index alone decides a choice."""
    match part:
        case Where(Binary("==", Element(_, (Affine(((axis, 1),)),)) as at, Number())):
            is_known = at.array.values is not None and not at.array.varies
            return axis if is_known else None
    return None


def _formula_at_index(value: Expr, axis: Axis, number: int) -> Expr:
    """Return a formula at an index of an axis; what does not depend on the axis stays one part."""

    def change(part: Expr, made: Mapping[int, Expr]) -> Expr:
        match part:
            case Where(Binary(_, Element() as at, Number(chosen))) if _choosing_axis(part) == axis:
                is_chosen = at.array.known[number + at.index[0].const] == chosen
                return made[id(part.then if is_chosen else part.otherwise)]
            case Element(array, index) if any(i.stride(axis) for i in index):
                return Element(array, tuple(_fix_index(i, axis, number) for i in index))
        return with_operands(part, made)

    return rebuilt(value, change=change)[id(value)]


def _fix_index(index: Affine, axis: Axis, number: int) -> Affine:
    """Return an index in an iteration of an axis."""
    terms = tuple(term for term in index.terms if term[0] != axis)
    return Affine(terms, index.const + number * index.stride(axis))


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
                return _split_reduction(changed, load)
        return changed

    return rebuilt(value, change=change)[id(value)]


def _split_reduction(part: Reduced, load: Load) -> Expr:
    """Return a reduction as one per run of an axis' indices with equal comparisons."""
    axis, changes = part.axis, {*_comparison_changes(part)}
    if not changes:
        return part
    runs = pairwise(sorted({0, *changes, axis.extent}))
    parts = [_reduction_of_run(part, first, end - first, load) for first, end in runs]
    return reduce(lambda a, b: Binary(JOINED[part.operation], a, b), parts)


def _comparison_changes(part: Reduced) -> Iterator[int]:
    """Yield the indices of the axis, inside of it, at which a comparison changes."""
    for inner in walk(part.value):
        match inner:
            case Binary("<", Element(array, (Affine(((axis, 1),), const),)), Number(limit)):
                if axis == part.axis and is_index(array) and 0 < limit - const < axis.extent:
                    yield limit - const


def _reduction_of_run(part: Reduced, first: int, extent: int, load: Load) -> Expr:
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
