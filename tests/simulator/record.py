# SPDX-License-Identifier: Apache-2.0
"""Records on an installed public GVSoC what judge `pulp_open_like` says of the programs.

`python -m tests.simulator.record [--build] [PROGRAM, NETWORK or ne16_jobs...]` runs them (all: some
minutes), writes the fixtures and says what changed. With --build, our own programs are first
compiled from tests/fixtures/gvsoc/src. GVSoC is found as `myoedge doctor` finds it; it is never
built here.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from myoedge.backends.gvsoc import run_elf
from myoedge.system import toolchain, tools
from tests.simulator import networks, random_code
from tests.simulator.fixture import COUNTERS, FOLDER, Recorded, Row, load, save
from tests.simulator.ne16_jobs import (
    BESIDE,
    keep_public_cycles,
    recorded_cycles,
    run_timed_on_gvsoc,
)
from tests.simulator.ne16_jobs import recorded as recorded_jobs

JUDGE = "pulp_open_like"
GAP9_HART = 9  # all clocks equal, as the programs were recorded
TIMEOUT_S = 300.0
SOURCES = FOLDER / "src"
SHARED = ("bench.c", "bench.h", "bench.ld", "code.h", "start.S")
# programs whose code is drawn, and how
DRAWN: dict[str, dict[str, int]] = {
    "m07_random": {},
    "drawn_misaligned": {"bodies": 25, "aligned": False},
}
NE16 = "ne16_jobs"


# ---- compiling


def own_programs() -> list[str]:
    """Those whose source is in the fixture."""
    return sorted(path.stem for path in SOURCES.glob("m*.c"))


def build(name: str, **drawn: int) -> bytes:
    """A program of our own, by the package's compiler: the same bytes for the same source.

    drawn   arguments of random_code.code beside those of DRAWN
    """
    with tools.scratch() as folder:
        files = {path.name: path.read_text(encoding="utf-8") for path in _sources(name)}
        if name in DRAWN:
            files["random.S"] = random_code.code(**DRAWN[name], **drawn)
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
        elf = folder / "program.elf"
        ended = toolchain.compile_firmware(
            sorted(folder / file for file in files if file.endswith((".c", ".S"))),
            elf,
            folder / "bench.ld",
            (zig := toolchain.compiler("zig")),
            # as they were recorded: functions are not aligned
            (*toolchain.firmware_flags(zig), "-falign-functions=2"),
            (folder,),
        )
        if ended.returncode:
            raise SystemExit(ended.stderr)
        return elf.read_bytes()


def _sources(name: str) -> Iterator[Path]:
    files = (*SHARED, f"{name}.c", f"{name}_code.S")
    yield from (path for path in map(SOURCES.joinpath, files) if path.exists())


def isolates(name: str) -> str:
    """The sentence that a program's source starts with."""
    comment = (SOURCES / f"{name}.c").read_text(encoding="utf-8").split("*/")[0]
    words = re.sub(r"\s*\n \* ?", " ", comment)
    return words.split("Apache-2.0", 1)[1].strip()


# ---- what a program prints: R,row and C,row,core,counters


def read_printed(text: str) -> tuple[Row, ...]:
    """The rows of a program's standard output."""
    rows: list[tuple[list[str], list[tuple[int, ...]]]] = []
    for kind, *fields in (line.split(",") for line in text.splitlines()):
        if kind == "R":
            rows.append((fields, []))
        elif kind == "C":
            rows[int(fields[0])][1].append(tuple(map(int, fields[2:])))
    return tuple(_row(fields, tuple(counters)) for fields, counters in rows)


def _row(fields: Sequence[str], counters: tuple[tuple[int, ...], ...]) -> Row:
    param, rep, cores, unit, wall, moved, check, flags, *aux = map(int, fields[1:])
    assert all(len(core) == COUNTERS for core in counters)
    plain = (fields[0], param, rep, cores, unit, flags, moved, check)
    return Row(*plain, aux=tuple(aux), wall={JUDGE: wall}, counters={JUDGE: counters})


def record(elf: bytes) -> tuple[Row, ...]:
    """What public GVSoC gives for a program."""
    with tools.scratch() as folder:
        program = folder / "program.elf"
        program.write_bytes(elf)
        ended = run_elf(program, folder, timeout_s=TIMEOUT_S, fc_hart=GAP9_HART)
    if ended.returncode:
        raise SystemExit(f"exit code {ended.returncode}\n{ended.stdout[-800:]}{ended.stderr}")
    return read_printed(ended.stdout)


# ---- the fixture


def unrecorded(name: str) -> Recorded:
    """A program of our own before it was recorded."""
    return Recorded(name, isolates(name), "see the source", "", (JUDGE,), ())


def recorded(program: Recorded, elf: bytes) -> Recorded:
    """The program with what the judge says now, other judges' figures kept."""
    rows = record(elf)
    if program.rows and [r.key for r in rows] == [r.key for r in program.rows]:
        rows = tuple(_joined(old, new) for old, new in zip(program.rows, rows, strict=True))
    elif len(program.judges) > 1:
        raise SystemExit(f"{program.name}: other rows than those of the other judges")
    return replace(program, rows=rows, sha256=hashlib.sha256(elf).hexdigest())


def _joined(old: Row, new: Row) -> Row:
    return replace(new, wall={**old.wall, **new.wall}, counters={**old.counters, **new.counters})


def changes(old: Recorded, new: Recorded) -> Iterator[str]:
    """What is different, in words."""
    if len(old.rows) != len(new.rows):
        yield f"{new.name}: {len(old.rows)} rows before, {len(new.rows)} now"
        return
    for a, b in zip(old.rows, new.rows, strict=True):
        if (a.wall, a.counters, a.result) != (b.wall, b.counters, b.result):
            where = f"{new.name} {b.name} {b.param}, run {b.rep}, {b.cores} cores"
            yield f"{where}: {a.wall.get(JUDGE)} cycles before, {b.wall[JUDGE]} now"


def record_ne16_jobs() -> str:
    """Runs the recorded jobs of NE16, keeps their cycles, and says what changed."""
    before: Mapping[str, Mapping[str, int]] = recorded_cycles()
    now: dict[str, dict[str, int]] = {name: {} for name in before}
    for name, column in ((n, c) for n, row in before.items() for c in BESIDE if c in row):
        job = recorded_jobs()[name]
        now[name][f"public_{column}"], memory = run_timed_on_gvsoc(job, BESIDE[column])
        if not BESIDE[column] and not np.array_equal(memory, job.after):
            raise SystemExit(f"{name}: other bytes in L1 than recorded")
    keep_public_cycles(now)
    other = [name for name, found in now.items() if {**before[name], **found} != before[name]]
    return f"NE16: {len(now)} jobs, {', '.join(other) or 'all as before'}"


def main(arguments: Sequence[str]) -> None:
    names = [a for a in arguments if a != "--build"]
    for name in (*networks.WHAT, *networks.WITH_NE16):
        if name in names or not names:
            print(networks.record(name))
    if NE16 in names or not names:
        print(record_ne16_jobs())
    others = (*networks.WHAT, *networks.WITH_NE16, NE16)
    names = [name for name in names if name not in others]
    if arguments and not names and "--build" not in arguments:
        return
    for name in own_programs() if "--build" in arguments else ():
        if name in names or not names:
            (FOLDER / "elf" / f"{name}.elf").write_bytes(build(name))
    programs = {**{n: unrecorded(n) for n in own_programs()}, **load()}
    chosen = names or [n for n, p in programs.items() if JUDGE in p.judges and _elf(n).exists()]
    with ThreadPoolExecutor(2) as pool:
        now = pool.map(lambda n: recorded(programs[n], _elf(n).read_bytes()), chosen)
        for new in now:
            told = list(changes(programs[new.name], new))
            print("\n".join(told) if told else f"{new.name}: {len(new.rows)} rows, as before")
            programs[new.name] = new
    save([p for p in programs.values() if p.rows])


def _elf(name: str) -> Path:
    return FOLDER / "elf" / f"{name}.elf"


if __name__ == "__main__":
    main(sys.argv[1:])
