# SPDX-License-Identifier: Apache-2.0
"""Parts of formulas that depend on one byte alone, as entries of tables, which in long rows take
less than a product, its constants, a shift and a limit.

    clip(max((a * 9 + 4) >> 3, (b * 5 + 2) >> 2))   becomes   max(table0[a + 128], table1[b + 128])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from myoedge.nest.ir import Array, Axis, Binary, Element, Expr, Lookup, Nest, Number, Where, walk
from myoedge.nest.rebuild import merged, rebuilt, with_elements, with_operands
from myoedge.nest.reference import NestReference
from myoedge.nest.simplify import simplified

BYTES = np.arange(-128, 128, dtype=np.int8)
OPERATIONS = 4  # of a part that is faster as a table
ELEMENTS = 2048  # that take more cycles than the transfer of a table


def shortest(values: Sequence[Expr], elements: int) -> Mapping[int, Expr]:
    """Return id of each part of formulas -> a part that always has its value, with the fewest
    operations; for many elements, entries of tables are among them."""
    made: Mapping[int, Expr] = simplified(*values)
    for step in (merged, *[in_tables] * (elements >= ELEMENTS), with_moved_entries, merged):
        changed = step([made[id(value)] for value in values])
        made = {part: changed.get(id(found), found) for part, found in made.items()}
    return made


def in_tables(values: Sequence[Expr]) -> dict[int, Expr]:
    """Return id of each part of formulas -> the part in its place, which may be a table's entry."""
    single = _SingleElement()
    apart = rebuilt(*values, change=single.with_limits_inside)
    tables = dict[int, Expr]()
    covered = set[int]()
    for part in reversed(walk(*(apart[id(value)] for value in values))):
        if id(part) not in covered and (entry := single.entry(part)) is not None:
            tables[id(part)] = entry
            covered |= {id(x) for x in walk(part)}

    def change(part: Expr, made: Mapping[int, Expr]) -> Expr:
        return tables[id(part)] if id(part) in tables else _join_tables(with_operands(part, made))

    made = rebuilt(*apart.values(), change=change)
    return {part: made[id(found)] for part, found in apart.items()}


def _join_tables(part: Expr) -> Expr:
    """Return a choice of two tables' entries as an entry of both tables side by side."""
    match part:
        case Where(
            condition,
            Lookup(first, Binary("-", x, Number(-128))),
            Lookup(second, Binary("-", y, Number(-128))),
        ) if {(first.dtype, first.varies), (second.dtype, second.varies)} == {("int8", False)}:
            values = np.concatenate((first.known, second.known))
            table = Array("table", "int8", values.shape, values)
            return Lookup(table, Where(condition, x, y + len(first.known)) - int(BYTES[0]))
    return part


def with_moved_entries(values: Sequence[Expr]) -> dict[int, Expr]:
    """Return id of each part of formulas -> the part in its place: entries of a table include the
    number that all parts that read them add."""
    added = _added_numbers(values)
    tables: dict[tuple[int, int], Array | None] = {}

    def change(part: Expr, made: Mapping[int, Expr]) -> Expr:
        match part:
            case Binary("+" | "-", Lookup(array, at) as entry, Number()) if id(entry) in added:
                key = id(array), added[id(entry)]
                if (table := tables.setdefault(key, _add_to_table(array, key[1]))) is not None:
                    return Lookup(table, made[id(at)])
        return with_operands(part, made)

    return rebuilt(*values, change=change)


def _added_numbers(values: Sequence[Expr]) -> dict[int, int]:
    """Return id of a part -> the number that all other parts that read it add, outside of
    indices."""
    parts = walk(*values)
    indices = {id(part.at) for part in parts if isinstance(part, Lookup)}
    found: dict[int, set[int | None]] = {id(x): {None} for x in values}
    for reader, x in ((part, x) for part in parts for x in part.operands):
        number = None if id(reader) in indices else _added_number(reader, x)
        found.setdefault(id(x), set()).add(number)
    return {
        at: number for at, numbers in found.items() if (number := _only_number(numbers)) is not None
    }


def _only_number(numbers: set[int | None]) -> int | None:
    return next(iter(numbers)) if len(numbers) == 1 else None


def _added_number(part: Expr, x: Expr) -> int | None:
    """Return the number that a part adds to an operand; None if it does something else."""
    match part:
        case Binary("+" | "-" as operation, left, Number(number)) if left is x:
            return number if operation == "+" else -number
    return None


def _add_to_table(table: Array, number: int) -> Array | None:
    """Return a table of bytes with a number added to each entry; None if one is no byte then."""
    if table.dtype != "int8" or table.varies:
        return None
    entries = table.known.astype(np.int32) + number
    for kind in ("int8", "uint8"):
        if np.array_equal(entries.astype(kind), entries):
            return replace(table, dtype=kind, values=entries.astype(kind))
    return None


class _SingleElement:
    """The elements of bytes on which parts depend alone."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Expr, frozenset[Element] | None]] = {}

    def elements(self, part: Expr) -> frozenset[Element] | None:
        """Return the elements that a part reads; None if it depends on anything else."""
        if id(part) not in self._known:
            self._known[id(part)] = part, self._byte_elements(part)
        return self._known[id(part)][1]

    def _byte_elements(self, part: Expr) -> frozenset[Element] | None:
        match part:
            case Element(Array(dtype="int8", values=None, outside=None)):
                return frozenset({part})
            case Number() | Binary() | Where() | Lookup():
                found = frozenset[Element]()
                for x in part.operands:
                    if (inner := self.elements(x)) is None:
                        return None
                    found |= inner
                return found
        return None

    def with_limits_inside(self, part: Expr, made: Mapping[int, Expr]) -> Expr:
        """Return a limit of the larger or smaller of two bytes' values, or of a choice of them, as
        that of two limits."""
        match own := with_operands(part, made):
            case Binary(
                "max" | "min" as limit, Binary("max" | "min" as chosen, a, b), Number() as end
            ) if self._depends_on_one_element(a) and self._depends_on_one_element(b):
                return Binary(chosen, Binary(limit, a, end), Binary(limit, b, end))
            case Binary("max" | "min" as limit, Where(condition, a, b), Number() as end) if (
                self._depends_on_one_element(a) or self._depends_on_one_element(b)
            ):
                return Where(condition, Binary(limit, a, end), Binary(limit, b, end))
        return own

    def _depends_on_one_element(self, part: Expr) -> bool:
        return len(self.elements(part) or ()) == 1

    def entry(self, part: Expr) -> Lookup | None:
        """Return a part as an entry of a table; None if it is none of bytes, or of few
        operations."""
        elements, parts = self.elements(part) or (), walk(part)
        if len(elements) != 1 or sum(1 for x in parts if x.operands) < OPERATIONS:
            return None
        (element,) = elements
        axis = Axis("byte", len(BYTES))
        x = Array("x", "int8", BYTES.shape)
        formula = with_elements(part, lambda _: x[axis])
        found = NestReference.of(
            Nest((axis,), (x,), Array("y", "int32", BYTES.shape), (axis.at,), formula)
        )(BYTES)
        if found.min() < BYTES[0] or found.max() > BYTES[-1]:
            return None
        table = Array("table", "int8", BYTES.shape, found.astype(np.int8))
        return Lookup(table, element - int(BYTES[0]))
