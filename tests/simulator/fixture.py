# SPDX-License-Identifier: Apache-2.0
"""The recorded programs: ELFs, and the cycles and counters that GVSoC's platforms gave for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "gvsoc"
FIGURES = FOLDER / "figures.json"
COUNTERS = 17
CLUSTER_TIMER, FC_TIMER = 0, 1
FLUSHED = 1  # of flags: the instruction caches were emptied before repetition 0
_SAME = 0  # in the file: as the core before, or as the judge before

Counters = tuple[tuple[int, ...], ...]  # [core][counter]


@dataclass(frozen=True, slots=True)
class Row:
    """One measured case: what it is, and what each judge (or a run) gave."""

    name: str
    param: int
    rep: int
    cores: int
    unit: int
    flags: int
    bytes: int
    check: int
    aux: tuple[int, ...]
    wall: Mapping[str, int]
    counters: Mapping[str, Counters]

    @property
    def key(self) -> tuple[object, ...]:
        return self.name, self.param, self.rep, self.cores, self.unit, self.flags

    @property
    def result(self) -> tuple[object, ...]:
        """What has to be the same everywhere."""
        return self.bytes, self.check, self.aux


@dataclass(frozen=True, slots=True)
class Recorded:
    """A program with its rows."""

    name: str
    isolates: str
    param: str
    sha256: str
    judges: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def elf(self) -> bytes:
        return (FOLDER / "elf" / f"{self.name}.elf").read_bytes()

    @property
    def is_intact(self) -> bool:
        return hashlib.sha256(self.elf).hexdigest() == self.sha256


@cache
def load() -> Mapping[str, Recorded]:
    """Every program of the fixture, by name."""
    return {p["name"]: _program(p) for p in json.loads(FIGURES.read_text())["programs"]}


def save(programs: Sequence[Recorded], path: Path = FIGURES) -> None:
    """The fixture's file: a line a row, so that a change can be read."""
    path.write_text(json_text(programs), encoding="utf-8")


def json_text(programs: Sequence[Recorded]) -> str:
    listed = sorted(programs, key=lambda p: p.name)
    return '{"programs":[\n' + ",\n".join(_program_text(p) for p in listed) + "\n]}\n"


def _program_text(program: Recorded) -> str:
    head = {
        "name": program.name,
        "isolates": program.isolates,
        "param": program.param,
        "sha256": program.sha256,
        "judges": program.judges,
    }
    rows = ",\n".join(_short(_packed(row, program.judges)) for row in program.rows)
    return _short(head)[:-1] + ',"rows":[\n' + rows + "]}"


def _short(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _packed(row: Row, judges: Sequence[str]) -> list[object]:
    counters = _folded([_folded([_trimmed(c) for c in row.counters[j]]) for j in judges])
    aux = _trimmed(row.aux)
    return [*row.key, row.bytes, row.check, aux, [row.wall[j] for j in judges], counters]


def _trimmed(numbers: Sequence[int]) -> list[int]:
    last = max((i for i, n in enumerate(numbers) if n), default=-1)
    return list(numbers[: last + 1])


def _folded(values: Sequence[Any]) -> list[Any]:
    return [_SAME if i and v == values[i - 1] else v for i, v in enumerate(values)]


def _unfolded(values: Sequence[Any]) -> Iterator[Any]:
    last = None
    for value in values:
        last = last if value == _SAME else value
        yield last


def _program(p: Mapping[str, Any]) -> Recorded:
    judges = tuple(p["judges"])
    rows = tuple(_row(r, judges) for r in p["rows"])
    return Recorded(p["name"], p["isolates"], p["param"], p["sha256"], judges, rows)


def _row(r: Sequence[Any], judges: Sequence[str]) -> Row:
    *plain, aux, walls, folded = r
    counters = [tuple(_full(c, COUNTERS) for c in _unfolded(cores)) for cores in _unfolded(folded)]
    return Row(
        *plain,
        aux=_full(aux, 8),
        wall=dict(zip(judges, walls, strict=True)),
        counters=dict(zip(judges, counters, strict=True)),
    )


def _full(numbers: Sequence[int], length: int) -> tuple[int, ...]:
    return (*numbers, *([0] * (length - len(numbers))))
