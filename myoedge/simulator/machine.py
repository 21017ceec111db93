# SPDX-License-Identifier: Apache-2.0
"""Simulation of an ELF file on a described chip."""

from __future__ import annotations

import ctypes
import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, starmap
from pathlib import Path
from typing import Any

from myoedge.errors import MyoedgeError
from myoedge.simulator import binding
from myoedge.simulator.binding import Printed
from myoedge.simulator.fault import (
    Disturbance,
    FlashState,
    disturb,
    fault_error,
    fill_flash,
    held_flash,
)
from myoedge.simulator.playback import Playback, to_c
from myoedge.simulator.result import (
    POWER_BINS,
    POWER_STATES,
    STALLS,
    CoreCounts,
    ExecutedInstruction,
    Mark,
    Simulation,
    Span,
    timeline_of,
)
from myoedge.system.elf import Program, read_elf
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES, at_clock

SLICE_CYCLES = 4_000_000  # cycles between two updates of keyboard and progress line
PROGRAM_CYCLES = 2_000_000_000  # limit for an unknown program: five seconds of the chip
MARK = "me_mark"
STACKS, STACK_BYTES, GUARD_BYTES = "me_stacks", "me_stack_bytes", 16
MAX_STEPS = 1_000_000
MAX_SPANS = 1_500_000
MAX_CYCLE_LIMIT = 1 << 60  # largest value that C compares with
SPANS = ("dma in", "dma out", "l3 read", "l3 write", "asleep", "ne16")

_RUNNING, _FAULT = 0, 2

Range = tuple[int, int]  # (address, size in bytes)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Records to make of a run, in addition to its counters, and faults to inject.

    dump        (address, size) of memory to return at the end
    snapshots   value of me_mark(value) -> memory to record at that call
    profile     whether to record cycles and executions by instruction address
    window      (from, to): record executed instructions between these cycles
    spans       whether to record intervals of transfers, NE16 jobs and sleeping cores
    mark_counts whether marks have the counters of the cores
    disturbed   faults to inject
    """

    dump: Sequence[Range] = ()
    snapshots: Mapping[int, Sequence[Range]] = field(default_factory=dict)
    profile: bool = False
    window: Range | None = None
    spans: bool = False
    mark_counts: bool = True
    disturbed: Sequence[Disturbance] = ()


COUNTERS_ONLY = RunOptions()


def simulate(
    elf: bytes | Program,
    *,
    cycles: Mapping[str, int] = GAP9_CYCLES,
    folder: Path | None = None,
    max_cycles: int = 1 << 40,
    options: RunOptions = COUNTERS_ONLY,
    progress: Callable[[int, str], None] | None = None,
    playback: Playback | None = None,
    flash: FlashState | None = None,
    sanitize: Sequence[str] = (),
    cc: str = "zig",
) -> Simulation:
    """Run a bare-metal program on the simulated chip until it exits.

    cycles     sizes and costs of the chip, by name (simulator/core/chip.h)
    folder     folder with files that the program may open by plain name; None: no files
    flash      content of the chip's flash, and a power failure; None: erased, and not returned
    playback   recording that a front end delivers; the run ends some time after its last frame
    progress   called about once a second with the cycle and the text printed since the last call
    Errors: E241 no program; E242 a segment is outside the chip's memory; E701..E709 a fault, a
    deadlock or too many cycles, with core, pc, function, source line, cycle and registers; E243 a
    dump or snapshot outside memory; E712 too many records.
    """
    program = elf if isinstance(elf, Program) else read_elf(elf)
    world = playback and to_c(playback)
    if playback:
        own = {"clock_divider": playback.clock_divider}
        cycles = {**at_clock(cycles, playback.clock_hz), **own}
    with _create_machine(binding.core(cc, tuple(sanitize)), cycles, folder) as (core, machine):
        _load_program(core, machine, program)
        for address, size in chain(options.dump, *options.snapshots.values()):
            _check_in_memory(cycles, address, size)
        _set_observers(core, machine, program, options)
        if world:
            core.machine_play(machine, ctypes.byref(world))
        cut_cycle = None
        if flash:
            fill_flash(core, machine, flash)
            cut_cycle = flash.cut_cycle
        core.machine_limit(machine, min(max_cycles, MAX_CYCLE_LIMIT))
        stops = sorted(options.disturbed)
        ended, output = _run_machine(core, machine, progress, cut_cycle, stops)
        run = _simulation_result(core, machine, options, output)
        if flash:
            if ended == _RUNNING:
                core.machine_power_cut(machine, flash.seed)
            held, damaged = held_flash(core, machine)
            run = replace(run, flash=held, flash_damaged=damaged, power_cut=ended == _RUNNING)
        if ended == _FAULT:
            raise fault_error(core.machine_fault(machine).contents, program, run)
        return run


@contextmanager
def _create_machine(
    core: ctypes.CDLL, cycles: Mapping[str, int], folder: Path | None
) -> Iterator[tuple[ctypes.CDLL, int]]:
    machine = core.machine_new()
    opened = -1
    try:
        for name in parameters(core):
            core.machine_set(machine, name.encode(), cycles[name])
        if not core.machine_boot(machine):
            raise MemoryError
        if folder is not None:
            try:
                opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            except OSError as error:
                facts = {"folder": folder, "reason": error.strerror}
                title = "the folder of the run cannot be opened"
                raise MyoedgeError("E220", title, facts) from None
        core.machine_set_folder(machine, opened)
        yield core, machine
    finally:
        core.machine_free(machine)
        if opened >= 0:
            os.close(opened)


def parameters(core: ctypes.CDLL) -> list[str]:
    """Return the names of the parameters that the C core takes: sizes and costs of the chip."""
    names: list[str] = []
    while (name := core.machine_parameter(len(names))) is not None:
        names.append(name.decode())
    return names


def _load_program(core: ctypes.CDLL, machine: int, program: Program) -> None:
    for address, data in program.segments:
        if not core.machine_write(machine, address, data, len(data)):
            facts = {"segment": f"0x{address:08x}, {len(data)} bytes"}
            title = "a segment of the program is outside the chip's memory"
            raise MyoedgeError("E242", title, facts)
    if not core.machine_start(machine, program.entry):
        facts = {"entry": f"0x{program.entry:08x}"}
        raise MyoedgeError("E242", "the program does not start in L2", facts)


def _set_observers(core: ctypes.CDLL, machine: int, program: Program, options: RunOptions) -> None:
    rows = [
        (v, *address_range)
        for v, ranges in sorted(options.snapshots.items())
        for address_range in ranges
    ]
    snapshots = (binding.Snapshot * max(1, len(rows)))(*starmap(binding.Snapshot, rows))
    if MARK in program.symbols:
        core.machine_watch_mark(machine, program.symbols[MARK], snapshots, len(rows))
    if options.profile:
        core.machine_profile(machine)
    if options.window is not None:
        core.machine_steps(machine, *options.window, (1 << binding.CORES) - 1, MAX_STEPS)
    if options.spans:
        core.machine_spans(machine, MAX_SPANS)
    if STACKS in program.symbols and STACK_BYTES in program.symbols:
        size = program.symbols[STACK_BYTES]
        for stack in range(binding.CORES - 1):
            core.machine_guard(machine, program.symbols[STACKS] + stack * size, GUARD_BYTES)


def _run_machine(
    core: ctypes.CDLL,
    machine: int,
    progress: Callable[[int, str], None] | None,
    cut_cycle: int | None,
    stops: list[Disturbance],
) -> tuple[int, str]:
    """Run the machine to its end; return (status, printed text). _RUNNING: power failed at
    `cut_cycle`.

    stops   faults to inject, in order
    """
    printed = Printed(core, machine)
    while True:
        limit = core.machine_now(machine) + SLICE_CYCLES
        limit = min(limit, stops[0].cycle) if stops else limit
        is_last = cut_cycle is not None and cut_cycle <= limit
        ended = core.machine_run(machine, cut_cycle if is_last else limit)
        is_last = is_last or ended != _RUNNING
        while not is_last and stops and stops[0].cycle <= limit:
            disturb(core, machine, stops.pop(0))
        text = printed.take(is_last)
        if progress is not None:
            progress(core.machine_now(machine), text)
        if is_last:
            return ended, "".join(printed.parts)


def _simulation_result(
    core: ctypes.CDLL, machine: int, options: RunOptions, output: str
) -> Simulation:
    counts = [core.machine_counts(machine, i).contents for i in range(binding.CORES)]
    devices = core.machine_device_counts(machine).contents
    recorded = binding.Recorded()
    core.machine_recorded(machine, ctypes.byref(recorded))
    spans = (recorded.spans[i] for i in range(recorded.span_count))
    return Simulation(
        exit_code=core.machine_exit_code(machine),
        cycles=core.machine_now(machine),
        output=output,
        counts=tuple(_core_counts(c) for c in counts),
        devices={name: getattr(devices, name) for name in devices.NUMBERS},
        l1_bytes=core.machine_touched_bytes(machine, 1),
        l2_bytes=core.machine_touched_bytes(machine, 2),
        dumps=tuple(_read_memory(core, machine, *span) for span in options.dump),
        marks=tuple(_layer_marks(recorded, options)),
        spans=tuple(Span(SPANS[s.what], s.core, s.start, s.end, s.bytes, s.address) for s in spans),
        spans_lost=recorded.spans_lost,
        steps=tuple(sorted(_executed_instructions(recorded), key=lambda step: step.cycle)),
        steps_lost=recorded.steps_lost,
        profile=_counts_by_address(core, machine, recorded.profile, options),
        executed=_counts_by_address(core, machine, recorded.executed, options),
        **_device_events(recorded),
    )


def _counts_by_address(
    core: ctypes.CDLL, machine: int, counters: Any, options: RunOptions
) -> dict[int, int]:
    """Return address -> counter for L2 halfwords with a count; {} if the run is not profiled."""
    if not options.profile:
        return {}
    base, halfwords = core.machine_l2_base(machine), core.machine_l2_bytes(machine) // 2
    return {base + 2 * i: n for i, n in enumerate(counters[:halfwords]) if n}


def _device_events(recorded: binding.Recorded) -> dict[str, Any]:
    line = array("Q", ctypes.string_at(recorded.line, 16 * recorded.line_count))
    ready = array("Q", ctypes.string_at(recorded.ready, 16 * recorded.ready_count))
    return {
        "line": bytes(word >> 32 for word in line[1::2]),
        "line_cycles": line[::2],
        "ready_cycles": ready[::2],
        "ready_frames": ready[1::2],
        "state_cycles": {name: recorded.state_cycles[n] for n, name in enumerate(POWER_STATES)},
        "slow_cycles": {name: recorded.slow_cycles[n] for n, name in enumerate(POWER_STATES)},
        "timeline": timeline_of(recorded.state_bins[: POWER_BINS * len(POWER_STATES)]),
        "bin_cycles": 1 << recorded.bin_bits,
        "restarts": recorded.restarts,
    }


def _core_counts(c: binding.Counts) -> CoreCounts:
    numbers = {name: int(getattr(c, name)) for name in c.NUMBERS}
    return CoreCounts(**numbers, stalls=dict(zip(STALLS, (int(n) for n in c.stall), strict=True)))


def _read_memory(core: ctypes.CDLL, machine: int, address: int, size_bytes: int) -> bytes:
    buffer = ctypes.create_string_buffer(max(1, size_bytes))
    core.machine_read(machine, address, buffer, size_bytes)
    return buffer.raw[:size_bytes]


def _check_in_memory(cycles: Mapping[str, int], address: int, size_bytes: int) -> None:
    for memory in ("l1", "l2"):
        base, end = cycles[f"{memory}_base"], cycles[f"{memory}_base"] + cycles[f"{memory}_bytes"]
        if size_bytes > 0 and base <= address and address + size_bytes <= end:
            return
    facts = {"range": f"0x{address:08x}, {size_bytes} bytes"}
    raise MyoedgeError("E243", "the dump is not inside L1 or L2", facts)


def _layer_marks(recorded: binding.Recorded, options: RunOptions) -> Iterator[Mark]:
    size = recorded.kept_bytes
    contents = ctypes.string_at(recorded.kept, size) if size else b""
    start = 0
    for i in range(recorded.mark_count):
        m = recorded.marks[i]
        snapshots = []
        for _, size_bytes in options.snapshots.get(m.value, ()):
            snapshots.append(contents[start : start + size_bytes])
            start += size_bytes
        yield Mark(
            value=m.value,
            cycle=m.cycle,
            core=m.core,
            counts=tuple(_core_counts(c) for c in m.counts if options.mark_counts),
            dma_bytes=m.dma_bytes,
            dma_busy_cycles=m.dma_busy_cycles,
            l3_bytes=m.l3_bytes,
            l3_busy_cycles=m.l3_busy_cycles,
            ne16_busy_cycles=m.ne16_busy_cycles,
            mram_bytes=m.mram_bytes,
            snapshots=tuple(snapshots),
        )


def _executed_instructions(recorded: binding.Recorded) -> Iterator[ExecutedInstruction]:
    for i in range(recorded.step_count):
        s = recorded.steps[i]
        register = s.reg if s.reg < binding.REGISTERS else None
        yield ExecutedInstruction(s.cycle, s.core, s.pc, register, s.value)
