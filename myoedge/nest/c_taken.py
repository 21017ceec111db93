# SPDX-License-Identifier: Apache-2.0
"""Elements at computed indices in C: a row whose elements have one index in common is read from a
pointer to its start.

    const int8_t *g0 = x0 + v1 * x0_step0;
    for (...) {
        const int32_t vg0 = me_next_b(&g0);
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from myoedge.nest.c_arrays import NEXT, CArray, CRow, put
from myoedge.nest.c_formula import FormulaText
from myoedge.nest.flat import FlatNest
from myoedge.nest.formula_parts import FormulaParts
from myoedge.nest.ir import Array, Expr
from myoedge.nest.lanes import LANES
from myoedge.nest.nodes import Taken, depending, reduced_axes


def moving_parts(flat: FlatNest) -> set[int]:
    """Return the parts, by id, that the innermost loop changes."""
    steps = flat.loops[-1].steps
    read = [x for n, x in enumerate(flat.reads) if steps[n]]
    return depending(flat.nest.parts, {id(part) for x in read for part, _ in x.parts})


def _parts_of_reductions(flat: FlatNest) -> set[int]:
    """Return the parts, by id, that depend on a reduced axis."""
    return {part for part, axes in reduced_axes(flat.nest.parts, flat.over).items() if axes}


@dataclass(frozen=True, eq=False)
class TakenRow:
    """A row of elements with one computed index.

    part    the element
    array   its array
    name    name of the pointer to the next element
    """

    part: Taken
    array: CArray
    name: str

    @property
    def kind(self) -> str:
        return self.array.read.array.dtype

    def pointer(self, at: str) -> str:
        """Return the definition of the pointer; `at` is the index, in C."""
        element = CRow(self.array, 0).taken(at)
        cast = "" if self.kind == "int8" else "(const int8_t *)"
        return f"const int8_t *{self.name} = {cast}&{element};"

    def load(self, prefix: str) -> str:
        """Return the statement that loads the next element."""
        return f"const int32_t {self.value(prefix)} = {NEXT[self.kind]}(&{self.name});"

    def value(self, prefix: str) -> str:
        return f"{prefix}{self.name}"

    def copies(self, count: str) -> Iterator[str]:
        """Yield the copy of a row by words, then by elements.

        count   elements, in C
        """
        lanes = LANES.get(self.kind, 1)
        yield f"int32_t left = {count};"
        if lanes > 1:
            yield f"for (; left > {2 * lanes - 1}; left -= {2 * lanes}) {{"
            word = f"me_next_w(&{self.name})"
            yield f"    const uint32_t one = {word}, two = {word};"
            yield "    me_put_w(&y, one);"
            yield "    me_put_w(&y, two);"
            yield "}"
        yield "for (; left > 0; left--)"
        yield f"    {put(self.kind, 'y', f'{NEXT[self.kind]}(&{self.name})')}"


@dataclass(frozen=True, eq=False)
class TakenRows:
    """The rows of a function whose elements have one computed index and lie side by side.

    parts   all parts with a computed index
    rows    those that are read by rows
    """

    parts: Sequence[Taken]
    rows: Sequence[TakenRow]

    @staticmethod
    def of(flat: FlatNest, arrays: Sequence[CArray]) -> TakenRows:
        """Return the rows of a description: indices differ neither along a row nor in a sum."""
        parts, moving = flat.nest.parts, moving_parts(flat) | _parts_of_reductions(flat)
        array_of = {id(part): array for array in arrays for part, _ in array.read.parts}
        taken = [part for part in parts if isinstance(part, Taken)]
        found = [(part, array_of[id(part.element)]) for part in taken if id(part.at) not in moving]
        dense = [(part, x) for part, x in found if x.flat.loops[-1].steps[x.number] == 1]
        return TakenRows(taken, [TakenRow(part, x, f"g{n}") for n, (part, x) in enumerate(dense)])

    def pointers(
        self, formula: FormulaParts, loads: Mapping[int, str], arrays: Mapping[int, CRow]
    ) -> Iterator[str]:
        """Yield the definitions of the rows' pointers, behind the definitions of their indices.

        loads    id of an element that a row reads -> its C
        arrays   id of an element with a computed index -> its array
        """
        text = FormulaText(formula, loads, "a", (), arrays)
        pointers = [row.pointer(text.of(row.part.at)) for row in self.rows]
        yield from (*text.lines, *pointers)

    def has_all_of(self, array: CArray) -> bool:
        """Return whether all computed elements of an array are read by rows."""
        own = {id(part) for part, _ in array.read.parts}
        taken = {id(part) for part in self.parts if id(part.element) in own}
        return bool(taken) and taken <= {id(row.part) for row in self.rows}

    def copied(self, results: Sequence[tuple[Array, Expr]]) -> TakenRow | None:
        """Return the row that is the only result as it is; None without one."""
        known = {id(row.part): row for row in self.rows}
        (array, value), *more = results
        row = known.get(id(value))
        return row if row is not None and row.kind == array.dtype and not more else None
