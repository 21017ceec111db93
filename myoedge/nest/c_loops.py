# SPDX-License-Identifier: Apache-2.0
"""Loops of a description in C.

const int32_t first = ME_FIRST(tile->extent[0]), last = ME_LAST(tile->extent[0]);
for (int32_t i0 = first; i0 < last; i0++) {
    ...                                        the innermost loop, over tile->extent[1]
}

Windows of an image, which cores share one by one:

const int32_t first = ME_FIRST(tile->extent[0] * tile->extent[1]), last = ME_LAST(...);
int32_t i0 = first / tile->extent[1], i1 = first - i0 * tile->extent[1];
for (int32_t rows = last - first; rows > 0; rows--) {
    ...                                        the innermost loop, over tile->extent[2]
    if (++i1 == tile->extent[1]) {
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from myoedge.nest.flat import FlatNest, shared_loops


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
        extents = " * ".join(map(self._extent, self.shared))
        if self.lanes == 1 or not self.is_inner:
            of = "(" if self.cores == 8 else f"_OF({self.cores}, "
            return f"const int32_t first = ME_FIRST{of}{extents}), last = ME_LAST{of}{extents});"
        words = f"({extents} + {self.lanes - 1}) / {self.lanes}"
        last = f"me_min({self.lanes} * ME_LAST({words}), {extents})"
        return f"const int32_t first = {self.lanes} * ME_FIRST({words}), last = {last};"

    def around(self, row: Callable[[int], Iterator[str]], at: int = 0) -> Iterator[str]:
        """Yield a loop and the loops inside.

        row   number of the innermost loop -> its statements
        """
        if at == len(self.flat.loops) - 1:
            yield from row(at)
            return
        if len(self.shared) == 2 and at == self.shared[0]:
            yield from self._joint(row, at)
            return
        start, end = self.bounds(at)
        yield f"for (int32_t i{at} = {start}; i{at} < {end}; i{at}++) {{"
        yield from (f"    {line}" for line in self.around(row, at + 1))
        yield "}"

    def _joint(self, row: Callable[[int], Iterator[str]], at: int) -> Iterator[str]:
        """Yield two loops as one, from a core's first iteration on."""
        outer, inner, extent = f"i{at}", f"i{at + 1}", self._extent(at + 1)
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
        return ("first", "last") if at in self.shared else ("0", self._extent(at))

    def count(self, at: int) -> str:
        """Return the number of a core's iterations of a loop, in C."""
        return "last - first" if at in self.shared else self._extent(at)

    def offset(self, step: Callable[[int], str], number: int) -> str:
        """Return the distance in elements of a row from an array's start in C; "" for 0.

        step     loop -> step of the array, in C
        number   the array
        """
        outer = (at for at, loop in enumerate(self.flat.loops[:-1]) if loop.steps[number])
        terms = ((f"i{at}", step(at)) for at in outer)
        return "".join(f" + {i}" if each == "1" else f" + {i} * {each}" for i, each in terms)

    def _extent(self, at: int) -> str:
        return "tile->n" if len(self.flat.loops) == 1 else f"tile->extent[{at}]"
