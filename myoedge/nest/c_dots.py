# SPDX-License-Identifier: Apache-2.0
"""Sums of products of contiguous rows in C: up to four rows at a time with one row that they share.

For four results k .. k + 3 of the sum over c of x1[k, c] * x0[c], with 40 elements of c:

    int32_t s0[4];
    me_dot4_b(s0, x0, x1, x1 + 40, x1 + 80, x1 + 120, 40);
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from myoedge.nest.c_arrays import CArray
from myoedge.nest.ir import Axis, Binary, Element, Expr, Reduced

HEADER = "me_dot.h"
KINDS = {"int8": "b", "int16": "h"}
TOGETHER = (4, 2, 1)  # rows with one that they share
MANY = 8  # rows side by side
MANY_WORDS, MOST_WORDS = range(16, 74, 8), 1024  # of such a row (me_dot.h), and of a core's rows
CALLS = re.compile(r"me_(?:dot|sum)(\d?)_([bh])\(.* (\d+)\);")
# Cycles of a word of the shared row by the number of other rows, from the instructions of me_dot.h
# and simulated layers: cores wait for banks of L1.
WORD_CYCLES = {1: 6.0, 2: 7.2, 4: 12.6, 8: 20.0}
# The same of an element behind the words. A word of rows that do not begin at words, three in four
# of them, is two accesses.
LEFT_CYCLES = {1: 5.0, 2: 8.0, 4: 12.0, 8: 0.0}
UNALIGNED_CYCLES = 0.75
CALL_CYCLES = 8.0
WORD_SIZES = {"b": 4, "h": 2}  # elements


@dataclass(frozen=True, eq=False)
class RowProduct:
    """A sum of products of two contiguous rows, or of the elements of one.

    part    the sum
    rows    arrays of the rows; the second one moves with the innermost loop if any does
    """

    part: Reduced
    rows: tuple[CArray, ...]

    @property
    def kind(self) -> str:
        return KINDS[self.rows[0].read.array.dtype]

    @property
    def extent(self) -> int:
        return self.part.axis.extent


def dots_of(
    parts: Sequence[Expr], arrays: Sequence[CArray], over: Sequence[Axis]
) -> list[RowProduct]:
    """Return the sums of products among the parts of a formula.

    over   reduced axes of the description
    """
    array_of = {id(part): array for array in arrays for part, _ in array.read.parts}
    found = []
    for part in parts:
        match part:
            case Reduced("sum", axis, Binary("*", Element() as a, Element() as b), None) if (
                a is not b
            ):
                rows = sorted((array_of[id(x)] for x in (a, b)), key=lambda row: row.moves)
                if _are_contiguous_rows(rows, over.index(axis)):
                    found.append(RowProduct(part, (rows[0], rows[1])))
            case Reduced("sum", axis, Element() as a, None):
                if _are_contiguous_rows([array_of[id(a)]], over.index(axis)):
                    found.append(RowProduct(part, (array_of[id(a)],)))
    return found


def _are_contiguous_rows(arrays: Sequence[CArray], axis: int) -> bool:
    """Return whether arrays of one known type are contiguous along a reduced axis, and no other
    reduced axis moves them."""
    kinds = {array.read.array.dtype for array in arrays}
    return (
        len(kinds) == 1
        and kinds <= KINDS.keys()
        and all(x.is_indexed and x.step(x.inner + 1 + axis) == "1" for x in arrays)
        and all([n for n, step in enumerate(x.read.over) if step] == [axis] for x in arrays)
    )


@dataclass
class DotText:
    """The C of sums of products.

    lines    statements
    values   per iteration, id of a sum -> C of its value
    """

    lines: list[str] = field(default_factory=list)
    values: list[dict[int, str]] = field(default_factory=list)

    def add_rows(
        self, group: Sequence[tuple[int, RowProduct]], variable: str, arguments: str, kind: str
    ) -> None:
        """Add the sums of products of some rows with one that they share."""
        size = len(group)
        if size == 1:
            self.lines.append(f"const int32_t {variable} = me_dot_{kind}({arguments});")
        else:
            call = f"me_dot{size}_{kind}({variable}, {arguments});"
            self.lines += [f"int32_t {variable}[{size}];", call]
        for at, (ahead, dot) in enumerate(group):
            self.values[ahead][id(dot.part)] = variable if size == 1 else f"{variable}[{at}]"

    @property
    def in_loop(self) -> dict[int, str]:
        """Id of the one sum of each element -> C of its value in a loop over the elements; empty if
        there are more."""
        texts = [text for known in self.values for text in known.values()]
        is_one = len(self.lines) == 2 and len(texts) == len(self.values)
        found = self.values[0] if is_one and all("[" in text for text in texts) else {}
        return {part: f"{name.split('[')[0]}[at]" for part, name in found.items()}

    def looped(self, element: Iterable[str], count: int) -> list[str]:
        """Return the sums, then a loop over `count` elements.

        element   statements of an element
        """
        start = f"for (int32_t at = 0; at < {count}; at++) {{"
        return [*self.lines, start, *(f"    {line}" for line in element), "}"]

    def add_row(self, dot: RowProduct, ahead: int, variable: str) -> None:
        """Add the sum of a row's elements."""
        call = f"me_sum_{dot.kind}({dot.rows[0].row(ahead)}, {dot.extent});"
        self.lines.append(f"const int32_t {variable} = {call}")
        self.values[ahead][id(dot.part)] = variable


def dot_text(dots: Sequence[RowProduct], iterations: int, name: str) -> DotText:
    """Return the C of sums for some iterations of the innermost loop.

    name   prefix of variables
    """
    text = DotText(values=[{} for _ in range(iterations)])
    groups: dict[tuple[str, str, int], list[tuple[int, RowProduct]]] = {}
    pairs = [*product(range(iterations), dots)]
    for number, (ahead, dot) in enumerate(pairs):
        if len(dot.rows) == 1:
            text.add_row(dot, ahead, f"{name}_{number}")
        else:
            key = dot.rows[0].row(ahead), dot.kind, dot.extent
            groups.setdefault(key, []).append((ahead, dot))
    count = 0
    for (shared, kind, extent), known in groups.items():
        for group in _split_by_sizes(known, (MANY,) if iterations == MANY else TOGETHER):
            apart = group[: 1 if iterations == MANY else None]
            rows = ", ".join(dot.rows[1].row(ahead) for ahead, dot in apart)
            text.add_rows(group, f"{name}{count}", f"{shared}, {rows}, {extent}", kind)
            count += 1
    return text


def _split_by_sizes(
    items: Sequence[tuple[int, RowProduct]], sizes: Sequence[int]
) -> list[Sequence[tuple[int, RowProduct]]]:
    """Return a sequence in parts, the largest first.

    sizes   lengths of parts, from long to short; the last one is 1
    """
    found, at = [], 0
    while at < len(items):
        size = next(size for size in sizes if size <= len(items) - at)
        found.append(items[at : at + size])
        at += size
    return found


def are_many(dots: Sequence[RowProduct], elements: int) -> bool:
    """Return whether eight elements at a time share a row of their one product, and their own rows
    are side by side, few words each, and one tile.

    elements   of a core's row
    """
    if [len(dot.rows) for dot in dots] != [2] or elements % MANY:
        return False
    (dot,), (shared, own) = dots, dots[0].rows
    words, left = divmod(dot.extent, WORD_SIZES[dot.kind])
    is_beside = not shared.moves and own.step(own.inner) == str(dot.extent)
    is_small = words in MANY_WORDS and elements * words <= MOST_WORDS
    return is_beside and is_small and left == 0


def headers(dots: Sequence[RowProduct]) -> set[str]:
    """Return the headers that a function needs for sums."""
    return {HEADER} if dots else set()


def dot_cycles(line: str) -> float:
    """Return the estimated cycles of a call in a line of C; 0 if there is none."""
    call = CALLS.search(line)
    if call is None:
        return 0.0
    rows, extent = int(call[1] or 1), int(call[3])
    size = WORD_SIZES[call[2]]
    words, left = divmod(extent, size)
    unaligned = UNALIGNED_CYCLES * (1 + rows) * words if left else 0.0
    return CALL_CYCLES + WORD_CYCLES[rows] * words + LEFT_CYCLES[rows] * left + unaligned


def without(dots: Sequence[RowProduct], known: Mapping[int, str]) -> list[RowProduct]:
    """Return the sums that have no value yet."""
    return [dot for dot in dots if id(dot.part) not in known]


def outermost(dots: Sequence[RowProduct], axes: Mapping[int, frozenset[Axis]]) -> list[RowProduct]:
    """Return the sums that are not inside of another one.

    axes   id of a part -> reduced axes on which it depends
    """
    return [dot for dot in dots if not axes[id(dot.part)]]
