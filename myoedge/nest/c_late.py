# SPDX-License-Identifier: Apache-2.0
"""Results that a generated function writes when all cores have read their operands: the next state
of a loop, in the place of the state.

    int8_t y1_late[ME_MOST_OF(32)];
    int8_t *y1 = y1_late;
    ...                                       each core writes its elements to y1
    ME_SYNC();
    int32_t at = 0;
    for (int32_t i0 = first; i0 < last; i0++, at++)
        tile->y1[i0] = y1_late[at];
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from myoedge.nest.c_arrays import C_TYPES
from myoedge.nest.c_loops import CLoops
from myoedge.nest.flat import FlatNest


@dataclass(frozen=True)
class LateResults:
    """The late results of a function.

    results   their names -> their types in C
    size      elements of a core's share, in C
    """

    results: Mapping[str, str]
    size: str

    @staticmethod
    def of(flat: FlatNest, names: tuple[str, ...], shared: int) -> LateResults:
        """Return the late results of a description.

        names    of all its results
        shared   number of the loop whose iterations the cores share
        """
        arrays = [array for array, _ in flat.nest.results]
        others = math.prod(loop.extent for at, loop in enumerate(flat.loops) if at != shared)
        most = f"ME_MOST_OF({flat.loops[shared].extent})"
        results = {names[n]: C_TYPES[arrays[n].dtype] for n in flat.late}
        return LateResults(results, most if others == 1 else f"{others} * {most}")

    @property
    def variables(self) -> Iterator[str]:
        """Definitions of the arrays for a core's elements."""
        for name, kind in self.results.items():
            yield f"{kind} {name}_late[{self.size}];"
            yield f"int8_t *{name} = {'' if kind == 'int8_t' else '(int8_t *)'}{name}_late;"

    @property
    def start(self) -> Iterator[str]:
        """Statements before the loops that write them."""
        yield "ME_SYNC(); /* all cores have read their operands */"
        yield "int32_t at = 0;"

    def row(self, loops: CLoops, offset: str, at: int) -> Iterator[str]:
        """Yield the innermost loop.

        loops    loops of the function
        offset   distance of the row from a result's start
        at       number of the innermost loop
        """
        index, (start, end) = f"i{at}", loops.bounds(at)
        yield f"for (int32_t {index} = {start}; {index} < {end}; {index}++, at++) {{"
        for name in self.results:
            yield f"    tile->{name}[{index}{offset}] = {name}_late[at];"
        yield "}"
