# SPDX-License-Identifier: Apache-2.0
"""Parts of formulas that depend on one byte alone, as entries of tables, which in long rows take
less than a product, its constants, a shift and a limit.

    clip(max((a * 9 + 4) >> 3, (b * 5 + 2) >> 2))   becomes   max(table0[a + 128], table1[b + 128])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from myoedge.nest.ir import Array, Axis, Binary, Element, Expr, Lookup, Nest, Number, Where, walk
from myoedge.nest.rebuild import rebuilt, with_elements, with_operands
from myoedge.nest.reference import NestReference
from myoedge.nest.simplify import simplified

BYTES = np.arange(-128, 128, dtype=np.int8)
OPERATIONS = 4  # of a part that is faster as a table
ELEMENTS = 2048  # that take more cycles than the transfer of a table


def shortest(values: Sequence[Expr], elements: int) -> Mapping[int, Expr]:
    """Return id of each part of formulas -> a part that always has its value, with the fewest
    operations; for many elements, entries of tables are among them."""
    made = simplified(*values)
    if elements < ELEMENTS:
        return made
    tabled = in_tables([made[id(value)] for value in values])
    return {part: tabled.get(id(found), found) for part, found in made.items()}


def in_tables(values: Sequence[Expr]) -> dict[int, Expr]:
    """Return id of each part of formulas -> the part in its place, which may be a table's entry."""
    single = _Single()
    apart = rebuilt(*values, change=single.with_limits_inside)
    tables = dict[int, Expr]()
    covered = set[int]()
    for part in reversed(walk(*(apart[id(value)] for value in values))):
        if id(part) not in covered and (entry := single.entry(part)):
            tables[id(part)] = entry
            covered |= {id(x) for x in walk(part)}

    def change(part: Expr, made: Mapping[int, Expr]) -> Expr:
        return tables.get(id(part)) or with_operands(part, made)

    made = rebuilt(*apart.values(), change=change)
    return {part: made[id(found)] for part, found in apart.items()}


class _Single:
    """The elements of bytes on which parts depend alone."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Expr, frozenset[Element] | None]] = {}

    def elements(self, part: Expr) -> frozenset[Element] | None:
        """Return the elements that a part reads; None if it depends on anything else."""
        if id(part) not in self._known:
            self._known[id(part)] = part, self._elements(part)
        return self._known[id(part)][1]

    def _elements(self, part: Expr) -> frozenset[Element] | None:
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
        """Return a limit of the larger or smaller of two bytes' values as that of two limits."""
        match own := with_operands(part, made):
            case Binary(
                "max" | "min" as limit, Binary("max" | "min" as chosen, a, b), Number() as end
            ) if self._is_of_one(a) and self._is_of_one(b):
                return Binary(chosen, Binary(limit, a, end), Binary(limit, b, end))
        return own

    def _is_of_one(self, part: Expr) -> bool:
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
