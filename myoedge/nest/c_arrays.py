# SPDX-License-Identifier: Apache-2.0
"""Arrays of a description in C: their pointers, and their elements.

Three kinds, for a loop over k and a sum over c:

    x0[k]        const int8_t *x0 = (const int8_t *)tile->x0;   then v0 = me_next_b(&x0)
    x1[0]        const int32_t v1 = *(tile->x1);
    x2[k, c]     const int8_t *x2 = tile->x2;                   then a loop over c, and x2 += 40
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from myoedge.nest.flat import FlatNest
from myoedge.nest.reads import ArrayRead
from myoedge.nest.windows import IndexMap

C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "int32": "int32_t"}
# int64: values before a scan, and after it; uint16: tables
ALL_TYPES = {**C_TYPES, "int64": "int64_t", "uint16": "uint16_t"}
MOST_NUMBERS = 16  # of all records that a row reads, as variables
NEXT = {
    "int8": "me_next_b",
    "uint8": "me_next_bu",
    "int16": "me_next_h",
    "int32": "(int32_t)me_next_w",
}
PUT = {"int8": "me_put_b", "int16": "me_put_h", "int32": "me_put_w"}
STEP = {
    "int8": "me_step_b",
    "uint8": "(uint8_t)me_step_b",
    "int16": "me_step_h",
    "int32": "(int32_t)me_step_w",
}


def put(kind: str, pointer: str, value: str) -> str:
    """Return the statement that writes a value and moves the pointer behind it.

    kind   NumPy's name of the element type
    """
    text = f"(uint32_t)({value})" if kind == "int32" else value
    return f"{PUT[kind]}(&{pointer}, {text});"


@dataclass(frozen=True, eq=False)
class CArray:
    """An array that a generated function reads.

    name     its name in C
    flat     the description
    number   position in the reads of the description
    """

    name: str
    flat: FlatNest
    number: int

    @property
    def read(self) -> ArrayRead:
        return self.flat.reads[self.number]

    @property
    def c_type(self) -> str:
        return ALL_TYPES[self.read.array.dtype]

    @property
    def inner(self) -> int:
        """Number of the innermost loop."""
        return len(self.flat.loops) - 1

    @property
    def moves(self) -> bool:
        """Whether the innermost loop moves through the array."""
        return self.flat.loops[-1].steps[self.number] != 0

    @property
    def is_strided(self) -> bool:
        """Whether the innermost loop reads elements that are not side by side, one at a time."""
        return not self.is_indexed and self.flat.loops[-1].steps[self.number] > 1

    @property
    def is_indexed(self) -> bool:
        """Whether elements are read by an index from the row's pointer."""
        return self.read.is_reduced or not self.read.is_single or self.is_taken

    @cached_property
    def is_taken(self) -> bool:
        """Whether an index of the elements is computed, like the index of one more loop."""
        return self.flat.taken_of(self.number) is not None

    @property
    def computed(self) -> int:
        """Number of the computed index among loops and reduced axes."""
        return len(self.flat.loops) + len(self.flat.over)

    @cached_property
    def tile_steps(self) -> tuple[int, ...]:
        """Loops and reduced axes, by number, whose steps are fields of the tile."""
        if not self.is_indexed:
            own = self.is_strided and self._literal_step(self.inner) is None
            return tuple(range(self.inner + own))
        count = self.computed + self.is_taken
        return tuple(at for at in range(count) if self._literal_step(at) is None)

    @cached_property
    def _index_text(self) -> IndexMap:
        found = self.flat.index_map(self.number)
        assert found is not None, "C is generated for arrays with an index per dimension"
        return found

    def _literal_step(self, at: int) -> int | None:
        """Return the step of a loop or reduced axis; None if it depends on the tile: on the extent
        of a loop inside of it."""
        known = [self._literal_extent(d) for d in range(len(self._index_text.shape))]
        if any(known[d] is None for d in self._index_text.inside(at)):
            return None
        return self._index_text.step(at, [extent or 1 for extent in known])

    def _literal_extent(self, d: int) -> int | None:
        """Return the elements of a dimension that any tile has; None if they depend on the tile."""
        known = self._index_text
        terms, first, size = known.index[d], known.first[d], known.shape[d]
        if not terms:
            return size
        if min(at for at, _ in terms) <= self.inner:
            return None
        if terms == ((self.computed, 1),):
            return size
        reach = sum(n * (self.flat.over[at - self.inner - 1].extent - 1) for at, n in terms)
        return 1 + reach if first >= 0 and first + reach < size else None

    def step(self, at: int, times: int = 1) -> str:
        """Return `times` steps of a loop or reduced axis, in C."""
        known = self.tile_steps
        if at not in known:
            return str(times * (self._literal_step(at) or 0))
        number = known.index(at)
        is_variable = at in self._variable_steps
        text = f"{self.name}_step{number}" if is_variable else f"tile->{self.name}_step[{number}]"
        return text if times == 1 else f"{times} * {text}"

    @property
    def is_row_record(self) -> bool:
        """Whether the numbers of a record that all of a row reads are variables."""
        return self._is_same_in_row(self.number) and not self.is_read_in_place

    @property
    def is_read_in_place(self) -> bool:
        """Whether numbers of records are read where they are used: a core's stack has no room for
        many variables."""
        reads = (x for n, x in enumerate(self.flat.reads) if self._is_same_in_row(n))
        return sum(len({at for _, at in x.parts}) for x in reads) > MOST_NUMBERS

    def _is_same_in_row(self, number: int) -> bool:
        """Return whether all of a row reads the same record of an array."""
        read, moves = self.flat.reads[number], self.flat.loops[-1].steps[number]
        return read.width > 1 and not moves and not read.is_reduced

    @property
    def is_dense(self) -> bool:
        """Whether a row's elements are read one behind the other."""
        return self.moves and not self.is_indexed and not self.is_strided

    @property
    def is_fixed(self) -> bool:
        """Whether it is a constant of which all iterations read the same elements."""
        steps = (loop.steps[self.number] for loop in self.flat.loops)
        is_constant = self.read.array.values is not None and not self.read.is_reduced
        return is_constant and not self.is_taken and not any(steps)

    @property
    def fixed_values(self) -> list[str]:
        """Definitions of the values that all iterations read."""
        return self._row_values(f"tile->{self.name}") if self.is_fixed else []

    def row_definitions(self, start: str) -> list[str]:
        """Return the definitions of the values that all of a row reads, and not all rows.

        start   pointer to the row
        """
        return [] if self.is_fixed else self._row_values(start)

    def _row_values(self, start: str) -> list[str]:
        """Return the definitions of the values at a pointer that does not move along a row."""
        if self.is_row_record:
            return self.record_at(f"({start})")
        if self.moves or self.is_indexed:
            return []
        return [f"const int32_t v{self.number} = *({start});"]

    def record_at(self, start: str) -> list[str]:
        """Return the definitions of the numbers of a record at a pointer."""
        each = sorted({at for _, at in self.read.parts})
        return [f"const int32_t {self.name}_{at} = {start}[{at}];" for at in each]

    @property
    def step_variables(self) -> list[str]:
        """Definitions of the variables for steps that depend on the tile."""
        known, name = self._variable_steps, f"{self.name}_step"
        numbers = (n for n, at in enumerate(self.tile_steps) if at in known)
        return [f"const int32_t {name}{n} = tile->{name}[{n}];" for n in numbers]

    @property
    def _variable_steps(self) -> tuple[int, ...]:
        """Loops and reduced axes, by number, whose steps the innermost loop needs: a store of a
        byte may change the tile, as far as compilers know."""
        strided = (self.inner,) if self.is_strided else ()
        return self.tile_steps if self.is_indexed else strided

    def pointer(self, start: str, shift: str) -> str:
        """Return the definition of the pointer to the row's elements; "" if there is none.

        start   pointer to the row
        shift   distance of the core's first iteration, in C
        """
        if self.is_row_record:
            return ""
        if self.is_indexed:
            step = self.step(self.inner)
            own = shift if step == "1" else f"{shift} * {step}"
            own = own if shift and self.moves else ""
            return f"const {self.c_type} *{self.name} = {start}{own};"
        if not self.moves:
            return ""
        shift = f"{shift} * {self.step(self.inner)}" if shift and self.is_strided else shift
        return f"const int8_t *{self.name} = (const int8_t *)({start}{shift});"

    def next_value(self, prefix: str) -> str:
        """Return the statement that loads the next element; "" if it is read by an index or loaded
        before."""
        if self.is_indexed or not self.moves:
            return ""
        kind = self.read.array.dtype
        load = f"{NEXT[kind]}(&{self.name})"
        if self.is_strided:
            load = f"{STEP[kind]}(&{self.name}, {in_bytes(self.step(self.inner), kind)})"
        return f"const int32_t {prefix}{self.number} = {load};"

    def row(self, ahead: int) -> str:
        """Return the pointer for an iteration of the innermost loop.

        ahead   number of the iteration from that to which the pointer points
        """
        step = self.step(self.inner, ahead)
        return self.name if step == "0" else f"{self.name} + {step}"

    def values(self, prefix: str, ahead: int) -> dict[int, str]:
        """Return id of an element -> C of its value.

        prefix   of the variables of this iteration
        """
        if self.read.is_reduced or self.is_taken:
            return {}
        if self.read.is_single:
            text = f"{prefix if self.moves else 'v'}{self.number}"
            return {id(part): text for part, _ in self.read.parts}
        if self.is_row_record:
            return {id(part): f"{self.name}_{at}" for part, at in self.read.parts}
        start, each = int(self.step(self.inner, ahead)), self.read.apart
        return {id(part): f"{self.name}[{start + at * each}]" for part, at in self.read.parts}


@dataclass(frozen=True, eq=False)
class CRow:
    """The elements of an array along a reduced axis in C, for an iteration of the innermost loop.

    array   the array
    ahead   number of the iteration from that to which the array's pointer points
    """

    array: CArray
    ahead: int

    def pointer(self, name: str, at: Mapping[str, int]) -> str:
        """Return the definition of a pointer to the first element.

        name   of the pointer
        at     iteration, in C -> its reduced axis, by number
        """
        steps = [(i, self.array.step(self.array.inner + 1 + n)) for i, n in at.items()]
        terms = [i if step == "1" else f"{i} * {step}" for i, step in steps if "0" not in (i, step)]
        start = " + ".join([self.array.row(self.ahead), *terms])
        cast = "" if self.array.c_type == "int8_t" else "(const int8_t *)"
        return f"const int8_t *{name} = {cast}{f'({start})' if cast else start};"

    def taken(self, at: str) -> str:
        """Return the C of an element at a computed index."""
        step = self.array.step(self.array.computed)
        row = self.array.row(self.ahead)
        start = f"({row})" if " " in row else row
        return f"{start}[{at}]" if step == "1" else f"{start}[{at} * {step}]"

    def next_value(self, pointer: str, axis: int) -> str:
        """Return the C that loads an element and moves the pointer to the next one along a reduced
        axis, by number."""
        step, kind = self.array.step(self.array.inner + 1 + axis), self.array.read.array.dtype
        if step == "1":
            return f"{NEXT[kind]}(&{pointer})"
        return f"{STEP[kind]}(&{pointer}, {in_bytes(step, kind)})"


def in_bytes(step: str, kind: str) -> str:
    """Return a step in elements of a type as one in bytes, in C."""
    size = np.dtype(kind).itemsize
    if size == 1:
        return step
    return str(size * int(step)) if step.isdigit() else f"{size} * {step}"
