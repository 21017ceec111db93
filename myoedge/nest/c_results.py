# SPDX-License-Identifier: Apache-2.0
"""Results of a description in C: the pointers that write them, side by side or a step apart.

int8_t *y = (int8_t *)(tile->y + i0 * tile->y_step[0]);
me_put_b(&y, v2);                             and y += y_gap if elements are a step apart
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from myoedge.nest.c_arrays import C_TYPES, put
from myoedge.nest.c_header import result_names
from myoedge.nest.c_loops import CLoops, RowEnd
from myoedge.nest.c_turns import CTurns
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


@dataclass(frozen=True, eq=False)
class CResults:
    """The results of a function.

    names   names of their arrays in C
    late    those that are written when all operands have been read
    """

    flat: FlatNest
    names: tuple[str, ...]
    loops: CLoops
    turns: CTurns
    late: LateResults

    @property
    def steps(self) -> tuple[int, ...]:
        """Loops, by number, whose steps are fields of the tile."""
        count = len(self.flat.loops)
        sides = (count,) if self.flat.side_step > 1 else ()
        return *range(count - (self.flat.row is None)), *sides

    @property
    def offset(self) -> str:
        """Distance of a row of any result from its start, in C."""
        return self.loops.offset(lambda at: f"tile->y_step[{at}]", len(self.flat.reads))

    @property
    def definitions(self) -> Iterator[str]:
        """Definition of the bytes between elements, if there are some."""
        if self.flat.row is not None:
            yield f"const int32_t y_gap = {self._element_bytes} * ({self._step_of_result} - 1);"

    def pointers(self, shift: str) -> Iterator[str]:
        """Yield the pointers to a row's elements.

        shift   distance of the core's first element, in C
        """
        if shift and self.flat.row is not None:
            shift = f"{shift} * {self._step_of_result}"
        if shift and self._results_per_iteration > 1:
            shift = f"{shift} * {self._results_per_iteration}"
        for number, name in enumerate(self.names):
            if name not in self.late.results:
                start = f"{self.turns.result(number)}{self.offset}{shift}"
                yield f"int8_t *{name} = (int8_t *)({start});"
        step = f"{self._element_bytes} * tile->y_step[{len(self.steps) - 1}]"
        for name, other in pairwise(dict.fromkeys(self._stored_pointers)):
            if other not in self.names:
                yield f"int8_t *{other} = {name} + {step};"

    @property
    def _stored_pointers(self) -> tuple[str, ...]:
        """Name of the pointer that writes each result: one for results side by side."""
        count = len(self.flat.nest.results)
        return self.names * count if self.flat.side_step == 1 else result_names(count)

    @property
    def _results_per_iteration(self) -> int:
        """Results of an iteration side by side."""
        return self._stored_pointers.count(self.names[0])

    def stores(self, values: Sequence[str]) -> Iterator[str]:
        """Yield the statements that write an element of each result.

        values   their values, in C
        """
        gap = "" if self.flat.row is None else " y += y_gap;"
        results = zip(self._stored_pointers, self.flat.nest.results, values, strict=True)
        lines = [put(array.dtype, name, value) + gap for name, (array, _), value in results]
        yield from [" ".join(lines)] if self.flat.side_step == 1 else lines

    def row_end(self, count: str, together: int) -> RowEnd:
        """Return the end of a row of which an iteration computes so many elements.

        count   elements of the row, in C
        """
        size = str(self._element_bytes * self._results_per_iteration)
        if self.flat.row is not None:
            size = self._step_of_result if size == "1" else f"{size} * {self._step_of_result}"
        return RowEnd(self.names[0], size, count, together)

    @property
    def _element_bytes(self) -> int:
        return np.dtype(self.flat.nest.out.dtype).itemsize

    @property
    def _step_of_result(self) -> str:
        return f"tile->y_step[{len(self.flat.loops) - 1}]"
