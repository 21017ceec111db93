# SPDX-License-Identifier: Apache-2.0
"""C expressions for values that differ between tiles: formulas of the tile's number, or tables."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass
class Tables:
    """Constant C arrays that hold values per tile for which no formula is found.

    prefix   beginning of their names
    lines    their definitions
    scalars  numbers that C reads from the model's data so far; None: all numbers are literals
    """

    prefix: str
    lines: list[str] = field(default_factory=list)
    scalars: list[int] | None = None

    def scalar(self, place: str, text: str) -> str:
        """Return C for a number that is assigned to `place`: a literal, or an element of the
        model's data."""
        is_number = re.fullmatch(r"-?\d+", text) is not None
        if self.scalars is None or not is_number or not -(2**31) <= int(text) < 2**31:
            return text
        self.scalars.append(int(text))
        # pointers to absent tables are 0
        read = f"{self.prefix}_scalars[{len(self.scalars) - 1}]"
        return f"(__typeof__({place}))(intptr_t){read}"

    def number(self, name: str, values: Sequence[int]) -> str:
        """Return a C expression for a value in tile t; if no formula gives it, a table is added.

        name     name of the value, for the table
        values   value in every tile
        """
        if (text := expression(values)) is not None:
            return text
        # A table of the shortest period, plus an increment per period.
        run = _run_length(values)
        short = values[::run]
        for period in divisors(len(short))[1:]:
            terms = _find_terms(short[::period], run * period)
            if terms is not None and _is_periodic(short, period):
                break
        table = f"{self.prefix}_{re.sub(r'[^A-Za-z0-9_]', '', name)}_of_tile"
        self.lines.append(c_table("int32_t", table, map(str, short[:period])))
        at = _index_text(run, 0 if period == len(short) else period)
        return _sum_text(f"{table}[{at}]", terms or [])


@dataclass(frozen=True, slots=True)
class TileTerm:
    """One term of a formula in the tile's number t: step * ((t / run) % count), without modulo if
    count is 0."""

    step: int
    run: int
    count: int


def expression(values: Sequence[int]) -> str | None:
    """Return a C expression in the tile's number t that gives all values, a constant or a sum of
    terms a * (t / b % c); None if there is none."""
    terms = _find_terms(values, 1)
    if terms is None:
        return None
    return _sum_text("" if terms and values[0] == 0 else str(values[0]), terms)


def _find_terms(values: Sequence[int], run: int) -> list[TileTerm] | None:
    """Find terms whose sum equals values minus the first value; each value is used for `run`
    tiles."""
    more = _run_length(values)
    values, run = values[::more], run * more
    if len(values) == 1:
        return []
    step = values[1] - values[0]
    straight = (i for i, v in enumerate(values) if v != values[0] + i * step)
    count = next(straight, len(values))
    if not _is_periodic(values, count):
        return None
    rest = _find_terms(values[::count], run * count)
    own = TileTerm(step, run, 0 if count == len(values) else count)
    return None if rest is None else [own, *rest]


def _run_length(values: Sequence[int]) -> int:
    """Return the greatest common divisor of the lengths of runs of equal values."""
    changes = (i for i, (a, b) in enumerate(itertools.pairwise(values), 1) if a != b)
    return math.gcd(*changes) or len(values)


def _is_periodic(values: Sequence[int], period: int) -> bool:
    """Return whether every period equals the first period plus a constant."""
    return all(
        v - values[i - i % period] == values[i % period] - values[0] for i, v in enumerate(values)
    )


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def _sum_text(start: str, terms: Sequence[TileTerm]) -> str:
    text = start
    for term in terms:
        turn, size = _index_text(term.run, term.count), abs(term.step)
        part = turn if size == 1 else f"{turn} * {size}"
        if text:
            text += f" {'+' if term.step > 0 else '-'} {part}"
        else:
            text = part if term.step > 0 else f"-({part})"
    return text


def _index_text(run: int, count: int) -> str:
    index = "t" if run == 1 else f"t / {run}"
    return f"{index} % {count}" if count else index


def c_table(kind: str, name: str, rows: Iterator[str]) -> str:
    lines, line = [], "   "
    for row in rows:
        if len(line) + len(row) > 96:
            lines.append(line)
            line = "   "
        line += f" {row},"
    return f"static const {kind} {name}[] = {{\n" + "\n".join([*lines, line]) + "\n};"
