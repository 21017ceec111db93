# SPDX-License-Identifier: Apache-2.0
"""Parts of arrays that loops read: an index per dimension, with overlapping windows and padding.

For windows of three elements, two apart, with an element of padding, x[2 * t + r - 1, c] of an
array [T, C]: dimension 0 is indexed by 2 * t + r from -1 on, dimension 1 by c.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from myoedge.nest.ir import Affine, Axis, Element, Expr, Nest, Number, Reduced
from myoedge.nest.nodes import Taken, all_axes
from myoedge.nest.primitive import Numbers


@dataclass(frozen=True, slots=True)
class LoopView:
    """A view of arrays with one axis per loop; loops that the index does not use have extent 1.

    shape   extent per loop
    steps   per loop, its stride in each dimension of the array
    first   part of the array from the smallest constants of the index on
    """

    shape: tuple[int, ...]
    steps: tuple[tuple[int, ...], ...]
    first: tuple[slice, ...]

    @staticmethod
    def of(index: Sequence[Affine], loops: Sequence[Axis]) -> LoopView:
        steps = tuple(tuple(i.stride(axis) for i in index) for axis in loops)
        shape = tuple(axis.extent if any(s) else 1 for axis, s in zip(loops, steps, strict=True))
        return LoopView(shape, steps, tuple(slice(i.const, None) for i in index))

    def __call__(self, x: Numbers, *, writeable: bool = False) -> Numbers:
        strides = [sum(map(operator.mul, own, x.strides)) for own in self.steps]
        first = x[self.first] if x.size else x
        return as_strided(first, self.shape, strides, writeable=writeable)


def view_of(x: Numbers, index: Sequence[Affine], loops: Sequence[Axis]) -> Numbers:
    """Return a view of an array with one axis per loop, as LoopView."""
    return LoopView.of(index, loops)(x)


def taken(part: Taken, loops: Sequence[Axis], *given: Numbers) -> Numbers:
    """Return an array's elements at computed indices, with one axis per loop, as the indices' type.

    given   an operand and the indices; of a constant the indices alone
    """
    *operands, at = given
    x, index = operands[0] if operands else part.source.array.known, []
    for d, i in enumerate(part.source.index):
        own = np.full((1,) * len(loops), i.const)
        for axis, stride in i.terms:
            shape = [axis.extent if axis == loop else 1 for loop in loops]
            own = own + stride * np.arange(axis.extent).reshape(shape)
        index.append(own + at if d == part.dimension else own)
    return np.asarray(x[tuple(index)], np.asarray(at).dtype)


Term = tuple[int, int]  # loop, stride
Dimension = tuple[int, int, tuple[Term, ...]]  # elements, smallest index, terms


@dataclass(frozen=True, slots=True)
class IndexMap:
    """The dimensions of an array, each indexed by loops.

    shape   elements per dimension
    first   smallest index per dimension; less than 0 where loops read padding
    index   per dimension, (loop, stride) of each loop that moves through it; () for one that is
            read in full
    """

    shape: tuple[int, ...]
    first: tuple[int, ...]
    index: tuple[tuple[Term, ...], ...]

    @property
    def start(self) -> tuple[int, ...]:
        """`first`; () for zeros."""
        return self.first if any(self.first) else ()

    def moves(self, loop: int) -> list[int]:
        """Return the dimensions through which a loop moves: one at most."""
        return [d for d, terms in enumerate(self.index) if loop in dict(terms)]

    def step(self, loop: int, extents: Sequence[int]) -> int:
        """Return the element step of a loop in a part of the array.

        extents   elements of the part per dimension
        """
        return sum(
            dict(self.index[d])[loop] * math.prod(extents[d + 1 :]) for d in self.moves(loop)
        )

    def inside(self, loop: int) -> list[int]:
        """Return the dimensions inside that through which a loop moves."""
        return [d for at in self.moves(loop) for d in range(at + 1, len(self.shape))]


def index_map(
    part: Element, groups: Sequence[Sequence[Axis]], taken: int | None = None
) -> IndexMap | None:
    """Return the index map of an element; None if an axis moves through several dimensions, or
    backwards.

    groups   axes of each loop, of more than one iteration
    taken    the dimension with a computed index, which is as that of a further loop
    """
    if taken is not None:
        computed = Axis("computed", part.array.shape[taken])
        own = tuple(computed.at if d == taken else i for d, i in enumerate(part.index))
        part, groups = Element(part.array, own), [*groups, [computed]]
    part = _without_ones(part)
    used = [_moves_with_axis(i) for i in part.index]
    if not _is_ascending(part, used):
        return None
    loop_of = {group[-1]: number for number, group in enumerate(groups) if group}
    dims = _dimension_groups(used, groups, part.array.width > 1)
    once = tuple((number, 1) for number, group in enumerate(groups) if not group)[:1]
    joined = [_join_dimensions(part, own, loop_of) for own in dims]
    return _index_map(joined, part.array.width > 1, once)


def _moves_with_axis(index: Affine) -> set[Axis]:
    return {axis for axis, _ in index.terms if axis.extent > 1}


def _without_ones(part: Element) -> Element:
    """Return an element without dimensions of one element, of an array with at least one."""
    pairs = [*zip(part.index, part.array.shape, strict=True)]
    kept = [(i, n) for i, n in pairs if n > 1 or _moves_with_axis(i)] or pairs[-1:]
    array = replace(part.array, shape=tuple(n for _, n in kept))
    return Element(array, tuple(i for i, _ in kept))


def _is_ascending(part: Element, used: Sequence[set[Axis]]) -> bool:
    """Return whether each axis moves through one dimension, and forward."""
    is_once = sum(map(len, used)) == len(set[Axis]().union(*used))
    return is_once and all(n > 0 for i in part.index for _, n in i.terms)


def _index_map(
    dims: Sequence[Dimension], is_record: bool, once: tuple[Term, ...]
) -> IndexMap | None:
    """Return an index map; None if loops read a part of a dimension that none moves through.

    once   a loop of one iteration, which moves through dimensions of one fixed element; or ()
    """
    end = len(dims) - is_record
    dims = [*((n, first, terms or once) for n, first, terms in dims[:end]), *dims[end:]]
    if any(n > 1 and not terms for n, _, terms in dims[:end]):
        return None
    shape, first, index = zip(*dims, strict=True)
    return IndexMap(shape, (*first[:-1], 0) if is_record else first, index)


def _join_dimensions(part: Element, dims: range, loop_of: Mapping[Axis, int]) -> Dimension:
    """Return the extent, first index and terms of adjacent dimensions as one."""
    size, first, terms = 1, 0, list[Term]()
    for d in reversed(dims):
        own = part.index[d]
        terms += [(loop_of[axis], n * size) for axis, n in own.terms if axis in loop_of]
        first += own.const * size
        size *= part.array.shape[d]
    return size, first, tuple(terms)


def _dimension_groups(
    used: Sequence[set[Axis]], groups: Sequence[Sequence[Axis]], is_record: bool
) -> list[range]:
    """Return the ranges of dimensions that are one: those of the axes of a loop, and those with the
    same index in all iterations together with their neighbours.

    used        axes per dimension
    is_record   whether the last dimension is that of records
    """
    count = len(used)
    edges, record = {*range(count + 1)}, count - is_record
    for group in groups:
        moved = [d for d, own in enumerate(used) if own & {*group}]
        edges -= {*range(min(moved, default=0) + 1, max(moved, default=0) + 1)}
    fixed = [d for d in range(record) if not used[d]]
    edges -= {d + 1 if d + 1 < record else d for d in fixed}
    return [range(*ends) for ends in pairwise(sorted(edges | {0, record, count}))]


def _index_is_inside(index: Affine, extent: int) -> bool:
    return index.low >= 0 and index.high < extent


def padded_axes(nest: Nest) -> set[Axis]:
    """Return the axes that index a dimension of which some iterations read padding."""
    elements = [part for part in nest.parts if isinstance(part, Element)]
    rows = [x for part in elements for x in zip(part.index, part.array.shape, strict=True)]
    return {axis for i, n in rows if not _index_is_inside(i, n) for axis, _ in i.terms}


def reads_padding(nest: Nest) -> bool:
    """Return whether some iteration reads an element outside of its array: the ends of reductions
    leave none out."""
    loops = all_axes(nest)
    ends = {part.axis: part for part in nest.parts if isinstance(part, Reduced) and part.ends}
    elements = [part for part in nest.parts if isinstance(part, Element)]
    return any(
        not _index_is_inside(i, n) and not _index_stays_inside(i, n, ends, loops)
        for part in elements
        for i, n in zip(part.index, part.array.shape, strict=True)
    )


def _index_stays_inside(
    index: Affine, extent: int, ends: Mapping[Axis, Reduced], loops: Sequence[Axis]
) -> bool:
    """Return whether an index stays inside if reduced axes run from end to end."""
    low: Any = index.const
    high: Any = index.const
    for axis, stride in index.terms:
        first, last = _iteration_bounds(axis, ends.get(axis), loops)
        low, high = low + stride * first, high + stride * last
    return bool(np.min(low) >= 0 and np.max(high) < extent)


def _iteration_bounds(
    axis: Axis, part: Reduced | None, loops: Sequence[Axis]
) -> tuple[Numbers, Numbers]:
    """Return the first and the last iteration of an axis, with one axis per loop."""
    if part is None or part.ends is None:
        shape = [axis.extent if loop == axis else 1 for loop in loops]
        each = np.arange(axis.extent).reshape(shape)
        return each, each
    first, end = (_constant_ends(x, loops) for x in part.ends)
    return first, end - 1


def _constant_ends(part: Expr, loops: Sequence[Axis]) -> Numbers:
    """Return a number, or the values of a constant's element, with one axis per loop."""
    if isinstance(part, Number):
        return np.full((1,) * len(loops), part.value)
    assert isinstance(part, Element), "ends of reductions are constants"
    return view_of(part.array.known, part.index, loops).astype(np.int64)
