# SPDX-License-Identifier: Apache-2.0
"""What a run records: marks, profile, window, spans, counters; and that looking changes nothing."""

from __future__ import annotations

import functools
import random
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from myoedge.errors import MyoedgeError
from myoedge.simulator import RunOptions, Simulation, machine, read_elf
from myoedge.simulator import simulate as endless
from myoedge.simulator.result import hot_functions, hot_lines, steps_text
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES
from tests.firmware.programs import program
from tests.isa.program import DATA, ENTRY, addi, load_constant, lw, sw
from tests.simulator.cores import (
    DMA,
    EVENTS,
    FC,
    L1,
    MCYCLE,
    T0,
    T1,
    T2,
    WAIT_CLEAR,
    Code,
    alu,
    code_of,
    csrr,
    get,
    make,
    put,
    repeat,
    spin,
    wait,
)
from tests.simulator.fixture import load as recorded

simulate = functools.partial(endless, max_cycles=10_000_000)
EVERYTHING = RunOptions(profile=True, window=(0, 1 << 40), spans=True)
BUSY = "p21_dma_queue", "p24_events", "p25_mutex"


def same(a: Simulation, b: Simulation) -> None:
    """In everything that is not asked for."""
    assert (a.exit_code, a.cycles, a.output) == (b.exit_code, b.cycles, b.output)
    assert (a.counts, a.devices) == (b.counts, b.devices)
    assert (a.l1_bytes, a.l2_bytes, a.dumps) == (b.l1_bytes, b.l2_bytes, b.dumps)


# ---- nothing depends on how a run is made


@pytest.mark.parametrize("name", BUSY)
def test_looking_changes_nothing(name: str) -> None:
    elf = recorded()[name].elf
    options = RunOptions(dump=[(0x1C000000, 0x190000), (L1, 0x20000)])
    plain = simulate(elf, options=options)
    same(plain, simulate(elf, options=options))
    same(plain, simulate(elf, options=replace(options, profile=True)))
    same(plain, simulate(elf, options=replace(options, window=(1000, 50_000), spans=True)))


def crowd() -> bytes:
    """Nine cores that move data, meet at barriers, wait for a mutex and for banks."""
    lists = {}
    for core in range(9):
        words = [512 | 3 << 17 | 1 << 20, L1 + 4096 + 512 * core, 0x1C110000 + 515 * core]
        code = [
            *put(EVENTS, 1 << 8),
            *get(DMA, core),
            *(w for word in words for w in put(DMA, word)),
        ]
        code += [*wait(WAIT_CLEAR), *put(EVENTS, 1 << 17), *put(EVENTS + 0x200, 0x1FF)]
        code += [*put(EVENTS + 0x20C, 0x1FF), *wait(EVENTS + 0xC0), *spin(core + 1)]
        code += [*put(EVENTS + 0xC0, 0), *put(EVENTS, 1 << 16), *wait(EVENTS + 0x21C)]
        lists[core] = code + repeat(20, [*load_constant(T1, L1), *[lw(T0, 0, T1)] * 3])
    return make(lists)


CROWD = crowd()


@pytest.mark.parametrize("slice_cycles", [1, 2, 13, 1000])
@pytest.mark.parametrize("elf", [CROWD, program("stack", "DEEP=4").elf], ids=["crowd", "stack"])
def test_time_slices_change_nothing(
    elf: bytes, slice_cycles: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, whole = simulate(elf), simulate(elf, options=EVERYTHING)
    monkeypatch.setattr(machine, "SLICE_CYCLES", slice_cycles)
    same(plain, simulate(elf))
    sliced = simulate(elf, options=EVERYTHING)
    same(whole, sliced)
    assert (whole.profile, whole.spans) == (sliced.profile, sliced.spans)
    assert whole.steps == sliced.steps


def test_several_machines_at_once() -> None:
    elves = [recorded()[name].elf for name in BUSY] + [program("dma").elf]
    alone = [simulate(elf) for elf in elves]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(simulate, elves * 2))
    for run, expected in zip(together, alone * 2, strict=True):
        same(run, expected)


def test_characters_survive_time_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Grüße — 筋電図"
    monkeypatch.setattr(machine, "SLICE_CYCLES", 3)
    fc = [word for byte in text.encode() for word in put(0x1A120000, byte, 1)]
    told: list[str] = []
    run = simulate(make({}, fc), progress=lambda _, part: told.append(part))
    assert run.output == text
    assert "".join(told) == text


def test_no_output_is_lost() -> None:
    """Much of it in few cycles."""
    block, arguments, rounds = 60_000, 0x1C0F0000, 200
    memory = [(DATA, b"x" * (block - 1) + b"\n"), (arguments, struct.pack("<3I", 1, DATA, block))]
    memory.append((arguments + 32, struct.pack("<3I", arguments + 64, 4, 3)))
    memory.append((arguments + 64, b":tt"))
    call = [0x01F01013, 0x00100073, 0x40705013]
    fc = [addi(10, 0, 1), *load_constant(11, arguments + 32), *call]
    fc += repeat(rounds, [addi(10, 0, 5), *load_constant(11, arguments), *call])
    told = 0

    def count(_: int, text: str) -> None:
        nonlocal told
        told += len(text)

    run = simulate(make({}, fc, memory), progress=count)
    assert told == rounds * block
    assert run.output.count("\n") == rounds


# ---- marks


def marks_program(values: list[int], core: int) -> tuple[bytes, int]:
    """A core that calls a function with each value, which adds it to a word of L1 and returns."""
    function = code_of(core) + 0x4000
    body: Code = [*load_constant(T1, L1 + 64), lw(T0, 0, T1), alu(0, T0, T0, 10), sw(T0, 0, T1)]
    code = []
    for value in values:
        code += [*load_constant(10, value), *load_constant(T2, function), T2 << 15 | 1 << 7 | 0x67]
        code += spin(20)
    body += [0x8067]  # ret
    memory = [(L1 + 64, bytes(4)), (function, struct.pack(f"<{len(body)}I", *body))]
    return make({core: code}, memory=memory), function


def test_marks_come_with_value_time_counters_and_the_bytes_asked_for() -> None:
    values = [-1, 0, 5, 5, 7]
    elf, function = marks_program(values, 8)
    marked = replace(read_elf(elf), symbols={"me_mark": function})
    run = simulate(
        marked, options=RunOptions(snapshots={5: [(L1 + 64, 4), (ENTRY, 8)], 7: [(L1 + 64, 1)]})
    )
    assert [m.value for m in run.marks] == values
    assert {m.core for m in run.marks} == {8}
    sums = [sum(values[:n]) & 0xFFFFFFFF for n in range(len(values))]
    first = dict(read_elf(elf).segments)[ENTRY][:8]
    expected: list[tuple[bytes, ...]] = [(), ()]
    expected += [(struct.pack("<I", sums[n]), first) for n in (2, 3)] + [(bytes([sums[4]]),)]
    assert [m.snapshots for m in run.marks] == expected
    cycles = [m.cycle for m in run.marks]
    assert cycles == sorted(cycles)
    for earlier, later in pairwise(run.marks):
        added = later.counts[8].since(earlier.counts[8])
        # the function's 6, the loop's 2 + 20 * 2, and the 5 of the call
        assert added.instructions == 6 + 42 + 5
        assert (added.loads, added.stores, added.branches, added.taken) == (1, 1, 20, 19)
        assert added.active_cycles == later.cycle - earlier.cycle
    same(run, simulate(elf))


def test_a_snapshot_of_nothing_is_an_error() -> None:
    elf, function = marks_program([5], 0)
    marked = replace(read_elf(elf), symbols={"me_mark": function})
    with pytest.raises(MyoedgeError) as caught:
        simulate(marked, options=RunOptions(snapshots={5: [(0x2000_0000, 4), (L1, 4)]}))
    assert caught.value.code == "E243"


# ---- profile


def test_a_profile_of_one_core_is_its_time() -> None:
    code: Code = [addi(T0, T0, 1)] * 3
    run = simulate(make({}, [*code, *spin(100)]), options=RunOptions(profile=True))
    counts = run.counts[FC]
    last = sum(counts.stalls.values()) + counts.instructions
    assert run.cycles - 30 <= sum(run.profile.values()) <= run.cycles
    assert last >= sum(run.profile.values())
    assert run.profile[ENTRY + 4] == 1
    loop = ENTRY + 4 * (3 + 2)
    assert run.profile[loop] >= 100
    # bne: 99 times 3 cycles, once 1
    stalls = GAP9_CYCLES["branch_taken_stall"]
    assert 0 <= run.profile[loop + 4] - (100 + 99 * stalls) <= 2 * GAP9_CYCLES["fc_line_cycles"]


@pytest.mark.parametrize("name", ["p24_events", "p28_matmul"])
def test_a_profile_adds_up_to_the_time_of_all_cores(name: str) -> None:
    run = simulate(recorded()[name].elf, options=RunOptions(profile=True))
    spent = sum(c.instructions + sum(c.stalls.values()) for c in run.counts)
    assert sum(run.profile.values()) == pytest.approx(spent, rel=1e-3)


def test_functions_and_lines_of_a_profile() -> None:
    firmware = program("dma").elf
    elf = read_elf(firmware)
    run = simulate(elf, options=RunOptions(profile=True))
    rows = hot_functions(run, elf).splitlines()
    assert rows[0].split() == ["cycles", "share", "function"]
    by_name: dict[str, int] = {}
    for pc, cycles in run.profile.items():
        name = elf.function_at(pc)
        by_name[name] = by_name.get(name, 0) + cycles
    hottest = max(by_name, key=lambda name: by_name[name])
    assert rows[1].split()[-1] == hottest
    assert int(rows[1].split()[0].replace(",", "")) == by_name[hottest]
    lines = hot_lines(run, elf)
    assert "dma.c:" in lines
    assert sum(run.profile.values()) >= int(lines.split()[3].replace(",", ""))


# ---- a window of instructions


def straight_line(rng: random.Random, length: int) -> tuple[Code, list[tuple[int, int]]]:
    """Additions, shifts and logic; (register, value) that each writes, by plain Python."""
    registers = [0] * 32
    code, expected = [], []
    for register in range(1, 16):
        registers[register] = value = rng.randint(-2048, 2047)
        code.append(addi(register, 0, value))
        expected.append((register, value & 0xFFFFFFFF))
    for _ in range(length):
        to, a, b = rng.randint(1, 15), rng.randint(1, 15), rng.randint(1, 15)
        operation = rng.choice((0, 1, 6, 7))
        x, y = registers[a], registers[b]
        result = {0: x + y, 1: x << (y & 31), 6: x | y, 7: x & y}[operation]
        registers[to] = result & 0xFFFFFFFF
        code.append(alu(operation, to, a, b))
        expected.append((to, registers[to]))
    return code, expected


@pytest.mark.parametrize("seed", range(5))
def test_the_window_shows_what_every_instruction_wrote(seed: int) -> None:
    code, expected = straight_line(random.Random(seed), 100)
    run = simulate(make({}, code), options=RunOptions(window=(0, 1 << 20)))
    steps = run.steps[: len(expected)]
    assert [(s.register, s.value) for s in steps] == expected
    assert [s.pc for s in steps] == [ENTRY + 4 * n for n in range(len(expected))]
    assert all(a.cycle < b.cycle for a, b in pairwise(steps))


def test_a_window_holds_the_instructions_of_its_cycles_and_no_others() -> None:
    elf = CROWD
    whole = simulate(elf, options=RunOptions(window=(0, 1 << 40))).steps
    first, last = whole[300].cycle, whole[1000].cycle
    part = simulate(elf, options=RunOptions(window=(first, last))).steps
    assert list(part) == [s for s in whole if first <= s.cycle < last]
    text = steps_text(simulate(elf, options=RunOptions(window=(first, first + 50))), read_elf(elf))
    rows = [row.split() for row in text.splitlines()]
    assert [int(row[0]) for row in rows] == sorted(int(row[0]) for row in rows)
    assert all(row[1] == "core" and first <= int(row[0]) < first + 50 for row in rows)


def test_a_window_of_nothing() -> None:
    assert simulate(make({}, []), options=RunOptions(window=(5, 5))).steps == ()
    assert simulate(make({}, []), options=RunOptions(window=(9, 5))).steps == ()


# ---- spans, memory used


def test_spans_are_the_transfers_and_the_sleeps() -> None:
    words = [2000 | 3 << 17 | 1 << 20, L1 + 4096, 0x1C110000]
    code = [*put(EVENTS, 1 << 8), *get(DMA, 0), *(w for word in words for w in put(DMA, word))]
    code += [csrr(T2, MCYCLE), *wait(WAIT_CLEAR), csrr(T0, MCYCLE)]
    run = simulate(make({3: code}), options=RunOptions(spans=True))
    moved = [s for s in run.spans if s.what == "dma in"]
    asleep = [s for s in run.spans if s.what == "asleep" and s.core == 3]
    assert [(s.size_bytes, s.address) for s in moved] == [(2000, L1 + 4096)]
    assert 2000 / 8 <= moved[0].end - moved[0].start < 2000 / 8 + 100
    assert len(asleep) == 1
    assert moved[0].start < asleep[0].start < moved[0].end <= asleep[0].end
    assert asleep[0].end - moved[0].end < 20
    assert run.devices["dma_busy_cycles"] == moved[0].end - moved[0].start
    assert run.devices["dma_transfers"] == 1


@pytest.mark.parametrize("size", [64, 640, 65536])
def test_memory_that_is_used_is_counted(size: int) -> None:
    memory = [(L1 + 128, bytes(size))]
    assert simulate(make({}, [], memory)).l1_bytes == size
    with_l2 = simulate(make({}, [], [(0x1C100000, bytes(size))])).l2_bytes
    assert with_l2 == simulate(make({}, [])).l2_bytes + size


def test_progress_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "SLICE_CYCLES", 5000)
    cycles: list[int] = []
    run = simulate(program("dma").elf, folder=tmp_path, progress=lambda c, _: cycles.append(c))
    assert cycles == sorted(cycles)
    assert len(cycles) >= run.cycles // 5000
    assert cycles[-1] == run.cycles


@pytest.mark.parametrize(("core", "counted"), [(0, 2), (7, 2), (8, 0)])
def test_a_profile_counts_what_the_eight_cores_execute(core: int, counted: int) -> None:
    """A loop of two instructions."""
    elf = make({core: repeat(123, [])})
    run = endless(elf, options=RunOptions(profile=True), max_cycles=1_000_000)
    assert [*run.executed.values()].count(123) == counted
