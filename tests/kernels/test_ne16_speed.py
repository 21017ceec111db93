# SPDX-License-Identifier: Apache-2.0
"""Layers on NE16 take the cycles that are recorded, near the formula of the engine's jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

import pytest

from tests.kernels.ne16_formula import Job
from tests.kernels.ne16_speed import HEAD, RECORDED, ROWS, from_l2, in_l1, lines
from tests.simulator.ne16_jobs import REFUSED, Recorded, recorded, recorded_cycles
from tests.support.each import each
from tests.support.pages import PAGE, markdown

START = 12  # cycles of a recorded job from TRIGGER to the core that waited
LEFT_OUT = ("b05", *REFUSED)  # b05 leaves padded rows out; the others have no meaning
MODES = {0: "3x3", 1: "depthwise", 2: "1x1", 3: "1x1"}
# MACs a cycle that are wanted
POINTWISE, FILTER = ("linear 400 x 192 x 576", 65), ("conv 3x3, 15 x 15, 64 -> 64", 120)
LONG, OF_L1 = 100_000, 0.9  # cycles of a layer that is to reach so much of its speed in L1 from L2


def job_of(job: Recorded) -> Job:
    """The job of its registers."""
    config = job.register("CONFIG0")
    mode = "linear" if config >> 7 & 1 else MODES[config >> 5 & 3]
    outputs, inputs = 16 if mode == "depthwise" else 32, 256 if mode == "linear" else 16

    def extent(shift: int, tiles: str, last: str, size: int, of_one: int = 1) -> int:
        count, rest = (job.register(name) >> shift & 0xFFFF for name in (tiles, last))
        return (count - 1) * size + (rest * of_one or size)

    unit = 16 if mode == "linear" else 1
    normalises = bool(config >> 4 & 1)
    return Job(
        mode,
        extent(16, "SUBTILE_NB1", "SUBTILE_REM1", 3) if mode != "linear" else 1,
        extent(0, "SUBTILE_NB1", "SUBTILE_REM1", 3) if mode != "linear" else 1,
        extent(0, "SUBTILE_NB0", "SUBTILE_REM0", inputs, unit),
        extent(16, "SUBTILE_NB0", "SUBTILE_REM0", outputs),
        scale_bytes=1 << (config >> 12 & 3) if normalises else 0,
        shifts=normalises and bool(config >> 24 & 1),
        bias=bool(config >> 25 & 1),
        words=config >> 21 & 3 == 2,
        weight_bits=(config & 7) + 1,
    )


def compared() -> list[str]:
    """Recorded jobs without sums that begin elsewhere than at 0, and without inputs of 16 bits."""
    jobs = {name: recorded()[name].register("CONFIG0") for name in recorded_cycles()}
    return [n for n, c in jobs.items() if not c & (1 << 14 | 1 << 3) and not n.startswith(LEFT_OUT)]


def test_the_formula_is_that_of_recorded_jobs() -> None:
    cycles = {name: recorded_cycles()[name]["cycles"] - START for name in compared()}
    assert {name: job_of(recorded()[name]).cycles for name in cycles} == cycles
    assert len(cycles) > 60


@cache
def kept() -> Mapping[str, Mapping[str, int]]:
    found: Mapping[str, Mapping[str, int]] = json.loads(RECORDED.read_text())
    return found


def assert_recorded(place: str, found: Mapping[str, int]) -> None:
    """Within 2 %: instruction caches. After a change, --record."""
    assert found == pytest.approx(kept()[place], rel=0.02)


@pytest.mark.slow
def test_kernels_on_operands_in_l1() -> None:
    """Results are exact, too."""
    assert_recorded("in L1", in_l1())


@pytest.mark.slow
def test_layers_from_l2() -> None:
    assert_recorded("from L2", from_l2())


@each("name", ROWS)
def test_layers_reach_their_part_of_the_formula(name: str) -> None:
    place = "in L1" if ROWS[name].in_l1 else "from L2"
    assert ROWS[name].formula >= ROWS[name].least * kept()[place][name]


def test_speeds_that_are_wanted() -> None:
    for (name, least), place in ((POINTWISE, "from L2"), (FILTER, "in L1")):
        assert ROWS[name].macs >= least * kept()[place][name]
    long = [name for name, cycles in kept()["in L1"].items() if cycles > LONG]
    assert long
    for name in long:
        assert kept()["in L1"][name] >= OF_L1 * kept()["from L2"][name]


def test_the_page_has_what_is_recorded() -> None:
    assert markdown(HEAD, lines(kept())) in PAGE.read_text()
