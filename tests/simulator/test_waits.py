# SPDX-License-Identifier: Apache-2.0
"""Rounds of a waiting loop that are counted at once: the same as made one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulator.c_programs import run_c

SHARED_L2 = {"outer_bytes_per_cycle": 8, "l2_cluster_cycles": 1}
NARROW_L2 = {"outer_bytes_per_cycle": 1, "outer_reach_cycles": 0, "l2_cluster_cycles": 1}


@pytest.mark.parametrize("chip", [{}, {"fc_clock_x256": 77}, SHARED_L2])
def test_cycles_and_counters_are_those_of_the_rounds_made_one_by_one(chip: dict[str, int]) -> None:
    found = run_c("waits", chip=chip)
    every_round = run_c("waits", chip=chip, profile=True)
    assert found.run == replace(every_round.run, profile={}, executed={})
    assert found.notes[41] == 2
    assert found.notes[2] == 63
    assert found.run.counts[8].loads > 5_000  # it waits for long


@pytest.mark.parametrize("chip", [{}, NARROW_L2])
def test_a_round_with_another_wait_or_with_code_in_between_is_made(chip: dict[str, int]) -> None:
    found = run_c("rounds", chip=chip)
    every_round = run_c("rounds", chip=chip, profile=True)
    assert found.run == replace(every_round.run, profile={}, executed={})
    assert found.notes[20] > 5_000
