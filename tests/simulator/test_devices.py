# SPDX-License-Identifier: Apache-2.0
"""Timers, interrupts, clocks, aliases, stdout and exit: what they do, and when."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from myoedge.errors import MyoedgeError
from myoedge.simulator import simulate
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES
from tests.isa.program import leave
from tests.simulator import cores
from tests.simulator.cores import (
    FC,
    ITC_MASK,
    ITC_STATUS,
    ITC_STATUS_CLEAR,
    ITC_STATUS_SET,
    L1,
    MASK,
    T0,
    WAIT_CLEAR,
    WFI,
    get,
    make,
    note,
    note_cycle,
    put,
    run,
    spin,
    until,
    wait,
)
from tests.support.each import each

# ---- timers, interrupts, clocks

CLUSTER_TIMER, FC_TIMER = 0x10200400, 0x1A10B000
TIMER_VALUE, TIMER_COMPARE = 8, 0x10
RUN_FROM_0, INTERRUPTS, WRAPS, ONCE = 3, 4, 16, 32


@pytest.mark.parametrize("which", [0, 4])
def test_a_timer_counts_cycles_and_raises_its_event_when_it_matches(which: int) -> None:
    timer = CLUSTER_TIMER + which
    code = [*put(timer + TIMER_COMPARE, 5000), *put(MASK, 1 << (10 + which // 4))]
    code += [*put(timer, RUN_FROM_0 | INTERRUPTS | ONCE), *note_cycle(0)]
    code += [*get(timer + TIMER_VALUE, 1), *note_cycle(2), *wait(WAIT_CLEAR, 3), *note_cycle(4)]
    code += [*get(timer + TIMER_VALUE, 5), *get(timer, 6)]
    notes = run(make({0: code})).notes
    assert 0 < notes[1] <= notes[2] - notes[0] + 10
    assert notes[3] == 1 << (10 + which // 4)
    assert 4990 <= notes[4] - notes[0] < 5050
    assert notes[5] == 5000, "once: it stands then"
    assert notes[6] & 1 == 0


def test_a_timer_that_wraps_comes_back_every_period() -> None:
    code = [*put(CLUSTER_TIMER + TIMER_COMPARE, 700), *put(MASK, 1 << 10)]
    code += put(CLUSTER_TIMER, RUN_FROM_0 | INTERRUPTS | WRAPS)
    for n in range(8):
        code += [*wait(WAIT_CLEAR), *note_cycle(n)]
    code += get(CLUSTER_TIMER + TIMER_VALUE, 8)
    notes = run(make({0: code})).notes
    periods = [b - a for a, b in pairwise(notes[1:8])]
    assert all(abs(period - 700) <= 20 for period in periods)
    assert abs(sum(periods) - 6 * 700) <= 20, "no cycle is lost"
    assert notes[8] < 700


def test_two_counters_as_one_of_64_bits() -> None:
    code = [*put(CLUSTER_TIMER + TIMER_VALUE, 0xFFFFFFF0), *put(CLUSTER_TIMER + TIMER_VALUE + 4, 6)]
    code += [*put(CLUSTER_TIMER, 1 << 31 | 1), *spin(50), *get(CLUSTER_TIMER + TIMER_VALUE, 0)]
    code += get(CLUSTER_TIMER + TIMER_VALUE + 4, 1)
    notes = run(make({0: code})).notes
    assert notes[1] == 7
    assert 100 < notes[0] < 400


@pytest.mark.parametrize(("clock", "cycles"), [(256, 4000), (128, 8000), (512, 2000)])
def test_the_controllers_timer_counts_its_own_clock(clock: int, cycles: int) -> None:
    fc = [*put(ITC_MASK, 1 << 10), *put(FC_TIMER + TIMER_COMPARE, 4000)]
    fc += [*put(FC_TIMER, RUN_FROM_0 | INTERRUPTS), *note_cycle(0), WFI, *note_cycle(1)]
    notes = run(make({}, fc), chip={"fc_clock_x256": clock}).notes
    assert abs(notes[1] - notes[0] - cycles) < 60


def test_interrupts_wake_the_controller_when_they_are_not_masked() -> None:
    """Line 2 is masked, line 3 is not; a pending one lets wfi pass at once."""
    fc = [*put(ITC_MASK, 1 << 3), *put(cores.DONE + 0x100, 1), WFI, *note_cycle(0)]
    fc += [*get(ITC_STATUS, 1), WFI, *put(ITC_STATUS_CLEAR, 1 << 3), *get(ITC_STATUS, 2)]
    fc += [*put(ITC_MASK + 4, 1 << 2), *get(ITC_MASK, 4), *put(ITC_MASK + 8, 1 << 3)]
    fc += [*get(ITC_MASK, 5), WFI, *note_cycle(6)]
    core = [*until(cores.DONE + 0x100, 1), *put(ITC_STATUS_SET, 1 << 2), *spin(400)]
    core += [*note_cycle(3), *put(ITC_STATUS_SET, 1 << 3)]
    notes = run(make({0: core}, fc)).notes
    assert notes[0] > notes[3], "not by the masked line"
    assert (notes[1], notes[2]) == (1 << 2 | 1 << 3, 1 << 2)
    assert (notes[4], notes[5]) == (1 << 2 | 1 << 3, 1 << 2)
    assert notes[6] > notes[0]


def test_clock_and_power_registers_take_what_is_written_and_are_ready() -> None:
    addresses = [0x1A100004 + 4 * n for n in range(12)] + [0x1A104110, 0x1A107004, 0x1A107008]
    values = random.Random(0).sample(range(1 << 32), len(addresses))
    fc = get(0x1A100000, 0)
    for address, value in zip(addresses, values, strict=True):
        fc += put(address, value)
    for n, address in enumerate(addresses):
        fc += get(address, n + 1)
    notes = run(make({}, fc)).notes
    assert notes[0] & 1, "locked"
    assert list(notes[1 : 1 + len(values)]) == values


@pytest.mark.parametrize("bank", [0x1A101000, 0x1A101048, 0x1A101090])
def test_outputs_are_set_and_cleared_by_bits_and_read_where_their_clock_is_on(bank: int) -> None:
    fc = [*put(bank, 0b1110), *put(bank + 4, 0b0111), *put(bank + 0xC, 0b1001)]
    fc += [*put(bank + 0x10, 0b0110), *put(bank + 0x14, 0b0010)]
    notes = run(make({}, [*fc, *get(bank + 0xC, 0), *get(bank + 8, 1)])).notes
    assert notes[:2] == (0b1101, 0b0100)


# ---- memory and its aliases


@pytest.mark.parametrize("size", [1, 2, 4])
def test_test_and_set_gives_the_old_value_and_leaves_ones(size: int) -> None:
    memory = [(L1 + 0x200, bytes(range(1, 9)))]
    code = [*get(L1 + 0x100200, 0, size), *get(L1 + 0x100200, 1, size)]
    ran = run(make({5: code}, memory=memory), [(L1 + 0x200, 8)])
    assert ran.notes[0] == int.from_bytes(bytes(range(1, 1 + size)), "little")
    assert ran.notes[1] == (1 << 8 * size) - 1
    assert ran.memory[0] == b"\xff" * size + bytes(range(1 + size, 9))


def test_cores_see_their_cluster_from_address_0_and_the_controller_its_memory() -> None:
    """Core 1: L1 and its event unit; the controller: private L2."""
    memory = [(L1 + 0x300, bytes([1, 2, 3, 4])), (0x1C000040, bytes([5, 6, 7, 8]))]
    core = [*get(0x300, 0), *put(0x304, 0x11223344), *put(0x00204000, 0xABCD), *get(MASK, 1)]
    fc = [*get(0x40, 2), *put(0x44, 0x55667788)]
    ran = run(make({1: core}, fc, memory), [(L1 + 0x304, 4), (0x1C000044, 4)])
    assert ran.notes[:3] == (0x04030201, 0xABCD, 0x08070605)
    assert ran.memory == (bytes.fromhex("44332211"), bytes.fromhex("88776655"))


def test_every_core_has_its_own_number_and_all_share_time() -> None:
    lists = {c: [cores.csrr(T0, cores.MHARTID), *note(c), *note_cycle(16 + c)] for c in range(9)}
    fc = [cores.csrr(T0, cores.MHARTID), *note(FC)]
    notes = run(make(lists, fc)).notes
    assert list(notes[:10]) == list(range(10))
    assert max(notes[16:25]) - min(notes[16:25]) < 1000


# ---- stdout and the end


@pytest.mark.parametrize(("base", "hart"), [(0x1A120000, 9), (0x1A10F000, 0x3E0)])
def test_bytes_to_stdout_come_out_whatever_the_core(base: int, hart: int) -> None:
    """At pulp-open's address GAP9 has its eFUSEs."""
    text = "Grüße, 100 %\n"
    cycles = {**GAP9_CYCLES, "fc_hart": hart}
    fc = [w for byte in text.encode() for w in put(base + (FC << 3), byte, 1)]
    assert simulate(make({}, fc), cycles=cycles).output == text
    one = make({6: [*put(base + (6 << 3), ord("x"), 1)]})
    assert simulate(one, cycles=cycles).output == "x"


@each("address", [0x1A1040C0, 0x1A1040A0])
@each("code", [0, 1, 42, 255, 256, 0x7FFFFFFF])
def test_exit_codes_come_back(address: int, code: int) -> None:
    elf = make({}, ending=leave(code, address=address))
    assert simulate(elf).exit_code == code


def test_an_exit_register_without_its_top_bit_goes_on() -> None:
    assert simulate(make({}, put(cores.EXIT, 7), ending=leave(3))).exit_code == 3


def test_a_core_of_the_cluster_may_end_the_run_too() -> None:
    assert simulate(make({4: leave(9)})).exit_code == 9


def test_masked_interrupts_leave_everybody_asleep() -> None:
    with pytest.raises(MyoedgeError) as caught:
        run(make({}, [*put(ITC_MASK, 0), *put(ITC_STATUS_SET, 1), WFI]))
    assert caught.value.code == "E707"
