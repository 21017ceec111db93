# SPDX-License-Identifier: Apache-2.0
"""All iterations of a loop of a network in one function: rows of sequences move on, and states are
read where they are written.

    for (int32_t i = ME_FIRST(32); i < ME_LAST(32); i++)
        tile->y1[i] = tile->x2[i];
    ME_SYNC();
    for (int32_t turn = 0; turn < 40; turn++) {
        ...                                   reads tile->x0 + turn * 8, writes tile->y + turn * 32
    }

If a core reads its own elements alone, it computes all iterations of an element, whose states and
constants are variables:

    int32_t v2 = me_next_b(&x2);
    const int8_t *x0_at = x0;
    for (int32_t turn = 0; turn < 40; turn++) {
        const int32_t v0 = me_step_b(&x0_at, 32);
        ...
        last1 = v9;
        v2 = last1;
    }
    me_put_b(&y1, v2);
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.nest.c_arrays import NEXT, STEP, CArray, put
from myoedge.nest.c_formula import FormulaText
from myoedge.nest.flat import FlatNest, Iterations
from myoedge.nest.formula_parts import FormulaParts


@dataclass(frozen=True, eq=False)
class CTurns:
    """The iterations around a function's loops.

    flat      the description
    arrays    arrays that it reads
    results   names of its results
    """

    flat: FlatNest
    arrays: tuple[CArray, ...]
    results: tuple[str, ...]

    @property
    def is_inner(self) -> bool:
        """Whether a core computes all iterations of an element before the next element."""
        turns, flat = self.flat.turns, self.flat
        if turns is None or flat.late or flat.over:
            return False
        moved = (self.arrays[n] for n in (*turns.rows, *turns.states))
        is_known = not any(x.is_taken or x.is_read_in_place for x in self.arrays)
        return is_known and all(x.is_dense for x in moved)

    def array(self, array: CArray) -> str:
        """Return the pointer to an array in an iteration, in C."""
        turns, number = None if self.is_inner else self.flat.turns, array.number
        if turns is not None and number in turns.states:
            return f"tile->{self.results[turns.states[number]]}"
        if turns is not None and number in turns.rows:
            return f"tile->{array.name} + turn * {self.flat.row_size(number)}"
        return f"tile->{array.name}"

    def result(self, number: int) -> str:
        """Return the pointer to a result in an iteration, in C."""
        start, turns = f"tile->{self.results[number]}", self.flat.turns
        if turns is None or self.is_inner or number not in turns.row_results:
            return start
        return f"{start} + turn * {self._result_bytes}"

    def around(self, body: Iterable[str]) -> Iterator[str]:
        """Yield the statements of all iterations.

        body   those of one
        """
        turns = self.flat.turns
        if turns is None or self.is_inner:
            yield from body
            return
        yield from self._first_state_copies()
        yield f"for (int32_t turn = 0; turn < {turns.count}; turn++) {{"
        yield from (f"    {line}" for line in body)
        if self.flat.late:
            yield "    ME_SYNC(); /* all cores have written the states */"
        yield "}"

    # --- all iterations of an element

    def row(self, count: str, formula: FormulaParts, moves: Iterable[str]) -> Iterator[str]:
        """Yield the loop over a row's elements.

        count     elements, in C
        formula   formulas of an element
        moves     statements that move pointers of constants to the next element
        """
        yield f"for (int32_t left = {count}; left > 0; left--) {{"
        yield from (f"    {line}" for line in self.element(*self.iteration(formula)))
        yield from (f"    {line}" for line in moves)
        yield "}"

    def iteration(self, formula: FormulaParts) -> tuple[list[str], list[str]]:
        """Return the statements of an iteration without stores, and its results in C."""
        text = FormulaText(formula, self.values(), "v")
        values = text.results()
        return [*self.loads(), *text.lines], values

    def values(self) -> dict[int, str]:
        """Return id of an element -> C of its value in an iteration."""
        found: dict[int, str] = {}
        for x in self.arrays:
            one = f"v{x.number}"
            is_record = x.read.width > 1
            found |= {id(p): f"{x.name}_{at}" if is_record else one for p, at in x.read.parts}
        return found

    def loads(self) -> Iterator[str]:
        """Yield the statements at the start of an iteration: the elements of sequences."""
        for x in self._row_arrays:
            kind = x.read.array.dtype
            row = self.flat.row_size(x.number) * np.dtype(kind).itemsize
            yield f"const int32_t v{x.number} = {STEP[kind]}(&{x.name}_at, {row});"

    def element(self, iteration: Iterable[str], values: Sequence[str]) -> Iterator[str]:
        """Yield the statements of an element.

        iteration   those of an iteration, without stores
        values      C of the results' values
        """
        turns = self._iteration_count
        yield from self._statements_before_loop()
        yield f"for (int32_t turn = 0; turn < {turns.count}; turn++) {{"
        yield from (f"    {line}" for line in (*iteration, *self._row_stores(values)))
        yield "}"
        for x in self._row_arrays:
            yield f"{x.name} += {np.dtype(x.read.array.dtype).itemsize};"
        for number, name in enumerate(self.results):
            if number in turns.row_results:
                yield f"{name} += {self._element_bytes(number)};"
            else:
                yield put(self._element_type(number), name, f"last{number}")

    def _statements_before_loop(self) -> Iterator[str]:
        """Yield the values that do not change between iterations, first states, and pointers."""
        turns = self._iteration_count
        for x in self.arrays:
            if x.number in turns.rows:
                yield f"const int8_t *{x.name}_at = {x.name};"
            elif x.number in turns.states:
                yield f"int32_t v{x.number} = {NEXT[x.read.array.dtype]}(&{x.name});"
            elif x.read.width > 1:
                yield from [] if x.is_fixed else x.record_at(x.name)
            elif line := x.next_value("v"):
                yield line
        for number, name in enumerate(self.results):
            if number in turns.row_results:
                yield f"int8_t *{name}_at = {name};"
            else:
                yield f"int32_t last{number} = 0;"

    def _row_stores(self, values: Sequence[str]) -> Iterator[str]:
        """Yield the statements that write rows, and then replace the states."""
        turns = self._iteration_count
        for number, (name, value) in enumerate(zip(self.results, values, strict=True)):
            if number in turns.row_results:
                size = self._element_bytes(number)
                yield put(self._element_type(number), f"{name}_at", value)
                yield f"{name}_at += {(self._result_bytes - 1) * size};"
            else:
                yield f"last{number} = {value};"
        for read, result in turns.states.items():
            yield f"v{read} = last{result};"

    @property
    def _iteration_count(self) -> Iterations:
        assert self.flat.turns is not None, "a description with iterations"
        return self.flat.turns

    @property
    def _row_arrays(self) -> list[CArray]:
        return [x for x in self.arrays if x.number in self._iteration_count.rows]

    def _element_type(self, number: int) -> str:
        return self.flat.nest.results[number][0].dtype

    def _element_bytes(self, number: int) -> int:
        return np.dtype(self._element_type(number)).itemsize

    # --- all elements of an iteration

    def _first_state_copies(self) -> Iterator[str]:
        """Yield the statements that copy the first states to where the function writes them."""
        states = {} if self.flat.turns is None else self.flat.turns.states
        found = {result: read for read, result in states.items()}
        size = self._result_bytes
        for result, read in found.items():
            yield f"for (int32_t i = ME_FIRST({size}); i < ME_LAST({size}); i++) {{"
            yield f"    tile->{self.results[result]}[i] = tile->x{read}[i];"
            yield "}"
        if found:
            yield "ME_SYNC(); /* all states have their first values */"

    @property
    def _result_bytes(self) -> int:
        return math.prod(loop.extent for loop in self.flat.loops)
