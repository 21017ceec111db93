# SPDX-License-Identifier: Apache-2.0
"""Injected faults reach the place that they name, at their cycle, and nothing else."""

from __future__ import annotations

import random

import pytest

from myoedge.errors import MyoedgeError
from myoedge.simulator import RunOptions, simulate
from myoedge.simulator.fault import Disturbance
from tests.isa.program import RESULTS, addi, load_constant, lw
from tests.simulator.cores import (
    BUFFER,
    EVENTS,
    FC,
    ITC_MASK,
    ITC_STATUS,
    ITC_STATUS_SET,
    L1,
    L2,
    MASK,
    S2,
    T0,
    T1,
    ZERO,
    Code,
    get,
    make,
    note,
    put,
    spin,
)
from tests.simulator.test_dma import DMA_EVENT, Transfer, await_transfers

BYTES = bytes(range(64))


def dumped(code: Code, *faults: Disturbance) -> tuple[bytes, ...]:
    """The first word that core 0 noted down, then 64 bytes of L1 and of L2, after its code."""
    elf = make({0: code}, memory=[(L1, bytes(64)), (L2, BYTES)])
    options = RunOptions(dump=[(RESULTS, 4), (L1, 64), (L2, 64)], disturbed=faults)
    return tuple(simulate(elf, options=options, max_cycles=100_000).dumps)


def test_a_bit_of_memory_is_inverted_once() -> None:
    _, _, memory = dumped(spin(500), Disturbance(1000, "memory", L2 + 9, 3))
    assert memory == BYTES[:9] + bytes([BYTES[9] ^ 8]) + BYTES[10:]


@pytest.mark.parametrize(("cycle", "bit"), [(500, 1), (20_000, 0)])
def test_a_fault_comes_at_its_cycle(cycle: int, bit: int) -> None:
    """A word that was loaded before keeps its value."""
    code = [*load_constant(T1, L2), *spin(1000), lw(T0, 0, T1), *note(0), *spin(10_000)]
    word, _, memory = dumped(code, Disturbance(cycle, "memory", L2, 0))
    assert word[0] == BYTES[0] ^ bit
    assert memory[0] == BYTES[0] ^ 1


def test_a_bit_of_a_register_is_inverted() -> None:
    code = [*load_constant(S2, 0x100), *spin(1000), addi(T0, S2, 0), *note(0)]
    word, _, _ = dumped(code, Disturbance(500, "register", S2, 31))
    assert int.from_bytes(word, "little") == 0x8000_0100


@pytest.mark.parametrize("to_l1", [True, False])
def test_a_lost_transfer_moves_nothing_and_ends(to_l1: bool) -> None:
    transfer = Transfer(random.Random(3), 0, 0, 32)
    transfer.to_l1 = to_l1
    code = [*put(MASK, DMA_EVENT), addi(S2, ZERO, 0), *transfer.start, *await_transfers(True)]
    before = dumped(spin(1))[1:]
    assert dumped(code)[1:] != before
    assert dumped(code, Disturbance(1, "dma"))[1:] == before
    assert dumped([*code, *code], Disturbance(1, "dma")) == dumped(code), "only the next one"


SENT, TRIGGERS = 0b110, EVENTS + 0x100


@pytest.mark.parametrize(
    ("core", "mask", "send", "pending"),
    [
        (0, MASK, [*put(TRIGGERS + 4, 1), *put(TRIGGERS + 8, 1)], BUFFER),
        (FC, ITC_MASK, [*put(ITC_STATUS_SET, 2), *put(ITC_STATUS_SET, 4)], ITC_STATUS),
    ],
)
def test_the_next_interrupt_that_the_mask_lets_through_is_lost(
    core: int, mask: int, send: Code, pending: int
) -> None:
    def arrived(lets: int, *faults: Disturbance) -> int:
        code = [*put(mask, lets), *spin(500), *send, *get(pending, 0)]
        return int.from_bytes(dumped(code, *faults)[0], "little") & SENT

    fault = Disturbance(1000, "interrupt", core)
    assert arrived(SENT) == SENT
    assert arrived(SENT, fault) == 0b100, "only the next one"
    assert arrived(0b100, fault) == 0b010, "the mask does not let the first one through"
    assert arrived(0, fault) == SENT
    assert arrived(SENT, Disturbance(1000, "interrupt", 1)) == SENT


@pytest.mark.parametrize(
    "fault",
    [
        Disturbance(1, "memory", 0x4000_0000),
        Disturbance(1, "memory", L2, 8),
        Disturbance(1, "register", 0),
        Disturbance(1, "register", 32 * 10 + 1),
        Disturbance(1, "register", 1, 32),
        Disturbance(1, "interrupt", 10),
    ],
)
def test_places_that_do_not_exist_are_refused(fault: Disturbance) -> None:
    with pytest.raises(MyoedgeError) as caught:
        dumped(spin(10), fault)
    assert caught.value.code == "E243"
