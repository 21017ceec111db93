# SPDX-License-Identifier: Apache-2.0
"""Counters of a core: what it did, and why it waited."""

from __future__ import annotations

import functools
import random
import struct

import pytest

from myoedge.simulator import simulate as endless
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES
from tests.isa.program import ENTRY, addi, bne, jal, leave, load_constant, lw, make_elf, sw
from tests.simulator.cores import (
    FC,
    L1,
    T0,
    T1,
    T2,
    ZERO,
    Code,
    make,
    repeat,
    spin,
)

simulate = functools.partial(endless, max_cycles=10_000_000)


MAC = 0x42000033 | 10 << 15 | 11 << 20 | 12 << 7  # p.mac x12, x10, x11
SDOTSP_B = 0xB8001057 | 10 << 15 | 11 << 20 | 12 << 7  # pv.sdotsp.b x12, x10, x11
SDOTSP_H = 0xB8000057 | 10 << 15 | 11 << 20 | 12 << 7


def test_counters_of_a_program_whose_counts_are_known() -> None:
    rng = random.Random(1)
    n = {key: rng.randint(1, 40) for key in ("load", "store", "mac", "b", "h", "outside", "loop")}
    pieces: list[Code] = [  # the first one first: both of its instructions lie in one line
        [lw(T2, 0, T1), addi(T0, T2, 0)] * 10,
        [lw(T2, 0, T1), addi(0, 0, 0)] * n["load"],
        [sw(T2, 4, T1)] * n["store"],
        [MAC] * n["mac"] + [SDOTSP_B] * n["b"] + [SDOTSP_H] * n["h"],
        [
            *load_constant(9, 0x1C100000),
            *[lw(T2, 0, 9), addi(0, 0, 0), sw(T2, 0, 9)] * n["outside"],
        ],
        spin(n["loop"]),
        [jal(0, 4)] * 5,
    ]
    code = [*load_constant(T1, L1), *(word for piece in pieces for word in piece)]
    ending = 5  # what make() adds: the core says that it is done, and jumps in place
    core = simulate(make({0: code})).counts[0]
    assert core.loads == n["load"] + 10 + n["outside"]
    assert core.stores == n["store"] + n["outside"] + 1
    assert (core.outside_loads, core.outside_stores) == (n["outside"], n["outside"] + 1)
    assert core.macs == n["mac"] + 4 * n["b"] + 2 * n["h"]
    assert (core.branches, core.taken) == (n["loop"], n["loop"] - 1)
    own_jumps = core.jumps - 5
    assert own_jumps >= 0
    assert core.instructions == len(code) + 2 * (n["loop"] - 1) + ending + own_jumps
    assert core.compressed == 0
    assert core.stalls["load_use"] == 10 * GAP9_CYCLES["load_use_stall"]
    cycles = GAP9_CYCLES["l2_cluster_cycles"]
    assert core.stalls["outside"] == (cycles - 1) * (2 * n["outside"] + 1)
    taken = (core.taken) * GAP9_CYCLES["branch_taken_stall"]
    assert core.stalls["jump"] == taken + core.jumps * GAP9_CYCLES["jump_stall"]
    assert core.stalls["bank"] == core.stalls["misaligned"] == core.stalls["sleep"] == 0


@pytest.mark.parametrize("contention", [1, 0])
def test_bank_conflicts_are_waited_for_unless_they_are_off(contention: int) -> None:
    """Eight cores load the same word: each load but one in eight waits."""
    lists = {c: repeat(100, [*load_constant(T1, L1), *[lw(T0, 0, T1)] * 20]) for c in range(8)}
    run = simulate(make(lists), cycles={**GAP9_CYCLES, "l1_contention": contention})
    waited = sum(c.stalls["bank"] for c in run.counts)
    accesses = sum(c.loads for c in run.counts[:8])
    assert accesses == 8 * 2000
    assert (waited > 5 * accesses) if contention else (waited == 0)
    assert simulate(make(lists)).cycles > 10_000
    if not contention:
        assert run.cycles < 5_000


def test_ways_to_stop_a_loop_count() -> None:
    code = [*load_constant(T0, 7), addi(T0, T0, -1), bne(T0, ZERO, -4), *leave()]
    run = simulate(make_elf([(ENTRY, struct.pack(f"<{len(code)}I", *code))], ENTRY))
    assert (run.counts[FC].branches, run.counts[FC].taken) == (7, 6)
