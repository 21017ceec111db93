# SPDX-License-Identifier: Apache-2.0
"""Descriptions of element-wise functions as few loops over arrays with a step per loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from myoedge.nest.ir import Array, Axis, Element, Nest, Reduced, walk
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


@dataclass(frozen=True, eq=False, slots=True)
class ArrayRead:
    """An array that an element-wise function reads, with the parts of the formula that read it.

    array   the array
    parts   its elements in the formula, all at one index
    steps   its element step along each axis of the result
    """

    array: Array
    parts: tuple[Element, ...]
    steps: tuple[int, ...]


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

    @staticmethod
    def of(nest: Nest) -> FlatNest | None:
        """Return a description as loops; None if it reduces or reads outside of arrays."""
        if not _is_flat(nest):
            return None
        elements = [part for part in walk(nest.value) if isinstance(part, Element)]
        reads = tuple(_array_reads(elements, nest.axes))
        steps = [*(read.steps for read in reads), strides(nest.out.shape)]
        return FlatNest(nest, reads, collapse_loops(nest.out.shape, steps))


def _is_flat(nest: Nest) -> bool:
    """Return whether a description computes each element in order from elements at its place."""
    if nest.at != tuple(axis.at for axis in nest.axes):
        return False
    for part in walk(nest.value):
        shifted = isinstance(part, Element) and any(index.const for index in part.index)
        if shifted or isinstance(part, Reduced):
            return False
    return True


def _array_reads(parts: Sequence[Element], axes: Sequence[Axis]) -> Iterator[ArrayRead]:
    """Yield the arrays of elements, each once per index."""
    found: dict[tuple[int, tuple[int, ...]], list[Element]] = {}
    for part in parts:
        steps = zip(part.index, strides(part.array.shape), strict=True)
        known = [(i, step) for i, step in steps]
        along = tuple(sum(i.stride(axis) * step for i, step in known) for axis in axes)
        moved = tuple(0 if axis.extent == 1 else n for axis, n in zip(axes, along, strict=True))
        found.setdefault((id(part.array), moved), []).append(part)
    for (_, along), group in found.items():
        yield ArrayRead(group[0].array, tuple(group), along)
