# SPDX-License-Identifier: Apache-2.0
"""Runs recorded programs on the simulator and compares them with their judges, row by row.

`python -m tests.simulator.recorded [silicon|public-gvsoc] [PROGRAM...]` lists the rows that differ.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from myoedge.simulator import RunOptions, simulate
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES, PUBLIC_GVSOC_CYCLES
from tests.simulator.fixture import CLUSTER_TIMER, COUNTERS, FLUSHED, Recorded, Row, load

TABLE_ADDRESS, TABLE_BYTES = 0x1C17_0000, 0x2_0000
MAGIC, VERSION = 0x3154_424D, 1
HEAD = struct.Struct("<8I")
ROW = struct.Struct("<24s8I8I153I")
US = "simulator"
MAX_CYCLES = 20_000_000

# Who judges a chip description; the first has to have run a program for it to count.
JUDGES = {
    "silicon": ("gap9", "gap9_banked", "pulp_open_like"),
    "public-gvsoc": ("pulp_open_like",),
    "gap9": ("gap9",),
}
# Where the default description does otherwise than GAP9's platform.
AS_GAP9 = {
    "address_use_stall": 0,
    "div_by_zero_cycles": 34,
    "elw_cycles": 11,
    "wake_cycles": 7,
    "l1_contention": 0,
}
CYCLES = {
    "silicon": GAP9_CYCLES,
    "public-gvsoc": PUBLIC_GVSOC_CYCLES,
    "gap9": {**GAP9_CYCLES, **AS_GAP9},
}
EMPTY = ("empty", "empty_flush")
NO_FLOATS = "p31_float"  # single precision in integer registers: no generated code has it


# ---- running


def read_table(dump: bytes, run: str = US) -> tuple[Row, ...]:
    """The rows of a result table (mb_results) that `run` left."""
    magic, version, count, size, done, *_ = HEAD.unpack_from(dump)
    if (magic, version, size, done) != (MAGIC, VERSION, ROW.size, 1):
        raise ValueError(f"no finished result table: {dump[: HEAD.size].hex()}")
    return tuple(_row(ROW.unpack_from(dump, HEAD.size + i * size), run) for i in range(count))


def _row(words: Sequence[Any], run: str) -> Row:
    name, param, rep, cores, unit, wall, moved, check, flags, *rest = words
    aux, counters = rest[:8], rest[8:]
    measured = cores if unit == CLUSTER_TIMER else 1
    of_core = [tuple(counters[COUNTERS * c :][:COUNTERS]) for c in range(measured)]
    title = name.split(b"\0")[0].decode()
    plain = (title, param, rep, cores, unit, flags, moved, check)
    return Row(*plain, aux=tuple(aux), wall={run: wall}, counters={run: tuple(of_core)})


@cache
def run(name: str, like: str) -> tuple[Row, ...]:
    """The rows of a recorded program on the simulator, with a chip description of CYCLES."""
    options = RunOptions(dump=[(TABLE_ADDRESS, TABLE_BYTES)])
    elf = load()[name].elf
    return read_table(
        simulate(elf, cycles=CYCLES[like], max_cycles=MAX_CYCLES, options=options).dumps[0]
    )


# ---- cycles without what every row costs


def fixed(row: Row, rows: Sequence[Row]) -> Row | None:
    """The row of the function that does nothing, in the state of the caches that `row` finds.

    It was recorded with 1 and 8 cores; with 2 and 4 a barrier costs what it does with 8.
    """
    if row.unit != CLUSTER_TIMER:
        return None
    flushed = row.flags & FLUSHED
    name = "empty_flush" if flushed else "empty"
    options = (name, min(row.rep, 1) if flushed else 1, 1 if row.cores == 1 else 8)
    return next((r for r in rows if (r.name, r.rep, r.cores) == options), None)


def net(row: Row, rows: Sequence[Row], judge: str) -> int:
    """Cycles of a row for a judge, less those of the empty row."""
    empty = fixed(row, rows)
    return row.wall[judge] - (empty.wall[judge] if empty else 0)


# ---- comparing


@dataclass(frozen=True, slots=True)
class Against:
    """Our net cycles of a row beside a judge's."""

    judge: str
    ours: int
    theirs: int

    @property
    def cycles(self) -> int:
        return self.ours - self.theirs

    @property
    def error(self) -> float:
        return abs(self.cycles) / max(abs(self.theirs), 1)

    def is_within(self, share: float, cycles: int) -> bool:
        return abs(self.cycles) <= max(share * abs(self.theirs), cycles)


@dataclass(frozen=True, slots=True)
class Compared:
    """A row with what we gave for it."""

    program: str
    row: Row
    ours: Row
    sides: tuple[Against, ...]

    @property
    def best(self) -> Against:
        """The judge that the row is held to: the nearest."""
        return min(self.sides, key=lambda a: a.error)

    @property
    def tier(self) -> int:
        """1: within 3 % or 5 cycles; 2: within 10 % or 10 cycles; 3: neither."""
        if self.best.is_within(0.03, 5):
            return 1
        return 2 if self.best.is_within(0.10, 10) else 3

    def differing(self, judge: str) -> set[int]:
        """The counters in which a core of ours differs from the judge's."""
        pairs = zip(self.ours.counters[US], self.row.counters[judge], strict=True)
        return {k for ours, theirs in pairs for k in range(COUNTERS) if ours[k] != theirs[k]}


def judges_of(program: Recorded, like: str) -> tuple[str, ...]:
    return tuple(j for j in JUDGES[like] if j in program.judges)


@cache
def compare(name: str, like: str) -> tuple[Compared, ...]:
    """Every row of a program but the empty ones."""
    return tuple(_compare(load()[name], like))


def _compare(program: Recorded, like: str) -> Iterator[Compared]:
    ours = run(program.name, like)
    if [row.key for row in ours] != [row.key for row in program.rows]:
        raise ValueError(f"{program.name}: its rows are not those that were recorded")
    for mine, row in zip(ours, program.rows, strict=True):
        if row.name in EMPTY:
            continue
        cycles = net(mine, ours, US)
        judges = judges_of(program, like)
        sides = [Against(j, cycles, net(row, program.rows, j)) for j in judges]
        yield Compared(program.name, row, mine, tuple(sides))


def held(like: str) -> list[str]:
    """The programs that the simulator with this description is held to."""
    first = JUDGES[like][0]
    return [n for n, p in load().items() if first in p.judges and n != NO_FLOATS]


def compare_all(like: str) -> list[Compared]:
    return [c for name in held(like) for c in compare(name, like)]


def line(c: Compared) -> str:
    """A row in words."""
    row = c.row
    theirs = ", ".join(f"{a.judge} {a.theirs}" for a in c.sides)
    what = f"{c.program} {row.name} {row.param}, run {row.rep}, {row.cores} cores"
    return f"{what}: {c.best.ours} cycles against {theirs}"


def main(arguments: Sequence[str]) -> None:
    like, *names = arguments or ["silicon"]
    for name in names or held(like):
        for c in compare(name, like):
            if c.best.cycles or c.ours.result != c.row.result:
                print(line(c), "" if c.ours.result == c.row.result else "OTHER RESULT")


if __name__ == "__main__":
    main(sys.argv[1:])
