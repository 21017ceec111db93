# SPDX-License-Identifier: Apache-2.0
"""Arrays that a scan reads, in C: pointers that each iteration moves, and values of a row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from myoedge.nest.c_arrays import NEXT, STEP, CArray


@dataclass(frozen=True, eq=False)
class ScanArray(CArray):
    """An array that a function with a scan reads; its innermost loop is that of the scan."""

    @cached_property
    def tile_steps(self) -> tuple[int, ...]:
        """Loops, by number, whose steps are fields of the tile: those that move the array."""
        return tuple(at for at, loop in enumerate(self.flat.loops) if loop.steps[self.number])

    @property
    def _is_contiguous(self) -> bool:
        """Whether an iteration reads the element behind that of the one before."""
        is_next = self.read.width == 1 and self.read.array.dtype in NEXT
        return is_next and self.flat.loops[-1].steps[self.number] == 1

    @property
    def _loads_and_steps(self) -> bool:
        """Whether one instruction loads an element and moves on."""
        return self.read.width == 1 and self.read.array.dtype in STEP

    @property
    def step_variables(self) -> list[str]:
        """Definition of the step per iteration; in bytes if one instruction loads and moves."""
        if not self.moves or self._is_contiguous:
            return []
        size = np.dtype(self.read.array.dtype).itemsize if self._loads_and_steps else 1
        times = f"{size} * " if size > 1 else ""
        return [
            f"const int32_t {self.name}_step = "
            f"{times}tile->{self.name}_step[{len(self.tile_steps) - 1}];"
        ]

    @property
    def row_variables(self) -> list[str]:
        """Definitions of the pointer to a row's elements, or of the values that it has in
        common."""
        outer = [at for at in self.tile_steps if at < self.inner]
        terms = [f" + i{at} * tile->{self.name}_step[{n}]" for n, at in enumerate(outer)]
        start = "".join([f"tile->{self.name}", *terms])
        if not self.moves:
            reads = {text: at for _, at, text in self._named_elements}
            variable = "int64_t" if self.c_type == "int64_t" else "int32_t"
            return [f"const {variable} {text} = ({start})[{at}];" for text, at in reads.items()]
        kind = "int8_t" if self._is_contiguous or self._loads_and_steps else self.c_type
        return [f"const {kind} *{self.name} = (const {kind} *)({start});"]

    @property
    def _named_elements(self) -> list[tuple[int, int, str]]:
        """Id of an element, its place in the record, and its variable."""
        name = f"v{self.number}"
        is_record = self.read.width > 1
        return [(id(x), at, f"{name}_{at}" if is_record else name) for x, at in self.read.parts]

    @property
    def row_values(self) -> dict[int, str]:
        """Id of an element that a row has in common -> its variable."""
        return {} if self.moves else {at: text for at, _, text in self._named_elements}

    @property
    def iteration_values(self) -> dict[int, str]:
        """Id of an element of an iteration -> its variable."""
        return {at: text for at, _, text in self._named_elements} if self.moves else {}

    @property
    def loads(self) -> list[str]:
        """Statements that load the elements of an iteration."""
        if not self.moves:
            return []
        kind, name = self.read.array.dtype, self.name
        if self._is_contiguous:
            return [f"const int32_t v{self.number} = {NEXT[kind]}(&{name});"]
        if self._loads_and_steps:
            return [f"const int32_t v{self.number} = {STEP[kind]}(&{name}, {name}_step);"]
        reads = {text: at for _, at, text in self._named_elements}
        return [f"const int32_t {text} = {name}[{at}];" for text, at in reads.items()]

    @property
    def moved(self) -> list[str]:
        """Statement that moves the pointer to the next iteration."""
        is_moved = self.moves and not self._is_contiguous and not self._loads_and_steps
        return [f"{self.name} += {self.name}_step;"] if is_moved else []
