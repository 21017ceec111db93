# SPDX-License-Identifier: Apache-2.0
"""Jobs of NE16 in programs of several cores: recorded ones, and code that writes registers."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from myoedge.backends import gvsoc
from myoedge.numerics.arrays import Array
from myoedge.system import tools
from tests.isa.program import DATA, RESULTS, SAVED, leave, load_constant, save, sw
from tests.simulator.cores import (
    DMA,
    DONE,
    EVENTS,
    FC,
    L1,
    L1_BYTES,
    L2,
    MASK,
    MCYCLE,
    S2,
    S3,
    T0,
    T1,
    T2,
    WAIT_CLEAR,
    ZERO,
    Code,
    csrr,
    elw,
    get,
    make,
    note,
    put,
    repeat,
    run,
    spin,
    store,
    until,
    wait,
)

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "ne16"
CYCLES = FOLDER / "cycles.csv"
BASE, CLOCKS, CLOCK_GATE = 0x10201000, 0x10200018, 1 << 11
TRIGGER, ACQUIRE, STATUS, RUNNING_JOB, SOFT_CLEAR = (BASE + n for n in (0, 4, 12, 16, 20))
FIRST = BASE + 0x20
EVENT = 1 << 12
TIMEOUT_S = 300.0
SOFTWARE_EVENT = EVENTS + 0x100
NAMES = (
    *("WEIGHTS_PTR", "INFEAT_PTR", "OUTFEAT_PTR", "SCALE_PTR", "SCALE_SHIFT_PTR"),
    *("SCALE_BIAS_PTR", "INFEAT_D0_STRIDE", "INFEAT_D1_STRIDE", "INFEAT_D2_STRIDE"),
    *("OUTFEAT_D0_STRIDE", "OUTFEAT_D1_STRIDE", "OUTFEAT_D2_STRIDE", "WEIGHTS_D0_STRIDE"),
    *("WEIGHTS_D1_STRIDE", "WEIGHTS_D2_STRIDE", "SUBTILE_REM0", "SUBTILE_REM1", "SUBTILE_REM2"),
    *("SUBTILE_NB0", "SUBTILE_NB1", "PADDING", "WEIGHT_OFFSET", "FILTER_MASK", "CONFIG0"),
)
# Recorded jobs that only run as recorded: SEMANTICS.md of the recording, section 10.
REFUSED = ("b12", "d07", "e01", "e03", "e04", "e05")
# column of the recorded cycles: transfers of 16 KiB that are queued just before the job
BESIDE = {"banked": 0, "dma1": 1, "dma4": 4}
TRANSFERRED = L1 + 0x14000


@dataclass(frozen=True)
class Recorded:
    """A job of GAP9's platform model: its 24 registers, L1 before it, and its output area."""

    name: str
    registers: tuple[int, ...]
    before: Array
    outputs: Array
    address: int

    @property
    def after(self) -> Array:
        memory = self.before.copy()
        memory[self.address : self.address + len(self.outputs)] = self.outputs
        return memory

    @property
    def chip(self) -> dict[str, int]:
        """Parameters under which it runs."""
        return {"ne16_strict": 0} if self.name.startswith(REFUSED) else {}

    def register(self, name: str) -> int:
        return self.registers[NAMES.index(name)]


@cache
def recorded() -> Mapping[str, Recorded]:
    """Every job of the fixture, by name."""
    with np.load(FOLDER / "jobs.npz", allow_pickle=False) as file:
        names = [key.removesuffix(".registers") for key in file if key.endswith(".registers")]
        return {
            name: Recorded(
                name,
                tuple(int(word) for word in file[f"{name}.registers"]),
                file[f"{name}.before"],
                file[f"{name}.outputs"],
                int(file[f"{name}.address"]) % L1_BYTES,
            )
            for name in names
        }


@cache
def recorded_cycles() -> Mapping[str, Mapping[str, int]]:
    """Recorded cycles by job.

    cycles   alone, without bank conflicts      banked   alone, with them
    readers, matmul   with eight busy cores     dma1, dma4   with transfers of 16 KiB
    public_banked, public_dma1, public_dma4   on public GVSoC
    """
    with CYCLES.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        row["job"]: {name: int(n) for name, n in row.items() if name != "job" and n} for row in rows
    }


def keep_public_cycles(cycles: Mapping[str, Mapping[str, int]]) -> None:
    """Writes what public GVSoC gave into the fixture: columns by job."""
    empty = {f"public_{column}": "" for column in BESIDE}
    with CYCLES.open(encoding="utf-8") as file:
        rows = [{**row, **empty, **cycles[row["job"]]} for row in csv.DictReader(file)]
    with CYCLES.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


# ---- code


def ready() -> Code:
    """The clock gate, and a mask of the engine's event and of the first software event."""
    return [*put(CLOCKS, CLOCK_GATE), *put(MASK, EVENT | 1)]


def write(registers: Sequence[int]) -> Code:
    code = load_constant(S2, FIRST)
    for number, value in enumerate(registers):
        code += [*load_constant(T0, value), sw(T0, 4 * number, S2)]
    return code


def trigger_and_wait() -> Code:
    """Register S2 has the address that is written, T2 - T0 is then a cycle more than the job's."""
    return [csrr(T0, MCYCLE), store(ZERO, S2, 4), elw(T1, S3), csrr(T2, MCYCLE)]


def transfers(count: int) -> Code:
    """So many of 16 KiB into L1, queued at once."""
    code = get(DMA, 50)
    for _ in range(count):
        code += [*put(DMA, 0x4000 | 3 << 17), *put(DMA, TRANSFERRED), *put(DMA, L2)]
    return code


def timed(beside: int = 0) -> Code:
    """The prepared job with warm instruction caches, beside so many transfers; notes the cycles
    before and after it.

    The same code runs first on a software event.
    """
    before, apart = (transfers(beside), spin(3000)) if beside else ([], [])
    once = [*before, *trigger_and_wait(), *note(0, T0), *note(1, T2), *apart]
    begin = [*load_constant(S2, SOFTWARE_EVENT), *load_constant(S3, WAIT_CLEAR)]
    return [*begin, *repeat(2, [*once, *load_constant(S2, TRIGGER)])]


def run_timed(job: Recorded, beside: int = 0, **chip: int) -> tuple[int, Array]:
    """Cycles from TRIGGER to the core behind its wait, and all of L1 afterwards."""
    ran = run(_timed_elf(job, beside), [(L1, L1_BYTES)], chip={**chip, **job.chip})
    return ran.notes[1] - ran.notes[0] - 1, np.frombuffer(ran.memory[0], np.uint8)


def run_timed_on_gvsoc(job: Recorded, beside: int = 0) -> tuple[int, Array]:
    """As run_timed, on an installed public GVSoC."""
    name = DATA + 16
    ending = [*until(DONE, 1), *save(name, (RESULTS, 8), (L1, L1_BYTES)), *leave()]
    with tools.scratch() as folder:
        elf = folder / "job.elf"
        elf.write_bytes(_timed_elf(job, beside, [(name, SAVED.encode() + b"\0")], ending))
        ended = gvsoc.run_elf(elf, folder, timeout_s=TIMEOUT_S, fc_hart=FC)
        if ended.returncode:
            raise RuntimeError(f"{job.name}: {ended.returncode}\n{ended.stdout}{ended.stderr}")
        saved = np.fromfile(folder / SAVED, np.uint8)
    begin, end = saved[:8].view("<u4").tolist()
    return end - begin - 1, saved[8:]


def _timed_elf(
    job: Recorded,
    beside: int,
    memory: Sequence[tuple[int, bytes]] = (),
    ending: Code | None = None,
) -> bytes:
    code = [*ready(), *write(job.registers), *timed(beside)]
    return make({0: code}, memory=[(L1, job.before.tobytes()), *memory], ending=ending)


def repeated_job(job: Recorded, times: int) -> bytes:
    """An ELF that runs the job from both contexts in turns."""
    first = [*write(job.registers), *put(TRIGGER, 0), *wait(WAIT_CLEAR), *write(job.registers)]
    begin = [*load_constant(S2, TRIGGER), *load_constant(S3, WAIT_CLEAR)]
    code = [*ready(), *first, *begin, *repeat(times - 1, trigger_and_wait())]
    return make({0: code}, memory=[(L1, job.before.tobytes())])
