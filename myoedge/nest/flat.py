# SPDX-License-Identifier: Apache-2.0
"""Descriptions as few loops over arrays with a step per loop; sums are loops inside of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from myoedge.nest.ir import Axis, Nest, Reduced
from myoedge.nest.nodes import Taken, all_axes
from myoedge.nest.reads import ArrayRead, array_reads, with_joined_parts
from myoedge.nest.rows import row_axis
from myoedge.nest.scan import scanned_axes
from myoedge.nest.windows import IndexMap, index_map, padded_axes, reads_padding
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
class Iterations:
    """Iterations of a network's loop, all of which one function computes.

    count         their number
    rows          reads, by number, of sequences with a row per iteration
    row_results   results, by number, that are such sequences
    states        reads, by number, of states -> the results, by number, in whose places they are
    """

    count: int
    rows: frozenset[int]
    row_results: frozenset[int]
    states: Mapping[int, int]


@dataclass(frozen=True, eq=False, slots=True)
class FlatNest:
    """A description whose loops are independent and whose arrays have one step per loop.

    nest       the description
    reads      arrays that it reads, in order of their first use
    loops      loops, outermost first; a loop's steps are those of the reads, then of the result
    over       axes that the formula reduces
    scanned    axis along which values are carried: that of the innermost loop, in any order of
               memory; None: there is none
    late       numbers of the results that are written when all elements have been computed:
               operands are in their places
    turns      iterations around the loops; None: one
    row        axis of the innermost loop, whose iterations have sums in common, if it is not the
               last one in memory; None: it is
    """

    nest: Nest
    reads: tuple[ArrayRead, ...]
    loops: tuple[Loop, ...]
    over: tuple[Axis, ...]
    late: tuple[int, ...] = ()
    scanned: Axis | None = None
    turns: Iterations | None = None
    row: Axis | None = None

    @staticmethod
    def of(nest: Nest) -> FlatNest | None:
        """Return a description as loops; None if an element of the result depends on others, or may
        read outside of arrays."""
        if not _is_elementwise_in_order(nest):
            return None
        if scanned := scanned_axes(nest.parts):
            reduced = {
                (part.operation, part.axis) for part in nest.parts if isinstance(part, Reduced)
            }
            is_one = len(scanned) == 1 and reduced <= {("last", scanned[0])}
            return (
                replace(_loops_along(nest, scanned[0], ()), scanned=scanned[0]) if is_one else None
            )
        row = None if padded_axes(nest) else row_axis(nest)
        if row is None:
            return _independent_loops(nest)
        return replace(_loops_along(nest, row, all_axes(nest)[len(nest.axes) :]), row=row)

    def steps_of(self, number: int) -> list[int]:
        """Return the element step of a read per iteration of each loop, then of each reduced
        axis."""
        return [*(loop.steps[number] for loop in self.loops), *self.reads[number].over]

    def index_map(self, number: int) -> IndexMap | None:
        """Return how loops, and reduced axes behind them, index the array of a read; None if no
        C can be generated for it."""
        read = self.reads[number]
        if (dimension := self.taken_of(number)) is not None:
            groups = [*self.axes, *([axis] for axis in self.over)]
            return None if read.is_reduced else index_map(read.parts[0][0], groups, dimension)
        extents = [*(loop.extent for loop in self.loops), *(axis.extent for axis in self.over)]
        blocks = read.blocks([*zip(extents, self.steps_of(number), strict=True)])
        # An index map is of one element: several of a row of the array need blocks.
        is_record = read.width > read.array.width
        if blocks or is_record or self.scanned is not None:
            return blocks
        return index_map(read.parts[0][0], [*self.axes, *([axis] for axis in self.over)])

    def row_size(self, number: int) -> int:
        """Return the elements of an array, or of a sequence's row, that loops access."""
        return math.prod(self.part_read(number))

    def part_read(self, number: int) -> tuple[int, ...]:
        """Return the elements per dimension of an array that loops access, with padding."""
        known = self.index_map(number)
        assert known is not None, "an array with an index per dimension"
        extents = [*(loop.extent for loop in self.loops), *(axis.extent for axis in self.over)]
        if (dimension := self.taken_of(number)) is not None:
            extents.append(self.reads[number].array.shape[dimension])
        return tuple(1 + sum(n * (extents[at] - 1) for at, n in terms) for terms in known.index)

    def taken_of(self, number: int) -> int | None:
        """Return the dimension along which the index of a read is computed; None: there is none."""
        own = {id(part) for part, _ in self.reads[number].parts}
        taken = (part for part in self.nest.parts if isinstance(part, Taken))
        return next((part.dimension for part in taken if id(part.element) in own), None)

    @property
    def axes(self) -> list[list[Axis]]:
        """Axes of each loop, without axes of one iteration."""
        left = [axis for axis in self.order if axis.extent > 1]
        found = []
        for loop in self.loops:
            own = list[Axis]()
            while math.prod(axis.extent for axis in own) < loop.extent:
                own.append(left.pop(0))
            found.append(own)
        return found

    @property
    def order(self) -> tuple[Axis, ...]:
        """Axes of the result in the order of the loops."""
        inner = self.scanned or self.row
        return self.nest.axes if inner is None else _innermost_axis_last(self.nest, inner)

    @property
    def result_loops(self) -> list[int]:
        """Loops that move through the result, by number, in memory order; as a further loop, the
        formulas of an iteration that share an array."""
        step = [*(loop.steps[-1] for loop in self.loops), self.side_step]
        return sorted((at for at, n in enumerate(step) if n), key=lambda at: -step[at])

    @property
    def side_step(self) -> int:
        """Element step between the results of an iteration in one array; 0 if each has its own."""
        return _side_step(self.nest)

    @property
    def written(self) -> int:
        """Number of arrays that it writes."""
        return 1 if self.side_step else len(self.nest.results)

    @property
    def result_extents(self) -> list[int]:
        """Iterations of each loop, and results of an iteration in one array."""
        return [*(loop.extent for loop in self.loops), len(self.nest.results)]

    def reads_elsewhere(self) -> list[int]:
        """Return the reads of other elements than that at the place of the result."""
        along = dict(zip(self.nest.axes, _result_steps(self.nest), strict=True))
        own = [(along.get(axis, 0), axis.extent) for axis in self.order]

        def is_elsewhere(read: ArrayRead) -> bool:
            along = zip(read.steps, own, strict=True)
            return (
                read.is_reduced or bool(read.start) or any(n > 1 and a != b for a, (b, n) in along)
            )

        return [
            number
            for number, read in enumerate(self.reads)
            if is_elsewhere(read) or self.taken_of(number) is not None
        ]


def _innermost_axis_last(nest: Nest, inner: Axis) -> tuple[Axis, ...]:
    """Return the axes of a description, the innermost loop's axis last."""
    return *(axis for axis in nest.axes if axis != inner), inner


def _independent_loops(nest: Nest) -> FlatNest:
    """Return a description whose loops are independent as loops."""
    padded = padded_axes(nest)
    over = all_axes(nest)[len(nest.axes) :]
    reads = tuple(array_reads(nest.parts, nest.axes, over))
    # the parts of a row are one read if an iteration has results apart
    is_apart = _side_step(nest) > 1
    reads = tuple(with_joined_parts(reads, nest.axes[-1].extent)) if is_apart else reads
    steps = [*(read.steps for read in reads), _result_steps(nest)]
    apart = [[int(axis == x) for x in nest.axes] for axis in nest.axes if axis in padded]
    loops = (
        Loop(loop.extent, loop.steps[: len(steps)])
        for loop in collapse_loops([axis.extent for axis in nest.axes], [*steps, *apart])
    )
    return FlatNest(nest, reads, tuple(loops), over)


def _side_step(nest: Nest) -> int:
    own = zip(nest.at, strides(nest.out.shape), nest.out.shape, strict=True)
    return next((step for i, step, n in own if n > 1 and not i.terms), 0)


def _loops_along(nest: Nest, inner: Axis, over: tuple[Axis, ...]) -> FlatNest:
    """Return a description as loops, one axis the innermost of them.

    over   reduced axes
    """
    axes = _innermost_axis_last(nest, inner)
    along = dict(zip(nest.axes, _result_steps(nest), strict=True))
    reads = tuple(array_reads(nest.parts, axes, over))
    steps = [*(read.steps for read in reads), tuple(along.get(axis, 0) for axis in axes)]
    outer = collapse_loops([axis.extent for axis in axes[:-1]], [x[:-1] for x in steps])
    last = Loop(inner.extent, tuple(x[-1] for x in steps))
    return FlatNest(nest, reads, (*outer, last), over)


def _is_elementwise_in_order(nest: Nest) -> bool:
    """Return whether a description computes each element in order, without elements outside of
    arrays."""
    at = tuple(i for i in nest.at if i.terms)
    return at == tuple(axis.at for axis in nest.axes) and not reads_padding(nest)


def _result_steps(nest: Nest) -> tuple[int, ...]:
    """Return the element step of the result along each axis."""
    known = [*zip(nest.at, strides(nest.out.shape), strict=True)]
    return tuple(sum(i.stride(axis) * step for i, step in known) for axis in nest.axes)
