# SPDX-License-Identifier: Apache-2.0
"""Interrupts of the fabric controller as RISC-V and gap_sdk's pages say."""

from __future__ import annotations

import pytest

from tests.simulator.c_programs import Noted, run_c

INTERRUPT = 0x80000000
ENABLED, ENABLED_BEFORE = 8, 128


@pytest.fixture(scope="module")
def noted() -> Noted:
    return run_c("interrupts")


def test_one_that_is_let_through_is_taken_with_its_number_and_interrupts_off(noted: Noted) -> None:
    cause, inside, after, pending = noted.notes[1:5]
    assert cause == INTERRUPT | 3
    assert inside & (ENABLED | ENABLED_BEFORE) == ENABLED_BEFORE
    assert after & ENABLED
    assert pending == 0, "taking it clears it"


def test_without_mie_it_ends_wfi_and_stays_until_mie_is_set(noted: Noted) -> None:
    assert noted.notes[5:7] == (1, 1 << 2 | 1 << 6)
    assert noted.notes[7] == 3, "both before the next instruction"
    assert noted.notes[8:10] == (INTERRUPT | 6, INTERRUPT | 2), "highest number first"


def test_a_timer_ends_wfi_and_its_handler_runs_first(noted: Noted) -> None:
    taken, cycles, cause, place = noted.notes[10:14]
    assert (taken, cause) == (1, INTERRUPT | 10)
    assert 2950 < cycles < 3200
    assert place == noted.symbols["sleeping"]


def test_a_handler_is_not_interrupted(noted: Noted) -> None:
    assert noted.notes[0] == 0
    assert noted.notes[14:16] == (INTERRUPT | 4, INTERRUPT | 5)


def test_work_goes_on_where_it_was_interrupted(noted: Noted) -> None:
    value = 0
    for i in range(5000):
        value = (value * 5 + (i ^ value >> 3)) & 0xFFFFFFFF
    assert noted.notes[16] == value
    assert noted.notes[17] > 100


def test_what_an_interrupt_costs_is_in_the_description() -> None:
    usual, dear = run_c("interrupts"), run_c("interrupts", chip={"interrupt_cycles": 54})
    assert dear.notes[11] - usual.notes[11] == 50
