# SPDX-License-Identifier: Apache-2.0
"""Result of a simulated run, with tables of cycles by function, by source line, and by
instruction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from myoedge.system.elf import Program
from myoedge.system.notebook import Card, Tabular

STALLS = (
    "load_use",
    "arithmetic",
    "jump",
    "fetch",
    "bank",
    "misaligned",
    "outside",
    "sleep",
)


POWER_BINS = 256  # of peripherals.h
POWER_STATES = ("run", "control", "idle", "cluster_off", "retention")


@dataclass(frozen=True, slots=True)
class CoreCounts:
    """Counters of one core.

    outside_loads, outside_stores   loads and stores outside L1
    taken    branches taken
    stalls   cycles by cause (STALLS; "sleep": waiting for an event)
    """

    instructions: int = 0
    compressed: int = 0
    loads: int = 0
    stores: int = 0
    jumps: int = 0
    branches: int = 0
    taken: int = 0
    macs: int = 0
    outside_loads: int = 0
    outside_stores: int = 0
    stalls: Mapping[str, int] = field(default_factory=dict)

    @property
    def active_cycles(self) -> int:
        """Number of cycles in which the core was not asleep."""
        return self.instructions + sum(n for cause, n in self.stalls.items() if cause != "sleep")

    def since(self, earlier: CoreCounts) -> CoreCounts:
        """Return the difference to `earlier` counters of the same core."""
        numbers = {
            name: getattr(self, name) - getattr(earlier, name)
            for name in self.__dataclass_fields__
            if name != "stalls"
        }
        stalls = {cause: n - earlier.stalls.get(cause, 0) for cause, n in self.stalls.items()}
        return CoreCounts(**numbers, stalls=stalls)


@dataclass(frozen=True, slots=True)
class Mark:
    """A call of the program's function me_mark, with the counters at that cycle.

    value       its argument
    cycle       cycle of the call
    core        core that called it
    counts      counters of each core; () without RunOptions.mark_counts
    *_bytes, *_busy_cycles   counters of DMA, L3 and NE16
    snapshots   memory contents, as requested by RunOptions.snapshots for this value
    """

    value: int
    cycle: int
    core: int
    counts: tuple[CoreCounts, ...]
    dma_bytes: int
    dma_busy_cycles: int
    l3_bytes: int
    l3_busy_cycles: int
    ne16_busy_cycles: int = 0
    mram_bytes: int = 0
    snapshots: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """An interval of cycles during which a transfer or an NE16 job ran, or a core slept.

    what   kind of the interval
    core   core that started it, or slept
    size_bytes, address   bytes and address of a transfer
    """

    what: str
    core: int
    start: int
    end: int
    size_bytes: int
    address: int


@dataclass(frozen=True, slots=True)
class ExecutedInstruction:
    """One instruction that a core executed.

    pc         its address
    register   register that it wrote; None: none
    value      value written
    """

    cycle: int
    core: int
    pc: int
    register: int | None
    value: int


@dataclass(frozen=True)
class Simulation(Tabular):
    """Result of a run that ended by the program's own exit.

    exit_code, output    exit code and printed text of the program
    cycles               cycles of the cluster clock, from the first instruction of the fabric
                         controller on
    counts               counters of cores 0..8 and, last, the fabric controller
    devices              counters of DMA and off-chip memory, by name
    l1_bytes, l2_bytes   bytes of each memory changed since reset, in blocks of 64
    dumps                memory contents at the end, as requested by RunOptions.dump
    marks                calls of me_mark
    spans, spans_lost    recorded intervals, and number of those not recorded
    steps, steps_lost    recorded instructions, and number of those not recorded
    profile              cycles by instruction address
    executed             number of executions of an instruction by cores 0 .. 7, by its address
    line                 bytes that the UARTs sent
    line_cycles          cycle in which each byte's stop bit ended
    ready_cycles, ready_frames   cycle and frame number of every data-ready of a playback
    state_cycles         cycles by power state: run (the cluster or an engine works), control (only
                         the fabric controller does), idle, cluster_off (idle, the cluster powered
                         down), retention
    slow_cycles          of them those in which the cores' clock was divided further than that of
                         which these are cycles
    timeline             state_cycles in each bin of bin_cycles, without states that never were
    restarts             number of restarts by watchdog, by the program and out of deep sleep
    flash                content of the flash at the end, in a run with `flash`
    flash_damaged        addresses of its words of 16 bytes that ECC does not correct
    power_cut            whether the run ended because power failed
    """

    exit_code: int
    cycles: int
    output: str
    counts: tuple[CoreCounts, ...]
    devices: Mapping[str, int]
    l1_bytes: int
    l2_bytes: int
    dumps: tuple[bytes, ...] = ()
    marks: tuple[Mark, ...] = ()
    spans: tuple[Span, ...] = ()
    spans_lost: int = 0
    steps: tuple[ExecutedInstruction, ...] = ()
    steps_lost: int = 0
    profile: Mapping[int, int] = field(default_factory=dict)
    executed: Mapping[int, int] = field(default_factory=dict)
    line: bytes = b""
    line_cycles: Sequence[int] = ()
    ready_cycles: Sequence[int] = ()
    ready_frames: Sequence[int] = ()
    state_cycles: Mapping[str, int] = field(default_factory=dict)
    slow_cycles: Mapping[str, int] = field(default_factory=dict)
    timeline: Mapping[str, Sequence[int]] = field(default_factory=dict)
    bin_cycles: int = 0
    restarts: int = 0
    flash: bytes = b""
    flash_damaged: tuple[int, ...] = ()
    power_cut: bool = False

    def rows(self) -> list[dict[str, object]]:
        """Return one row per core that ran (9 is the fabric controller): instructions, and stall
        cycles by cause."""
        counters = ("instructions", "macs", "loads", "stores", "active_cycles")
        return [
            {"core": core, **{name: getattr(c, name) for name in counters}, **c.stalls}
            for core, c in enumerate(self.counts)
            if c.instructions
        ]

    def _card(self) -> Card:
        facts = [("exit code", self.exit_code), ("printed", self.output.strip() or None)]
        return Card(f"{self.cycles:,} cycles", facts, self.rows())


def timeline_of(cycles: Sequence[int]) -> dict[str, list[int]]:
    """Return power state -> cycles in each bin up to the last one that the run reached.

    cycles   int [POWER_BINS * states], bin by bin
    """
    count = len(POWER_STATES)
    last = max((n for n, x in enumerate(cycles) if x), default=-1)
    end = (last // count + 1) * count
    rows = {name: [*cycles[n:end:count]] for n, name in enumerate(POWER_STATES)}
    return {name: row for name, row in rows.items() if any(row)}


# --- tables of cycles by function, by source line, and by instruction -----------------------------

MAX_ROWS = 20


def hot_functions(run: Simulation, program: Program) -> str:
    """Return a table of the cycles of all cores by function, descending; "" without a profile."""
    return _table(run, "function", lambda pc: program.function_at(pc) or f"0x{pc:08x}")


def hot_lines(run: Simulation, program: Program) -> str:
    """Return a table of the cycles of all cores by source line, descending; "" without a
    profile."""
    return _table(run, "line", lambda pc: program.line_at(pc) or "?")


def _table(run: Simulation, title: str, name: Callable[[int], str]) -> str:
    if not run.profile:
        return ""
    cycles: Counter[str] = Counter()
    for pc, n in run.profile.items():
        cycles[name(pc)] += n
    total = sum(cycles.values())
    rows = [f"{n:>14,} {100 * n / total:5.1f} %  {key}" for key, n in cycles.most_common(MAX_ROWS)]
    return "\n".join([f"{'cycles':>14} {'share':>7}  {title}", *rows, ""])


def steps_text(run: Simulation, program: Program) -> str:
    """Return one line per executed instruction: cycle, core, pc, register written, source line."""
    rows = []
    for s in run.steps:
        written = "" if s.register is None else f"x{s.register}={s.value:08x}"
        rows.append(f"{s.cycle:>12} core {s.core} {s.pc:08x} {written:<13} {program.line_at(s.pc)}")
    omitted = [f"{run.steps_lost:,} more are not shown"] if run.steps_lost else []
    return "\n".join([*rows, *omitted, ""]) if rows else ""
