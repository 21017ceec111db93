# SPDX-License-Identifier: Apache-2.0
"""Dividers of the clock generator, which programs change while they run."""

from __future__ import annotations

from itertools import pairwise

import pytest

from myoedge.errors import MyoedgeError
from myoedge.simulator import simulate
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES, at_clock
from tests.simulator.c_programs import Noted, run_c
from tests.simulator.cores import make, put

DIVIDERS = 0x1A10002C
DIVIDED = {"clock_divider": 1}


def changed(slow: int, peripherals: int = 1, **more: int) -> Noted:
    chip = {**DIVIDED, **more}
    return run_c("clock", f"SLOW={slow}u", f"PERIPHERALS={peripherals}u", chip=chip)


@pytest.mark.parametrize("slow", [2, 7, 37])
def test_the_controller_and_its_timers_take_longer(slow: int) -> None:
    """By their own clock they take the same."""
    plain, found = changed(1), changed(slow)
    fast, slowly, again = (found.notes[2 * k : 2 * k + 2] for k in range(3))
    assert fast == pytest.approx(plain.notes[:2], abs=12)
    assert slowly == pytest.approx(fast, abs=12)
    assert again == pytest.approx(fast, abs=12)
    more = sum(slowly) * (slow - 1)
    assert found.run.cycles - plain.run.cycles == pytest.approx(more, rel=0.01)


def test_times_in_each_state_at_the_slower_clock() -> None:
    """The cluster's cores poll all the time."""
    found, plain = changed(10), changed(1).run
    assert set(plain.slow_cycles.values()) == {0}
    slow = found.run.slow_cycles["run"]
    assert slow == pytest.approx(10 * sum(found.notes[2:4]), rel=0.01)
    assert found.run.cycles - slow == pytest.approx(plain.cycles * 2 / 3, rel=0.2)
    assert sum(found.run.state_cycles.values()) == found.run.cycles


@pytest.mark.parametrize("peripherals", [1, 10, 24])
def test_bytes_on_the_line_are_not_disturbed(peripherals: int) -> None:
    """Some of them are under way when the cores' clock changes."""
    found = changed(10, peripherals).run
    assert found.line == bytes([1, 2, 3, 4, 5])
    assert {b - a for a, b in pairwise(found.line_cycles)} == {1000 * peripherals}


def test_without_a_divider_of_reference_nothing_changes() -> None:
    assert set(changed(37, 24, clock_divider=0).run.slow_cycles.values()) == {0}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0x02040202, "controller and cluster"),
        (0x02020203, "no multiple"),
        (0x01010101, "no multiple"),
    ],
)
def test_clocks_that_are_not_simulated(value: int, said: str) -> None:
    with pytest.raises(MyoedgeError, match="register") as raised:
        simulate(make({}, put(DIVIDERS, value)), cycles={**GAP9_CYCLES, "clock_divider": 2})
    assert said in str(raised.value)


def test_an_access_to_the_generator_takes_periods_of_its_reference() -> None:
    """Three of 24.576 MHz."""
    for clock_hz in (10_000_000, 370_000_000):
        cycles = at_clock(GAP9_CYCLES, clock_hz)["fll_access_cycles"]
        assert cycles == pytest.approx(3 * clock_hz / 24.576e6, abs=0.6)
