# SPDX-License-Identifier: Apache-2.0
"""Descriptions of element-wise functions as few loops over arrays with a step per loop."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from myoedge.nest.ir import Array, Axis, Element, Nest, Reduced
from myoedge.numerics.arrays import strides


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop over broadcast arrays.

    extent   number of iterations
    steps    index step of each array per iteration; 0 for a broadcast one
    """

    extent: int
    steps: tuple[int, ...]


def collapse_loops(out: Sequence[int], arrays: Sequence[Sequence[int]]) -> tuple[Loop, ...]:
    """Return as few loops over `out` as possible: axes of size 1 are dropped, and adjacent axes
    merged if all arrays are contiguous across them.

    arrays   per array, its element step along each axis of `out`
    """
    loops: list[Loop] = []
    for axis, extent in enumerate(out):
        steps = tuple(array[axis] for array in arrays)
        if extent == 1:
            continue
        if loops and all(o == i * extent for o, i in zip(loops[-1].steps, steps, strict=True)):
            loops[-1] = Loop(loops[-1].extent * extent, steps)
        else:
            loops.append(Loop(extent, steps))
    return tuple(loops) or (Loop(1, (0,) * len(arrays)),)


@dataclass(frozen=True, slots=True)
class Blocks:
    """The dimensions of an array by the loops that move through it.

    shape   elements per dimension
    first   index of the first element that is read, per dimension
    """

    shape: tuple[int, ...]
    first: tuple[int, ...]

    @property
    def start(self) -> tuple[int, ...]:
        """`first`; () for zeros."""
        return self.first if any(self.first) else ()


@dataclass(frozen=True, eq=False, slots=True)
class ArrayRead:
    """An array that an element-wise function reads, with the parts of the formula that read it.

    array   the array
    parts   its elements in the formula, all at one index
    steps   its element step along each axis of the result
    start   the element that the first iteration reads
    """

    array: Array
    parts: tuple[Element, ...]
    steps: tuple[int, ...]
    start: int = 0

    def blocks(self, steps: Sequence[int]) -> Blocks | None:
        """Return the array as blocks in blocks, one per loop that moves through it; None if the
        loops do not move through it in memory order, or leave elements out of the last loop.

        steps   its element step per iteration of each loop, outermost first
        """
        size, shape, first, rest = math.prod(self.array.shape), list[int](), list[int](), self.start
        for step in filter(None, steps):
            if step < 0 or size % step or not size:
                return None
            shape.append(size // step)
            first.append(rest // step)
            size, rest = step, rest % step
        return Blocks(tuple(shape), tuple(first)) if size == 1 else None


@dataclass(frozen=True, eq=False, slots=True)
class FlatNest:
    """A description whose loops are independent and whose arrays have one step per loop.

    nest       the description
    reads      arrays that it reads, in order of their first use
    loops      loops, outermost first; a loop's steps are those of the reads, then of the result
    """

    nest: Nest
    reads: tuple[ArrayRead, ...]
    loops: tuple[Loop, ...]

    @property
    def streams(self) -> list[list[int]]:
        """Numbers of the reads by the pointer through which they are read: constants that all loops
        move alike lie next to each other, element by element, as cores have few registers."""
        found: dict[object, list[int]] = {}
        for number, read in enumerate(self.reads):
            steps = tuple(loop.steps[number] for loop in self.loops)
            alike = read.array.values is not None and steps[-1] and not read.start
            key = (steps, read.array.dtype, math.prod(read.array.shape)) if alike else number
            found.setdefault(key, []).append(number)
        return [*found.values()]

    @staticmethod
    def of(nest: Nest) -> FlatNest | None:
        """Return a description as loops; None if it reduces or may read outside of arrays."""
        if not _is_flat(nest):
            return None
        elements = [part for part in nest.parts if isinstance(part, Element)]
        reads = tuple(_array_reads(elements, nest.axes))
        steps = [*(read.steps for read in reads), strides(nest.out.shape)]
        return FlatNest(nest, reads, collapse_loops(nest.out.shape, steps))


def _is_flat(nest: Nest) -> bool:
    """Return whether a description computes each element in order, without padding and sums."""
    if nest.at != tuple(axis.at for axis in nest.axes):
        return False
    for part in nest.parts:
        if isinstance(part, Reduced) or (isinstance(part, Element) and not _is_inside(part)):
            return False
    return True


def _is_inside(part: Element) -> bool:
    """Return whether all iterations read elements that the array has."""
    rows = zip(part.index, part.array.shape, strict=True)
    return all(index.low >= 0 and index.high < extent for index, extent in rows)


def _array_reads(parts: Sequence[Element], axes: Sequence[Axis]) -> Iterator[ArrayRead]:
    """Yield the arrays of elements, each once per index."""
    found: dict[tuple[int, tuple[int, ...], int], list[Element]] = {}
    for part in parts:
        known = [*zip(part.index, strides(part.array.shape), strict=True)]
        along = tuple(sum(i.stride(axis) * step for i, step in known) for axis in axes)
        moved = tuple(0 if axis.extent == 1 else n for axis, n in zip(axes, along, strict=True))
        start = sum(index.const * step for index, step in known)
        found.setdefault((id(part.array), moved, start), []).append(part)
    for (_, along, start), group in found.items():
        yield ArrayRead(group[0].array, tuple(group), along, start)
