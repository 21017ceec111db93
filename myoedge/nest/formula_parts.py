# SPDX-License-Identifier: Apache-2.0
"""Texts of C expressions, and formulas with what their C depends on: names, ranges, uses and
reduced axes of their parts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, zip_longest

from myoedge.nest.intervals import Interval
from myoedge.nest.ir import Axis, Expr, walk
from myoedge.nest.nodes import reduced_axes

EARLY_LOADS = 4  # arrays of which registers hold the elements ahead of all other values
VARIABLE = re.compile(r"\b[a-z]\w*")


def shifted(text: str, bits: int) -> str:
    return f"({text} >> {bits})" if bits else text


def bare(text: str) -> str:
    """Return an expression without the parentheses around it."""
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0 and at < len(text) - 1:
            return text
    return text[1:-1]


def side_by_side(columns: Sequence[tuple[Sequence[str], Sequence[str]]]) -> list[str]:
    """Return the statements for some elements, of which independent ones follow each other.

    columns   the loads of an element, and the statements behind them
    """
    loads = [*zip(*(own for own, _ in columns), strict=True)]
    texts = [text for _, text in columns]
    has_loops = any(line.endswith("{") for line in texts[0])
    rows = texts if has_loops else zip_longest(*texts, fillvalue="")
    lines = [*filter(None, chain(*rows))]
    if len(columns) == 1 or len(loads) <= EARLY_LOADS or has_loops:
        return [*chain(*loads), *lines]
    return _loads_at_first_use(loads, lines)


def _loads_at_first_use(loads: Sequence[Sequence[str]], lines: Sequence[str]) -> list[str]:
    """Return statements with loads in front of the first one that reads any of them: registers
    hold fewer values at a time.

    loads   groups of definitions that stay together, as their order is that of memory
    """
    left = {line.split()[2]: group for group in loads for line in group}
    found = list[str]()
    for line in lines:
        is_store = line.startswith("me_put")  # maybe in the place of what is read
        for name in [*left] if is_store else VARIABLE.findall(line):
            if group := left.get(name):
                found += group
                left = {x: other for x, other in left.items() if other is not group}
        found.append(line)
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
