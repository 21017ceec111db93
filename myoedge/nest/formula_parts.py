# SPDX-License-Identifier: Apache-2.0
"""Formulas with what their C depends on: names, ranges, uses and reduced axes of their parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from myoedge.nest.intervals import Interval
from myoedge.nest.ir import Axis, Element, Expr, Reduced, walk


def reduced_axes(parts: Sequence[Expr], over: Sequence[Axis]) -> dict[int, frozenset[Axis]]:
    """Return the reduced axes on which each part depends, by its id.

    parts   parts of formulas, operands first
    over    the reduced axes of the formulas
    """
    found: dict[int, frozenset[Axis]] = {}
    for part in parts:
        own = frozenset[Axis]().union(*(found[id(x)] for x in part.operands))
        if isinstance(part, Element):
            own |= {axis for index in part.index for axis, _ in index.terms} & {*over}
        found[id(part)] = own - {part.axis} if isinstance(part, Reduced) else own
    return found


@dataclass(frozen=True)
class FormulaParts:
    """Formulas with the names and ranges that their C depends on.

    values   the formulas
    labels   id of a part -> comment of the variable that has its value
    tables   id of a constant table -> its C name
    ranges   id of a part -> its range
    over     reduced axes: r0, r1, ... in C
    arrays   number of arrays; variables beyond have higher numbers
    types    id of a part -> its range by which its C type is chosen: that of this training, because
             other trainings are refused if their values need more bits
    """

    values: tuple[Expr, ...]
    labels: Mapping[int, str]
    tables: Mapping[int, str]
    ranges: Mapping[int, Interval]
    over: tuple[Axis, ...] = ()
    arrays: int = 0
    types: Mapping[int, Interval] = field(default_factory=dict)

    @cached_property
    def uses(self) -> Counter[int]:
        """Number of times that each part is an operand or a formula's value, by its id."""
        used = (x for part in walk(*self.values) for x in part.operands)
        return Counter(map(id, (*used, *self.values)))

    @cached_property
    def axes(self) -> dict[int, frozenset[Axis]]:
        """Reduced axes on which each part depends, by its id."""
        return reduced_axes(walk(*self.values), self.over)
