# SPDX-License-Identifier: Apache-2.0
"""Arrays that a generated function reads: which elements in which iteration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from myoedge.nest.ir import Array, Axis, Element, Expr
from myoedge.nest.nodes import Taken
from myoedge.nest.windows import IndexMap, Term
from myoedge.numerics.arrays import strides


@dataclass(frozen=True, eq=False, slots=True)
class ArrayRead:
    """An array that a function reads, with the parts of the formula that read it.

    array   the array
    parts   its elements in the formula, each with its distance from the first one
    steps   its element step along each axis of the result
    over    its element step along each axis that the formula reduces
    start   the element that the first iteration reads
    width   elements that an iteration reads: more than one for a record of constants
    apart   distance of a row's parts, of which an iteration reads an element each: the unit of the
            distances in `parts`
    """

    array: Array
    parts: tuple[tuple[Element, int], ...]
    steps: tuple[int, ...]
    over: tuple[int, ...] = ()
    start: int = 0
    width: int = 1
    apart: int = 1

    @property
    def is_reduced(self) -> bool:
        """Whether one element of the result depends on several elements of the array."""
        return any(self.over)

    @property
    def is_single(self) -> bool:
        """Whether an iteration reads one element."""
        return self.width == 1 and self.apart == 1

    @property
    def _row_parts(self) -> tuple[tuple[int, int], ...]:
        """Number and distance of the parts of a row, like a loop; () for one."""
        return ((1 + max(at for _, at in self.parts), self.apart),) if self.apart > 1 else ()

    def blocks(self, loops: Sequence[tuple[int, int]]) -> IndexMap | None:
        """Return the array as blocks in blocks, one per loop that moves through it; None if loops
        overlap, or leave elements out of the last block.

        loops   (extent, element step per iteration) of each loop
        """
        terms: list[tuple[Term, ...]] = [((at, 1),) for at in range(len(loops))]
        loops = [*loops, *self._row_parts]
        order = _loops_by_step(loops)
        size, shape, first, rest = math.prod(self.array.shape), list[int](), list[int](), self.start
        for extent, step in (loops[at] for at in order):
            if step < 0 or not _is_strided_block(size, step, rest, extent):
                return None
            shape.append(size // step)
            first.append(rest // step)
            size, rest = step, rest % step
        if size != self.width:
            return None
        index = [([*terms, ()])[at] for at in order]
        if size > 1 or not shape:  # a record, or one element
            shape, first, index = [*shape, size], [*first, 0], [*index, ()]
        return IndexMap(tuple(shape), tuple(first), tuple(index))


def _loops_by_step(loops: Sequence[tuple[int, int]]) -> list[int]:
    """Return the loops that move through an array, by number, loops of large steps first."""
    moving = [at for at, (_, step) in enumerate(loops) if step]
    return sorted(moving, key=lambda at: -loops[at][1])


def _is_strided_block(size: int, step: int, first: int, extent: int) -> bool:
    """Return whether `size` elements are blocks of `step` elements, of which a loop reads `extent`
    from element `first` on."""
    return size > 0 and size % step == 0 and first // step + extent <= size // step


def array_reads(
    parts: Sequence[Expr], axes: Sequence[Axis], over: Sequence[Axis]
) -> Iterator[ArrayRead]:
    """Yield the arrays of the elements among parts of formulas, each once per index; records of
    constants as one. Those with a computed index are apart."""
    found: dict[tuple[int, tuple[int, ...], bool], list[tuple[Element, int]]] = {}
    taken = {id(part.element) for part in parts if isinstance(part, Taken)}
    for part in (x for x in parts if isinstance(x, Element)):
        moved, start = _element_place(part, (*axes, *over))
        found.setdefault((id(part.array), moved, id(part) in taken), []).append((part, start))
    for (_, moved, _), group in found.items():
        yield from _reads_of_array(group, moved[: len(axes)], moved[len(axes) :])


def _element_place(part: Element, axes: Sequence[Axis]) -> tuple[tuple[int, ...], int]:
    """Return the element step of an element along each axis, and where it starts."""
    known = [*zip(part.index, strides(part.array.shape), strict=True)]
    moved = (sum(i.stride(x) * n for i, n in known) if x.extent > 1 else 0 for x in axes)
    return tuple(moved), sum(index.const * step for index, step in known)


def _reads_of_array(
    group: Sequence[tuple[Element, int]], steps: tuple[int, ...], over: tuple[int, ...]
) -> Iterator[ArrayRead]:
    """Yield the elements of an array that move alike, those of one record together.

    group   elements, with their distance from the first element of the array
    """
    array = group[0][0].array
    starts = [at for _, at in group]
    width = array.width if any(over) else max(array.width, _record_width(array, starts, steps))
    found: dict[int, list[tuple[Element, int]]] = {}
    for part, start in group:
        found.setdefault(start - start % width, []).append((part, start % width))
    for start, parts in found.items():
        yield ArrayRead(array, tuple(parts), steps, over, start, width)


def _record_width(array: Array, starts: Sequence[int], steps: Sequence[int]) -> int:
    """Return the number of elements of which an iteration reads several, side by side, before those
    of the next one; 1 if there are none."""
    moved = [abs(step) for step in steps if step]
    width = min(moved, default=math.prod(array.shape))
    is_record = len(set(starts)) > 1 and len({at // width for at in starts}) == 1
    return width if is_record and not any(n % width for n in moved) else 1


def with_joined_parts(reads: Sequence[ArrayRead], row: int) -> Iterator[ArrayRead]:
    """Yield reads, those of the parts of a row as one.

    row   elements of a part: iterations of the innermost loop
    """
    groups: dict[tuple[int, tuple[int, ...]], list[ArrayRead]] = {}
    for read in reads:
        groups.setdefault((id(read.array), read.steps), []).append(read)
    for group in groups.values():
        starts = sorted(read.start for read in group)
        is_row = group[0].steps[-1] == 1 and starts == [*range(0, len(group) * row, row)]
        if len(group) > 1 and is_row:
            parts = ((part, read.start // row) for read in group for part, _ in read.parts)
            yield replace(group[0], parts=tuple(parts), start=0, apart=row)
        else:
            yield from group
