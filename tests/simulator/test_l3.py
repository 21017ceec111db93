# SPDX-License-Identifier: Apache-2.0
"""L3 by the bytes that both of its controllers move, and by its rate."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from myoedge.simulator import RunOptions, simulate
from myoedge.targets import find_chip
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES
from tests.firmware.programs import program
from tests.simulator.cores import (
    ITC_MASK,
    ITC_STATUS_CLEAR,
    L2,
    L2_BYTES,
    WFI,
    Code,
    make,
    note_cycle,
    put,
    run,
    spin,
    until,
)
from tests.support.each import each

UDMA, V4, V3, V3_COMMON = 0x1A102000, 0x1A102700, 0x1A102480, 0x1A102880
L3_END = 1 << 30
START_CYCLES = GAP9_CYCLES["l3_start_cycles"] + 2 * GAP9_CYCLES["l3_bus_start_cycles"]


def v4_open(divider: int = 1) -> Code:
    code = [*put(UDMA + 4, 1 << 13), *put(UDMA + 0x10, 1 << 13), *put(V4, 0), *put(V4 + 4, 1)]
    code += [*put(V4 + 0x28, 0), *put(V4 + 0x60, 1), *put(V4 + 0x64, 1 << 8 | divider)]
    return [*code, *put(ITC_MASK, L3_END)]


def v4_begin(l3: int, l2: int, size: int, read: bool) -> Code:
    return [
        *put(V4 + 0x20, l3),
        *put(V4 + 0x0C, l2),
        *put(V4 + 0x10, size),
        *put(V4 + 0x14, 2 | read),
    ]


V4_AWAIT = [WFI, *put(ITC_STATUS_CLEAR, L3_END)]


def v3_open() -> Code:
    return [*put(UDMA, 1 << 13 | 1 << 8), *put(V3_COMMON + 4, 6), *put(V3_COMMON + 0x20, 0)]


def v3_begin(l3: int, l2: int, size: int, read: bool, slot: int = 0) -> Code:
    base = V3 + 0x80 * slot
    side = base if read else base + 0x0C
    code = [*put(base + 0x18, 5 if read else 1), *put(base + 0x1C, l3), *put(side, l2)]
    return [*code, *put(side + 4, size), *put(side + 8, 1 << 4)]


V3_AWAIT = until(V3 + 0x24, 0)


@each("seed", range(12))
def test_both_controllers_of_l3_move_the_same_bytes(seed: int) -> None:
    rng = random.Random(seed)
    l2 = bytearray(rng.randbytes(L2_BYTES))
    memory = [(L2, bytes(l2))]
    l3: dict[int, int] = {}
    places = [0, rng.randrange(0, 1 << 20, 4), (32 << 20) - 8192]
    fc = [*v4_open(), *v3_open()]
    for _ in range(16):
        size, place = rng.choice((1, 4, 100, rng.randint(1, 4096))), rng.choice(places)
        at, outside = rng.randrange(0, L2_BYTES - size, 4), place + rng.randrange(0, 4096, 4)
        read = all(outside + i in l3 for i in range(size))
        begin, done = rng.choice(((v4_begin, V4_AWAIT), (v3_begin, V3_AWAIT)))
        fc += [*begin(outside, L2 + at, size, read), *done]
        for i in range(size):
            if read:
                l2[at + i] = l3[outside + i]
            else:
                l3[outside + i] = l2[at + i]
    kept = sorted(l3)
    whole = bytes(l3[i] for i in kept)
    for first in kept:  # everything that L3 holds, back into L2's first half
        if first - 1 in l3:
            continue
        length = next(n for n in range(len(kept) + 1) if first + n not in l3)
        place = kept.index(first)
        if place + length <= L2_BYTES:
            fc += [*v4_begin(first, L2 + place, length, True), *V4_AWAIT]
            l2[place : place + length] = whole[place : place + length]
    ran = run(make({}, fc, memory), [(L2, L2_BYTES)])
    assert ran.memory[0] == l2


def test_transfers_of_l3_in_slots_go_one_behind_the_other() -> None:
    """The second one reads what the first one writes; all end before the wait does."""
    data = bytes(range(256)) * 16
    fc = [*v3_open(), *v3_begin(0, L2, 4096, False)]
    for n in range(1, 5):
        fc += v3_begin(512 * n, L2 + 0x10000 + 512 * n, 512, True, slot=n)
    fc += [*note_cycle(0), *spin(10_000)]
    fc += note_cycle(1)
    ran = run(make({}, fc, [(L2, data)]), [(L2 + 0x10200, 2048)], spans=True)
    assert ran.memory[0] == data[512:2560]
    spans = [s for s in ran.run.spans if s.what.startswith("l3")]
    assert [s.what for s in spans] == ["l3 write"] + ["l3 read"] * 4
    assert all(a.end <= b.start for a, b in pairwise(spans))
    assert ran.notes[0] < spans[0].end, "the program went on meanwhile"
    assert ran.run.devices["l3_transfers"] == 5


@pytest.mark.parametrize(("divider", "cycles_per_byte"), [(0, 1), (1, 2), (2, 4), (3, 6)])
def test_l3_takes_a_byte_every_two_periods_of_its_divided_clock(
    divider: int, cycles_per_byte: int
) -> None:
    fc = v4_open(divider)
    for n, size in enumerate((1000, 5000)):
        fc += [*v4_begin(0, L2, size, False), *note_cycle(2 * n), *V4_AWAIT, *note_cycle(2 * n + 1)]
    notes = run(make({}, fc)).notes
    first, second = notes[1] - notes[0], notes[3] - notes[2]
    assert abs(second - first - 4000 * cycles_per_byte) <= 20


def test_the_runtime_moves_what_the_chip_is_said_to_move(tmp_path: Path) -> None:
    """185 MB/s at 370 MHz, by the registers that the firmware's own driver writes."""
    (tmp_path / "l3.bin").write_bytes(bytes(10_000))
    ran = simulate(program("l3").elf, folder=tmp_path, options=RunOptions(spans=True))
    moved = {(s.size_bytes, s.end - s.start) for s in ran.spans if s.what == "l3 read"}
    (small, short), (large, long) = min(moved), max(moved)
    assert large > small + 1000
    gap9 = find_chip("gap9")
    rate = (large - small) / ((long - short) / gap9.point.clock_hz)
    assert rate == pytest.approx(gap9.l3_bytes_per_s, rel=1e-3)
    assert {cycles - 2 * size for size, cycles in moved} == {START_CYCLES}
