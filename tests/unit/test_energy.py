# SPDX-License-Identifier: Apache-2.0
"""Joules by hand, the fit against another solver, calibration on boards that are made up."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from myoedge.backends.measurement import Activity
from myoedge.building.operating_points import cheapest
from myoedge.errors import MyoedgeError
from myoedge.power.calibrate import Measured, calibrate
from myoedge.power.duty import duty
from myoedge.power.model import (
    PUBLISHED,
    Battery,
    Coefficients,
    ModulePowers,
    energy,
    energy_of,
    typical,
    typical_on_engine,
    with_modelled_error,
    with_typical_error,
)
from myoedge.reports.energy import amount, interval
from myoedge.reports.period import period_s
from myoedge.targets import OperatingPoint, find_chip
from myoedge.targets.gap9 import energy as gap9_energy
from myoedge.targets.gap9.program import CLOCKS
from myoedge.targets.memories import MemoryLevel
from tests import energy_page
from tests.support.oracles.least_squares import non_negative

GAP9 = find_chip("gap9")
HIGH, LOW = GAP9.points
NONE = ((0.0,) * 6,) * 6
PLAIN = Coefficients((4.0, 30.0, 2.0, 500.0, 130.0, 20.0), NONE, 0.1, 0.0, "made up")
BUSY = Activity(370e6, 9e8, 1e8, 2e8, 4e7, 1e6, 3e7, 2e6)  # a second at 370 MHz


# --- one energy -----------------------------------------------------------------------------------


def test_by_hand_at_the_voltage_of_the_coefficients() -> None:
    found = energy(BUSY, HIGH, PLAIN)
    wanted = {
        "leakage": 4.0e-3,
        "clocks": 30e-12 * 370e6,
        "cores": 2 * 4.98e-12 * 9e8,
        "fc": 2 * 4.98e-12 * 1e8,
        "l1": 2 * 2.124e-12 * 2e8,
        "dma": 2 * 2.124e-12 * 1e7,
        "l3": 500e-12 * 1e6,
        "ne16": 130e-12 * 3e7,
        "mram": 20e-12 * 2e6,
    }
    assert found.parts == pytest.approx(wanted)
    assert found.joules == pytest.approx(sum(wanted.values()))
    assert found.high_j - found.low_j == pytest.approx(2 * 2 * 0.1 * found.joules)


def test_voltage_and_clock() -> None:
    """Dynamic energy goes with the square, leakage with the voltage and the time; L3 stays."""
    high, low = (energy(BUSY, point, PLAIN).parts for point in (HIGH, LOW))
    square = (0.65 / 0.80) ** 2
    for part in ("clocks", "cores", "fc", "l1", "dma"):
        assert low[part] / high[part] == pytest.approx(square)
    assert low["leakage"] / high["leakage"] == pytest.approx(0.65 / 0.80 * 370 / 240)
    assert low["l3"] == high["l3"]
    assert low["mram"] == high["mram"]


def test_the_dynamic_power_of_both_points_is_as_physics_says() -> None:
    dynamic = replace(PLAIN, values=(0.0, 30.0, 2.0, 0.0, 130.0, 0.0))
    ratio = energy_page.power_mw(BUSY, HIGH, dynamic) / energy_page.power_mw(BUSY, LOW, dynamic)
    assert ratio == pytest.approx((0.80 / 0.65) ** 2 * 370 / 240)


def test_uncertainty_is_that_of_the_coefficients_and_of_the_rest() -> None:
    one = replace(PLAIN, covariance=((1.0, 0, 0, 0, 0, 0), *NONE[1:]), workload=0.0)
    assert energy(BUSY, HIGH, one).sigma_j == pytest.approx(1e-3), "1 mW for a second"
    both = replace(one, board=0.1)
    joules = energy(BUSY, HIGH, both).joules
    assert energy(BUSY, HIGH, both).sigma_j == pytest.approx(math.hypot(1e-3, 0.1 * joules))


@pytest.mark.parametrize("by", [PUBLISHED, PLAIN])
@pytest.mark.parametrize("name", ["l3_bytes", "mram_bytes"])
@pytest.mark.parametrize("point", [HIGH, LOW])
def test_more_bytes_never_cost_less(point: OperatingPoint, name: str, by: Coefficients) -> None:
    """A byte costs no negative energy, however unsure its cost is."""
    counts = (0, 10**4, 10**6, 10**7, 10**9)
    found = [energy(replace(BUSY, **{name: count}), point, by) for count in counts]
    assert min(one.low_j for one in found) == found[0].low_j > 0
    for one, more in itertools.pairwise(found):
        assert one.low_j < one.joules < one.high_j < more.high_j


def test_parts_of_an_inference_add_up() -> None:
    whole = energy(BUSY + typical(1e6), HIGH, PLAIN).joules
    parts = energy(BUSY, HIGH, PLAIN).joules + energy(typical(1e6), HIGH, PLAIN).joules
    assert whole == pytest.approx(parts)


# --- operating points -----------------------------------------------------------------------------


def test_a_clock_between_the_points() -> None:
    found = GAP9.at("305 MHz")
    assert found.point.clock_hz == 305_000_000
    assert found.point.volts == 0.75
    assert [p.name for p in found.points] == ["305 MHz", "high", "low"]
    assert GAP9.at("240MHz").point.volts == 0.65


@pytest.mark.parametrize(
    ("mhz", "volts"), [(240, 0.65), (241, 0.70), (280, 0.70), (325, 0.75), (326, 0.80), (370, 0.80)]
)
def test_the_lowest_voltage_at_which_the_sdk_allows_a_clock(mhz: int, volts: float) -> None:
    """Limits of pi_freq_set by voltage: GreenWaves' SDK 5."""
    assert GAP9.at(f"{mhz} MHz").point.volts == volts


def test_points_are_found_again_by_their_names() -> None:
    for name in ("240.00049 MHz", "369.9999999 MHz", "305.1237MHz", "280 MHz"):
        point = GAP9.at(name).point
        assert GAP9.at(point.name).point == point
    assert [p.name for p in GAP9.at("369.9999999 MHz").points] == ["high", "low"]


def test_the_highest_clock_of_every_voltage() -> None:
    points = [(p.name, p.volts) for p in GAP9.at_every_voltage().points]
    assert points == [("high", 0.80), ("low", 0.65), ("280 MHz", 0.70), ("325 MHz", 0.75)]


def test_slow_memories_are_left_out_at_low_clocks() -> None:
    """L3's bursts last too long below 240 MHz; the flash's clock is a part of the chip's."""
    levels = {mhz: GAP9.at(f"{mhz}MHz") for mhz in (10, 30, 31, 239, 240)}
    found = {mhz: [x.name for x in chip.levels] for mhz, chip in levels.items()}
    assert found == {10: [], 30: [], 31: [], 239: [], 240: ["l3"]}
    optional = {mhz: [x.name for x in chip.optional_levels] for mhz, chip in levels.items()}
    assert optional == {10: [], 30: [], 31: ["mram"], 239: ["mram"], 240: ["mram"]}
    assert {chip.point.volts for chip in levels.values()} == {0.65}


@pytest.mark.parametrize("level", [*GAP9.levels, *GAP9.optional_levels], ids=lambda x: x.name)
def test_the_named_clock_of_a_level_has_it(level: MemoryLevel) -> None:
    least_hz = GAP9.least_hz({level.name: 1, "other": 0})
    there = GAP9.at(f"{least_hz / 1e6:g} MHz")
    assert there.point.clock_hz == least_hz
    assert level.name in [x.name for x in (*there.levels, *there.optional_levels)]
    assert GAP9.least_hz({level.name: 0}) == GAP9.low_clocks_hz[0]


@pytest.mark.parametrize("khz", [*range(10_000, 370_001, 1_111), 15_000, 20_000, 240_000, 370_000])
def test_a_clock_of_the_generator_and_its_divider(khz: int) -> None:
    """At most one step of the generator faster than asked; the divider is a byte."""
    clock = CLOCKS.settings(1000 * khz)
    step_hz = Fraction(370_500_000, 376)
    assert 1 <= clock.divider <= 255
    assert 1 <= clock.multiplier <= 376
    assert clock.hz == round(clock.multiplier * step_hz / clock.divider)
    assert 0 <= clock.hz - 1000 * khz <= step_hz / clock.divider
    assert clock.multiplier * step_hz > 370_500_000 / 2, "in the range that was recorded"


@pytest.mark.parametrize("name", ["fast", "", "9.9 MHz", "371MHz", "auto", "300", "-300 MHz"])
def test_no_such_point(name: str) -> None:
    with pytest.raises(MyoedgeError) as raised:
        GAP9.at(name)
    assert raised.value.code == "E204"


def test_l3_is_clocked_in_step() -> None:
    """A byte takes as many cycles at every point, as in the simulator."""
    low = GAP9.at("low")
    ratio = GAP9.point.clock_hz / GAP9.l3_bytes_per_s
    assert low.point.clock_hz / low.l3_bytes_per_s == pytest.approx(ratio)


def test_the_cheapest_streaming_rule() -> None:
    points = [("high", 1.0, 5.0), ("low", 2.0, 3.0)]
    assert cheapest(points, None) == "low"
    assert cheapest(points, 2.0) == "low"
    assert cheapest(points, 1.5) == "high"
    assert cheapest(points, 0.5) == "high", "none in time: the fastest"


# --- against what is published --------------------------------------------------------------------


def test_the_coefficients_are_the_least_squares_of_the_published_powers() -> None:
    """By another solver (Lawson and Hanson), rows made here from counters and the formula."""
    counters = {**NETWORKS, "idle": Activity(1)}
    rows, rest = [], []
    for (name, at), watts in gap9_energy.PUBLISHED.items():
        a, point = counters[name], GAP9.at(at).point
        a = replace(a, cycles=gap9_energy.PUBLISHED_CYCLES.get(name, a.cycles))
        square, rate = (point.volts / 0.8) ** 2, point.clock_hz / a.cycles * 1e-9
        words = a.accesses + a.dma_bytes / 4
        weights = 4.98 * (a.instructions + a.fc_instructions) + 2.124 * words
        l3 = 600.0 * a.l3_bytes * rate
        row = [point.volts / 0.8, square * a.cycles * rate, square * weights * rate]
        row += [square * a.ne16_cycles * rate]
        rows.append(np.array(row) / watts)
        rest.append((watts - l3) / watts)
    wanted = non_negative(np.array(rows), np.array(rest))
    np.testing.assert_allclose(np.delete(PUBLISHED.values, [3, 5]), wanted, rtol=2e-5)


def test_published_energies_are_met() -> None:
    """Within 12 % fitted, and 25 % where the workload is left out of the fit."""
    left_out = energy_page.left_out()
    for (name, at), row in energy_page.published().items():
        if name != "idle":
            assert abs(energy_page.error(row, PUBLISHED)) < 0.12, (name, at)
            assert abs(left_out[name, at]) < 0.25, (name, at)


def test_workloads_left_out_are_within_the_interval() -> None:
    errors = energy_page.left_out()
    work = [error for (name, _), error in errors.items() if name != "idle"]
    assert math.sqrt(np.mean(np.square(work))) == pytest.approx(PUBLISHED.workload, abs=1e-3)
    assert max(map(abs, work)) < 0.21
    for key, row in energy_page.published().items():
        found = energy_of(row.spans, PUBLISHED)
        assert found.low_j <= row.joules <= found.high_j, key


def test_without_a_board_the_interval_is_wide() -> None:
    for name, activity in energy_page.recorded().items():
        found = energy(activity, HIGH, PUBLISHED)
        assert 0.25 <= 2 * found.sigma_j / found.joules <= 0.40, name


def test_the_page_is_as_generated() -> None:
    assert energy_page.PAGE.read_text() == energy_page.page()


def test_typical_activity_is_that_of_the_recorded_networks() -> None:
    assert energy_page.typical(energy_page.on_cores()) == gap9_energy.TYPICAL
    assert energy_page.typical_error(PUBLISHED) <= gap9_energy.TYPICAL_ERROR


def test_typical_activity_of_a_short_layer_is_its_start() -> None:
    """Half of the usual work at START_CYCLES; NE16 waits for its start."""
    usual = gap9_energy.TYPICAL[0]
    assert typical(gap9_energy.START_CYCLES).instructions == usual / 2 * gap9_energy.START_CYCLES
    assert typical(1e9).instructions == pytest.approx(usual * 1e9, rel=1e-4)
    ten = typical(1e4) + typical(1e4)
    assert typical(2e4, layers=2).instructions == pytest.approx(ten.instructions)
    assert typical(0).instructions == 0
    assert typical_on_engine(gap9_energy.NE16_START_CYCLES).ne16_cycles == 0
    assert typical_on_engine(1e9).ne16_cycles == pytest.approx(
        gap9_energy.NE16_BUSY * 1e9, rel=1e-4
    )


def test_what_is_modelled_is_less_sure_than_what_is_counted() -> None:
    """An error of 25 % in the cycles alone, which energy goes with, stays in the interval."""
    counted, cycles, modelled = (
        energy(typical(1e6, layers=0), HIGH, by)
        for by in (PUBLISHED, with_typical_error(PUBLISHED), with_modelled_error(PUBLISHED))
    )
    assert counted.sigma_j < cycles.sigma_j < modelled.sigma_j
    more = math.sqrt(modelled.sigma_j**2 - cycles.sigma_j**2)
    off = energy(typical(1.25e6, layers=0), HIGH, PUBLISHED).joules - modelled.joules
    assert 2 * more == pytest.approx(off)


# --- calibration ----------------------------------------------------------------------------------

BOARD = (3.0, 42.0, 2.9, 420.0, 150.0, 20.0)  # of a board that is made up, within the priors
# MLPerf Tiny with NE16, TinyMyo on the cores
NETWORKS = {
    "idle": Activity(1e6),
    **{name: energy_page.recorded()[name] for name in ("AD", "IC", "KWS", "VWW")},
    **{name: energy_page.recorded()[f"{name}, cores"] for name in ("TinyMyo small", "TinyMyo")},
}


def measured(values: tuple[float, ...], noise: float = 0.0, seed: int = 0) -> list[Measured]:
    truth, rng = replace(PUBLISHED, values=values), np.random.default_rng(seed)
    return [
        Measured(name, [(a, point)], energy(a, point, truth).joules * (1 + noise * rng.normal()))
        for name, a in NETWORKS.items()
        for point in GAP9.points
    ]


def half_width(by: Coefficients) -> float:
    found = energy(NETWORKS["TinyMyo"], HIGH, by)
    return 2 * found.sigma_j / found.joules


def test_a_board_is_found_again_and_the_interval_shrinks() -> None:
    found, residuals = calibrate(measured(BOARD, noise=0.01), PUBLISHED)
    assert max(abs(r.relative) for r in residuals) < 0.06
    assert max(abs(r.before_j / r.measured.joules - 1) for r in residuals) > 0.06
    # six workloads, beside the published ones, which count as four
    assert half_width(found) < math.sqrt(4 / (4 + 6)) * half_width(PUBLISHED)
    assert found.source == "calibrated with 14 measurements"


def test_the_interval_covers_a_network_that_was_not_measured() -> None:
    for seed in range(20):
        rows = measured(BOARD, noise=0.03, seed=seed)
        kept = [row for row in rows if row.name != "TinyMyo"]
        by, _ = calibrate(kept, PUBLISHED)
        truth = energy(NETWORKS["TinyMyo"], HIGH, replace(PUBLISHED, values=BOARD)).joules
        found = energy(NETWORKS["TinyMyo"], HIGH, by)
        assert found.low_j <= truth <= found.high_j, seed


def test_more_measurements_say_more() -> None:
    rows = measured(BOARD)
    widths = [half_width(calibrate(rows[:n], PUBLISHED)[0]) for n in (1, 4, 14)]
    assert widths == sorted(widths, reverse=True)


def test_what_agrees_with_the_priors_leaves_them() -> None:
    found, residuals = calibrate(measured(PUBLISHED.values), PUBLISHED)
    np.testing.assert_allclose(found.values, PUBLISHED.values, rtol=1e-4)
    assert max(abs(r.relative) for r in residuals) < 1e-4


def test_measurements_that_disagree_widen_what_is_left_for_workloads() -> None:
    rows = [
        replace(r, joules=r.joules * (1.4 if i % 2 else 0.7)) for i, r in enumerate(measured(BOARD))
    ]
    found, _ = calibrate(rows, PUBLISHED)
    assert found.workload > 1.5 * PUBLISHED.workload


def test_only_different_inferences_say_how_workloads_differ() -> None:
    """Neither a chip that waits, nor one inference measured often or at two points."""
    by_name = {name: [r for r in measured(BOARD) if r.name == name] for name in NETWORKS}
    idle, one, other = (by_name[name] for name in ("idle", "AD", "IC"))
    assert calibrate(100 * idle, PUBLISHED)[0].workload == PUBLISHED.workload
    once, often, two = (
        calibrate(rows, PUBLISHED)[0].workload
        for rows in (one[:1], 50 * one, [*one, *other, *idle])
    )
    assert math.sqrt(4 / 5) * PUBLISHED.workload <= once < PUBLISHED.workload
    assert often == pytest.approx(once, rel=0.02)
    assert math.sqrt(4 / 6) * PUBLISHED.workload <= two < PUBLISHED.workload


@pytest.mark.parametrize("mhz", [[240], [10, 240], [*range(10, 241, 10)]])
@pytest.mark.parametrize("sigma", [0.01, 0.02])
def test_no_number_of_rows_is_surer_than_their_meter(mhz: list[int], sigma: float) -> None:
    points = [OperatingPoint("here", 0.65, x * 1_000_000) for x in mhz]
    truth = replace(PUBLISHED, values=BOARD)
    rows = [
        Measured("idle", [(Activity(1e6), at)], energy(Activity(1e6), at, truth).joules, sigma)
        for at in points
    ]
    widths = []
    for repeated in (rows, 100 * rows):
        by, _ = calibrate(repeated, PUBLISHED)
        assert by.waiting is not None
        found = energy(Activity(1e6), points[-1], by.waiting)
        widths.append(found.sigma_j / found.joules)
    assert widths[0] == pytest.approx(widths[1], rel=1e-3)
    assert 0.97 * sigma < widths[1] < 1.2 * sigma


def test_intervals_contain_every_row_and_outliers_are_named() -> None:
    rows = measured(BOARD)
    assert not any(r.is_outside for r in calibrate(rows, PUBLISHED)[1])
    for n in (0, 3):  # a chip that waits, and an inference
        wrong = [*rows[:n], replace(rows[n], joules=2.5 * rows[n].joules), *rows[n + 1 :]]
        by, residuals = calibrate(wrong, PUBLISHED)
        assert next(r.measured.name for r in residuals if r.is_outside) == rows[n].name
        for row in wrong:
            used = by.waiting if row.idles else by
            assert used is not None
            found = energy_of(row.spans, used)
            assert found.joules - 2 * found.sigma_j <= row.joules <= found.high_j


def test_a_measurement_of_an_unsure_meter_hardly_counts() -> None:
    rows = measured(BOARD)
    idle = rows[0]

    def found(*more: Measured) -> float:
        by, _ = calibrate([*rows, *more], PUBLISHED)
        return energy_of(idle.spans, by).joules

    wrong = replace(idle, joules=1.15 * idle.joules)
    sure, unsure = (abs(found(replace(wrong, sigma=s)) - found()) for s in (0.01, 1.0))
    assert unsure < 0.1 * sure


def test_no_coefficient_is_below_zero() -> None:
    rows = [
        replace(r, joules=r.joules * (0.01 if r.name == "idle" else 1.5)) for r in measured(BOARD)
    ]
    assert min(calibrate(rows, PUBLISHED)[0].values) >= 0


# --- a window every so often ----------------------------------------------------------------------

WINDOW = Activity(3_700_000, 2e7, 0, 6e6)  # 10 ms at 370 MHz


def test_sleeps_between_windows() -> None:
    found = duty(WINDOW, HIGH, PLAIN, 0.1, Battery(100.0, 3.7))
    assert found.share == pytest.approx(0.1)
    assert found.asleep_s == pytest.approx(0.1 - 0.010 - 0.0012)
    joules = energy(WINDOW, HIGH, PLAIN).joules
    idle = energy(Activity(0.0012 * 370e6), HIGH, PLAIN).joules
    wanted = (joules + idle + 1.7e-6 * found.asleep_s) / 0.1 * 1e3
    value, low, high = found.average_mw
    assert value == pytest.approx(wanted)
    assert low < value < high
    assert found.hours is not None
    assert found.hours[0] == pytest.approx(100.0 * 3.7 / value)
    assert found.hours[1] == pytest.approx(100.0 * 3.7 / high)


def test_powers_that_are_given_count_instead_of_bounds() -> None:
    module = ModulePowers(others_mw=8.0, sleep_mw=0.05)
    found = duty(WINDOW, HIGH, PLAIN, 0.1, Battery(100.0, 3.7), module)
    joules = (
        energy(WINDOW, HIGH, PLAIN).joules + energy(Activity(0.0012 * 370e6), HIGH, PLAIN).joules
    )
    wanted_mw = 8.0 + (joules + 0.05e-3 * (0.1 - 0.010 - 0.0012)) / 0.1 * 1e3
    assert found.average_mw[0] == pytest.approx(wanted_mw)
    assert found.hours is not None
    assert found.hours[0] == pytest.approx(100.0 * 3.7 / wanted_mw)
    assert (found.sleep_mw, found.others_mw) == ((0.05, 0.05, 0.05), 8.0)


def test_too_short_a_pause_is_idled_through() -> None:
    found = duty(WINDOW, HIGH, PLAIN, 0.011)
    assert (found.asleep_s, found.keeps_up, found.hours) == (0.0, True, None)
    idle = energy_page.power_mw(Activity(1e6), HIGH, PLAIN)
    wanted = (1e3 * energy(WINDOW, HIGH, PLAIN).joules + idle * 0.001) / 0.011
    assert found.average_mw[0] == pytest.approx(wanted)


def test_a_period_that_is_too_short() -> None:
    found = duty(WINDOW, LOW, PLAIN, 0.01)
    assert not found.keeps_up
    assert found.average_mw[0] == pytest.approx(energy_page.power_mw(WINDOW, LOW, PLAIN))


def test_a_memory_beside_the_chip_sleeps_too() -> None:
    far = replace(WINDOW, l3_bytes=1.0)
    slept = [duty(a, HIGH, PLAIN, 1.0).sleep_mw[0] for a in (WINDOW, far)]
    assert slept[1] - slept[0] == pytest.approx(40e-6 * 1.8 * 1e3)


def test_the_period_of_a_report() -> None:
    """That of --every, otherwise the build's own."""
    own = {"period": {"seconds": 0.128, "set_by": "stream"}}
    assert period_s({}) is None
    assert period_s({"period": None}) is None
    assert period_s(own) == period_s({**own, "every": {"period_s": None}}) == 0.128
    assert period_s({**own, "every": {"period_s": 1.0}}) == 1.0


def test_a_chip_that_cannot_sleep_is_idle() -> None:
    """As long as a pause without time to fall asleep: power and time of both add up."""
    found = duty(WINDOW, HIGH, PLAIN, 1.0, module=ModulePowers(can_sleep=False))
    assert found.asleep_s == 0.0
    idle_s = 1.0 - WINDOW.cycles / HIGH.clock_hz
    idle_mw = energy_page.power_mw(Activity(1e6), HIGH, PLAIN)
    expected_mw = 1e3 * energy(WINDOW, HIGH, PLAIN).joules + idle_mw * idle_s
    assert found.average_mw[0] == pytest.approx(expected_mw)


@pytest.mark.parametrize("waiting", [None, PLAIN])
@pytest.mark.parametrize("stated_mw", [0.05, 10.0])
def test_a_stated_power_of_waiting_is_value_and_both_ends(
    stated_mw: float, waiting: Coefficients | None
) -> None:
    """In place of the modelled one, or of a measured one, whether lower or higher."""
    module = ModulePowers(sleep_mw=stated_mw, can_sleep=False)
    found = duty(WINDOW, HIGH, replace(PLAIN, waiting=waiting), 1.0, module=module)
    awake, pause_s = energy(WINDOW, HIGH, PLAIN), 1.0 - WINDOW.cycles / HIGH.clock_hz
    ends_j = (awake.joules, awake.low_j, awake.high_j)
    assert found.average_mw == pytest.approx([1e3 * x + stated_mw * pause_s for x in ends_j])
    assert found.states_mw["cluster_off"] == pytest.approx(stated_mw)


@pytest.mark.parametrize("sleep_mw", [0.0, 0.05, 10.0, 1e3])
@pytest.mark.parametrize("period_s", [0.0105, 0.1])
def test_an_interval_contains_its_value(sleep_mw: float, period_s: float) -> None:
    """Also in a pause that is too short to sleep in."""
    found = duty(WINDOW, LOW, PLAIN, period_s, module=ModulePowers(sleep_mw=sleep_mw))
    value, low, high = found.average_mw
    assert low <= value <= high


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("joules", "text"),
    [(0.0205, "20.5 mJ"), (1.3e-4, "130 µJ"), (1e-6, "1 µJ"), (2.0, "2 J"), (5e-10, "0.5 nJ")],
)
def test_amounts(joules: float, text: str) -> None:
    assert amount(joules) == text


def test_an_interval_has_one_unit() -> None:
    assert interval(1.2e-3, 0.9e-3, 1.5e-3) == "1.2 mJ (0.9 to 1.5)"
