# SPDX-License-Identifier: Apache-2.0
"""Power states, the cluster's domain, watchdog, deep sleep: what is lost, what stays, and when."""

from __future__ import annotations

import numpy as np
import pytest

from myoedge.errors import MyoedgeError
from myoedge.simulator import Playback
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES
from tests.simulator.c_programs import Noted, run_c

TICK = GAP9_CYCLES["reference_cycles"]


def power(what: int, **more: object) -> Noted:
    return run_c("power", f"WHAT={what}", **more)


def test_the_cluster_goes_off_forgets_and_starts_anew() -> None:
    noted = power(0)
    off, on, ends, kept = noted.notes[:4]
    assert off < 200
    assert 0 <= on - GAP9_CYCLES["cluster_power_cycles"] < 200
    assert (ends, kept) == (2, 0)
    assert noted.notes[8:17] == noted.notes[20:29] == tuple(range(1, 10))


def test_every_cycle_is_in_one_state() -> None:
    run = power(0).run
    assert sum(run.state_cycles.values()) == run.cycles
    assert 69_000 < run.state_cycles["cluster_off"] < 71_000
    assert run.state_cycles["retention"] == run.restarts == 0
    assert run.state_cycles["run"] > 0


def test_the_watchdog_starts_the_program_that_was_loaded() -> None:
    noted = power(1)
    assert noted.notes[:2] == (7, 5), "variables anew, the always-on byte kept"
    assert noted.run.restarts == 1
    asleep = noted.run.state_cycles
    fed = 4 * 15 * TICK
    assert 0 < noted.run.cycles - fed - 20 * TICK - GAP9_CYCLES["boot_cycles"] < 100_000
    assert asleep["retention"] == 0


def test_deep_sleep_keeps_l2_until_the_counter_ends() -> None:
    noted = power(2)
    assert noted.notes[0] == 8, "L2 as it was"
    assert noted.notes[1] == 1 << 31 | 5
    slept = 100 * TICK + GAP9_CYCLES["deep_sleep_wake_cycles"]
    assert noted.run.state_cycles["retention"] == slept
    assert noted.run.restarts == 1


def test_data_ready_ends_deep_sleep() -> None:
    rows = np.zeros((3, 4), np.uint8)
    playback = Playback(rows, 100, front_end="spi", start_s=0.004)
    noted = power(3, playback=playback)
    assert noted.notes[1] == 1 << 11 | 1 << 10 | 5
    ready = noted.run.ready_cycles[0]
    assert 0 < ready - noted.run.state_cycles["retention"] + 370_000 < 100_000


def test_nobody_reaches_a_cluster_that_is_off() -> None:
    with pytest.raises(MyoedgeError) as caught:
        power(4)
    assert caught.value.code == "E702"
    assert "powered down" in caught.value.notice.title
