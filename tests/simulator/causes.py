# SPDX-License-Identifier: Apache-2.0
"""Why a row differs from its judges, and whom the chip description follows where they disagree."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulator.recorded import US, Compared

INSTRUCTION_MISSES = 4  # of the counters

LINES = (
    "instruction-cache lines: the victim way is drawn by a shift register that steps at every "
    "miss, and each judge has come to the row with another state of it; a line out of L2 costs 18 "
    "cycles (`gap9`) or 20 (`pulp_open_like`)"
)
BANKS = (
    "who comes first at a bank of L1: cores start a few cycles apart, and then stay in step or "
    "fall out of it; the judges differ among themselves as much"
)
MUL_AND_BANKS = (
    "a multiplication takes 1 cycle as on `gap9`, and accesses to one bank queue as on "
    "`pulp_open_like`: no judge has both, and who comes first at a bank moves with it"
)
SLEEP = (
    "`p.elw` and barriers take 5 cycles as in the core's manual (4) and on `pulp_open_like`, "
    "lines out of L2 come as on `gap9`: no judge has both"
)
HALVES = (
    "which core goes first where one's second half of a misaligned access and another's access "
    "come to a bank in the same cycle"
)
POLLING = (
    "a core asks in a loop whether the transfer is over (the FC in one of 14 cycles) or a lock is "
    "free: rounds more or less"
)
UNEXPLAINED = "not explained"

_BY_PROGRAM = {
    "p11_misaligned": HALVES,
    "p23_barrier": SLEEP,
    "p24_events": SLEEP,
    "p25_mutex": SLEEP,
    "p27_l3_pulp": POLLING,
}
_ROWS_THAT_ASK = {  # by the beginning of their names
    "p19_dma_1d": "dma_in",
    "p21_dma_queue": "each_core",
    "p25_mutex": "tas_spin",
    "p27_l3_gap9": "l3",
    "p27_l3_pulp": "l3",
}


def asks_in_a_loop(c: Compared) -> bool:
    """Whether its instructions depend on what the rest costs."""
    return c.program in _ROWS_THAT_ASK and c.row.name.startswith(_ROWS_THAT_ASK[c.program])


def cause(c: Compared) -> str:
    """What makes this row differ from the judge nearest to it."""
    if c.program in _BY_PROGRAM and c.best.cycles:
        return _BY_PROGRAM[c.program]
    if _differs_by_lines(c):
        return LINES
    if asks_in_a_loop(c):
        return POLLING
    if c.row.cores > 1:
        return MUL_AND_BANKS if c.program in ("p28_matmul", "p29_elementwise") else BANKS
    return UNEXPLAINED


def _differs_by_lines(c: Compared) -> bool:
    """Whether a core waits for lines at least as long as the row differs."""
    both = (*c.ours.counters[US], *c.row.counters[c.best.judge])
    return max(core[INSTRUCTION_MISSES] for core in both) >= abs(c.best.cycles)


@dataclass(frozen=True, slots=True)
class Choice:
    """A row in which the judges disagree, and whom the default description follows."""

    effect: str
    program: str
    row: str
    rep: int
    cores: int
    follows: str
    reason: str
    param: int | None = None


_MANUAL = "CV32E40P's manual, pipeline.rst"
CHOICES = (
    Choice("`mul`, 512 of them", "p03_muldiv", "mul_indep", 1, 1, "gap9", f"1 cycle ({_MANUAL})"),
    Choice(
        "`mul` used by the next instruction",
        "p03_muldiv",
        "mul_dep",
        1,
        1,
        "gap9",
        "1 cycle more (the manual: none)",
    ),
    Choice(
        "`mulh` used by the next one",
        "p03_muldiv",
        "mulh_dep",
        1,
        1,
        "gap9",
        f"5 cycles and no wait ({_MANUAL})",
    ),
    Choice(
        "division by zero, 64 of them",
        "p03_muldiv",
        "div_by0",
        1,
        1,
        "manual",
        f"35 cycles ({_MANUAL}); gap9 34, public 1",
    ),
    Choice(
        "address of a load out of the load before",
        "p02_loaduse",
        "chase",
        1,
        1,
        "public",
        f"a value just loaded is waited for, whatever it is for ({_MANUAL})",
    ),
    Choice(
        "8 cores load one word",
        "p12_l1_load",
        "same_word",
        0,
        8,
        "gap9_banked",
        "the core has a counter of waits for banks, so the chip has them",
    ),
    Choice(
        "barrier",
        "p23_barrier",
        "one_barrier",
        1,
        8,
        "public",
        "4 cycles for the instruction (the manual on cv.elw), and one more",
    ),
    Choice(
        "the cluster wakes the sleeping FC",
        "p26_fc",
        "wake_fc_roundtrip",
        0,
        1,
        "public",
        "no document; the shorter path without the platform's interrupt model",
    ),
    Choice(
        "4 kB of code out of L2, 8 cores with copies of their own",
        "p18_icache_8diff",
        "own_copy",
        0,
        8,
        "gap9",
        "a line every 16 cycles a bank of the shared cache; no document",
        param=4096,
    ),
    Choice(
        "16 kB into L1 beside 8 cores that stream loads",
        "p22_dma_vs_load",
        "dma_with_loads",
        0,
        8,
        "public",
        "queues at banks, cores before the DMA within a cycle; no document",
        param=49,
    ),
)
