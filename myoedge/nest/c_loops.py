# SPDX-License-Identifier: Apache-2.0
"""Loops of a description in C.

const int32_t first = ME_FIRST(tile->extent[0]), last = ME_LAST(tile->extent[0]);
for (int32_t i0 = first; i0 < last; i0++) {
    ...                                        the innermost loop, over tile->extent[1]
}

Long rows, whose shares begin in different banks of memory:

const int32_t own = ME_OWN(tile->n), first = ME_CORE() * own, last = me_min(first + own, tile->n);
const int8_t *const end = y + (last - first);
while (y < end) {

Windows of an image, which cores share one by one:

const int32_t first = ME_FIRST(tile->extent[0] * tile->extent[1]), last = ME_LAST(...);
int32_t i0 = first / tile->extent[1], i1 = first - i0 * tile->extent[1];
for (int32_t rows = last - first; rows > 0; rows--) {
    ...                                        the innermost loop, over tile->extent[2]
    if (++i1 == tile->extent[1]) {
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from myoedge.nest.flat import FlatNest
from myoedge.nest.rows import shared_loops

PAIRS_FROM = 16  # elements of a core's row that are computed two at a time
OPERATIONS_TO = 180  # of an iteration: about 500 bytes of code
FETCHED = 10  # elements of a core that save, in iterations, the fetch of an operation's code
APART_FROM = 64  # elements of a core's row: conflicts of banks take more than four more of them


@dataclass(frozen=True, eq=False)
class CLoops:
    """The loops of a function.

    flat     the description
    shared   number of the loop whose iterations the cores share, or of two adjacent ones
    lanes    elements of the innermost loop that are computed at a time
    cores    cores that share: 8, or 9 with the control core
    """

    flat: FlatNest
    shared: tuple[int, ...]
    lanes: int = 1
    cores: int = 8

    @staticmethod
    def of(flat: FlatNest, lanes: int, cores: int = 8) -> CLoops:
        return CLoops(flat, shared_loops(flat, cores, lanes), lanes, cores)

    @property
    def inner(self) -> int:
        """Number of the innermost loop."""
        return len(self.flat.loops) - 1

    @property
    def is_inner(self) -> bool:
        """Whether cores share the innermost loop."""
        return self.inner in self.shared

    @property
    def own(self) -> int:
        """Iterations of the innermost loop that a core has of a row."""
        extent = self.flat.loops[-1].extent
        return -(-extent // self.cores) if self.is_inner else extent

    @property
    def share(self) -> str:
        """Definition of the core's first iteration, and of the end of its iterations: of the
        innermost loop, whole words."""
        extents = " * ".join(map(self._extent_text, self.shared))
        if self._is_apart:
            own = f"const int32_t own = ME_OWN({extents})"
            return f"{own}, first = ME_CORE() * own, last = me_min(first + own, {extents});"
        if self.lanes == 1 or not self.is_inner:
            of = "(" if self.cores == 8 else f"_OF({self.cores}, "
            return f"const int32_t first = ME_FIRST{of}{extents}), last = ME_LAST{of}{extents});"
        words = f"({extents} + {self.lanes - 1}) / {self.lanes}"
        last = f"me_min({self.lanes} * ME_LAST({words}), {extents})"
        return f"const int32_t first = {self.lanes} * ME_FIRST({words}), last = {last};"

    @property
    def _is_apart(self) -> bool:
        """Whether cores that go through their shares of a row side by side read different banks."""
        is_alone = not (self.flat.late or self.flat.turns or self.flat.over)
        return self.is_inner and is_alone and self.cores == 8 and self.own >= APART_FROM

    def pairs(self, operations: int) -> int:
        """Return how many pairs of elements an iteration computes, one after the other: two if what
        a core saves in all iterations is more than the fetch of their code.

        operations   of an element
        """
        elements = math.prod(loop.extent for loop in self.flat.loops) / self.cores
        is_long = self.own >= 2 * PAIRS_FROM and elements >= FETCHED * operations
        return 2 if is_long and 4 * operations <= OPERATIONS_TO else 1

    def around(self, row: Callable[[int], Iterator[str]], at: int = 0) -> Iterator[str]:
        """Yield a loop and the loops inside.

        row   number of the innermost loop -> its statements
        """
        if at == len(self.flat.loops) - 1:
            yield from row(at)
            return
        if len(self.shared) == 2 and at == self.shared[0]:
            yield from self._merged_loops(row, at)
            return
        start, end = self.bounds(at)
        yield f"for (int32_t i{at} = {start}; i{at} < {end}; i{at}++) {{"
        yield from (f"    {line}" for line in self.around(row, at + 1))
        yield "}"

    def _merged_loops(self, row: Callable[[int], Iterator[str]], at: int) -> Iterator[str]:
        """Yield two loops as one, from a core's first iteration on."""
        outer, inner, extent = f"i{at}", f"i{at + 1}", self._extent_text(at + 1)
        yield f"int32_t {outer} = first / {extent}, {inner} = first - {outer} * {extent};"
        yield "for (int32_t rows = last - first; rows > 0; rows--) {"
        yield from (f"    {line}" for line in self.around(row, at + 2))
        yield f"    if (++{inner} == {extent}) {{"
        yield f"        {inner} = 0;"
        yield f"        {outer}++;"
        yield "    }"
        yield "}"

    def bounds(self, at: int) -> tuple[str, str]:
        """Return the first iteration of a loop and the end of its iterations, in C."""
        return ("first", "last") if at in self.shared else ("0", self._extent_text(at))

    def count(self, at: int) -> str:
        """Return the number of a core's iterations of a loop, in C."""
        return "last - first" if at in self.shared else self._extent_text(at)

    def offset(self, step: Callable[[int], str], number: int) -> str:
        """Return the distance in elements of a row from an array's start in C; "" for 0.

        step     loop -> step of the array, in C
        number   the array
        """
        outer = (at for at, loop in enumerate(self.flat.loops[:-1]) if loop.steps[number])
        terms = ((f"i{at}", step(at)) for at in outer)
        return "".join(f" + {i}" if each == "1" else f" + {i} * {each}" for i, each in terms)

    def _extent_text(self, at: int) -> str:
        return "tile->n" if len(self.flat.loops) == 1 else f"tile->extent[{at}]"


@dataclass(frozen=True)
class RowEnd:
    """The end of a core's row: a comparison with a pointer behind it is all that a loop takes.

    pointer    name of a result's pointer, which moves along the row
    size       bytes from an element to the next one, in C
    count      elements of the row, in C
    together   elements of an iteration, of which `whole` is a multiple
    """

    pointer: str
    size: str
    count: str
    together: int

    @property
    def pointers(self) -> Iterator[str]:
        """Definitions of the pointers behind the iterations and behind all elements."""
        count = f"({self.count})" if " " in self.count else self.count
        counts = {"whole": f"({count} & ~{self.together - 1})"} if self.together > 1 else {}
        times = "" if self.size == "1" else f"{self.size} * "
        for name, elements in (counts | {"end": count}).items():
            yield f"const int8_t *const {name} = {self.pointer} + {times}{elements};"

    @property
    def start(self) -> str:
        """Start of the loop over the elements, `together` at a time."""
        return self._loop_start("while", "whole" if self.together > 1 else "end")

    def single(self, element: Sequence[str]) -> Iterator[str]:
        """Yield the loop over the elements that are left.

        element   the statements of one
        """
        yield self._loop_start("if" if self.together == 2 else "while", "end")
        yield from (f"    {line}" for line in element)
        yield "}"

    def _loop_start(self, keyword: str, end: str) -> str:
        return f"{keyword} ({self.pointer} < {end}) {{"
