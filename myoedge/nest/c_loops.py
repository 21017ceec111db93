# SPDX-License-Identifier: Apache-2.0
"""Loops of a description in C.

const int32_t first = ME_FIRST(tile->extent[0]), last = ME_LAST(tile->extent[0]);
for (int32_t i0 = first; i0 < last; i0++) {
    ...                                        the innermost loop, over tile->extent[1]
}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from myoedge.nest.flat import FlatNest


@dataclass(frozen=True, eq=False)
class CLoops:
    """The loops of a function.

    flat     the description
    shared   number of the loop whose iterations the cores share
    """

    flat: FlatNest
    shared: int

    @property
    def share(self) -> str:
        """Definition of the core's first iteration, and of the end of its iterations."""
        extent = self._extent(self.shared)
        return f"const int32_t first = ME_FIRST({extent}), last = ME_LAST({extent});"

    def around(self, row: Callable[[int], Iterator[str]], at: int = 0) -> Iterator[str]:
        """Yield a loop and the loops inside.

        row   number of the innermost loop -> its statements
        """
        if at == len(self.flat.loops) - 1:
            yield from row(at)
            return
        start, end = self.bounds(at)
        yield f"for (int32_t i{at} = {start}; i{at} < {end}; i{at}++) {{"
        yield from (f"    {line}" for line in self.around(row, at + 1))
        yield "}"

    def bounds(self, at: int) -> tuple[str, str]:
        """Return the first iteration of a loop and the end of its iterations, in C."""
        return ("first", "last") if at == self.shared else ("0", self._extent(at))

    def count(self, at: int) -> str:
        """Return the number of a core's iterations of a loop, in C."""
        return "last - first" if at == self.shared else self._extent(at)

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
