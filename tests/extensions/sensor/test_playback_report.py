"""Latency, power and text of a playback, against figures by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myoedge.backends.measurement import Activity
from myoedge.backends.simulator import activity_of
from myoedge.extensions.sensor.report import (
    latency_of,
    latency_parts_s,
    latency_s,
    over_latency,
    playback_facts,
    playback_json,
    playback_lines,
    state_rows,
)
from myoedge.power.model import PUBLISHED, Battery, Coefficients, ModulePowers, energy
from myoedge.power.states import STATES, state_power
from myoedge.reports.duty_lines import STATE_NAMES, range_by_waiting
from myoedge.reports.energy import PART_NAMES
from myoedge.simulator import CoreCounts, Simulation
from myoedge.targets import find_chip
from tests.support.schemas import check

HIGH, LOW = find_chip("gap9").points
NONE = ((0.0,) * 6,) * 6
PLAIN = Coefficients((4.0, 30.0, 2.0, 500.0, 130.0, 20.0), NONE, 0.1, 0.0, "made up")
TOTAL = Activity(0, 4e7, 1e6, 1e7, 4e6)  # passes, and the controller's work
SECOND = {"run": 7_400_000, "control": 3_700_000, "idle": 37_000_000, "cluster_off": 74_000_000}
CYCLES = {**SECOND, "retention": 370_000_000 - sum(SECOND.values())}


# ---- latency


def test_latencies_by_hand() -> None:
    found = latency_s(np.array([0, 1000, 5000]), np.array([370, 1740, 5370]), 370e6)
    assert found.tolist() == pytest.approx([1e-6, 2e-6, 1e-6])


def test_parts_of_a_latency() -> None:
    """The third decision's packet waits for the line while the next pass runs."""
    passes = np.array([[100, 300], [1100, 1300], [2100, 2250]])
    ready, ended = np.array([0, 1000, 2050]), np.array([350, 1340, 2900])
    found = latency_parts_s(ready, ended, passes, 100.0)
    assert {name: [*x] for name, x in found.items()} == {
        "wait": [1.0, 1.0, 0.5],
        "network": [2.0, 2.0, 1.5],
        "packet": [0.5, 0.4, 6.5],
    }
    np.testing.assert_allclose(sum(found.values()), latency_s(ready, ended, 100.0))
    latency = latency_of(latency_s(ready, ended, 100.0), found)
    assert latency is not None
    assert latency.parts_s["network"] == (2.0, 2.0)
    assert latency_parts_s(ready, ended, np.zeros((0, 2)), 100.0) == {}


@given(st.lists(st.floats(1e-6, 2.0), min_size=1, max_size=300))
def test_a_distribution_holds_every_latency(latencies: list[float]) -> None:
    found = latency_of(np.array(latencies))
    assert found is not None
    ordered = sorted(latencies)
    assert found.max_s == ordered[-1]
    assert found.p99_s == ordered[-(-99 * len(ordered) // 100) - 1]
    middle = (ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2])
    assert found.median_s == pytest.approx(sum(middle) / 2)
    assert sum(found.counts) == len(latencies)
    assert len(found.edges_s) == len(found.counts) + 1 <= 21
    slack = 1e-9
    assert found.edges_s[0] - slack <= ordered[0] <= ordered[-1] <= found.edges_s[-1] + slack
    for start, end, count in zip(found.edges_s, found.edges_s[1:], found.counts, strict=False):
        at_least = sum(start + slack < x < end - slack for x in latencies)
        assert at_least <= count <= sum(start - slack <= x <= end + slack for x in latencies)


def test_the_histogram_has_round_steps() -> None:
    found = latency_of(np.array([0.00101, 0.00102, 0.0013, 0.0019]))
    assert found is not None
    steps = np.diff(found.edges_s)
    assert steps == pytest.approx([5e-5] * len(steps))
    assert found.edges_s[0] == pytest.approx(1e-3)
    assert found.counts[0] == 2
    same = latency_of(np.array([0.001] * 7))
    assert same is not None
    assert same.counts == (7,)
    assert latency_of(np.array([])) is None


def test_a_budget_is_for_the_latest_decision() -> None:
    latency = latency_of(np.array([1e-3] * 999 + [2.5e-3]))
    sooner = ["fewer [stream] frames"]
    assert over_latency(latency, 2.5e-3, sooner.copy) is None
    assert over_latency(latency, None, sooner.copy) is None
    assert over_latency(None, 1e-3, sooner.copy) is None
    notice = over_latency(latency, 2e-3, sooner.copy)
    assert notice is not None
    assert notice.tries[0] == sooner[0]
    assert (notice.code, notice.exit_code) == ("E302", 3)
    assert dict(notice.facts)["build"].startswith("2.5 ms at most")


# ---- power


def test_states_by_hand() -> None:
    found = state_power(TOTAL, CYCLES, HIGH, PLAIN)
    leakage_w, clock_j = 4e-3, 30e-12
    assert found.seconds == pytest.approx(1.0)
    work_j = 2e-12 * (4.98 * 4e7 + 2.124 * 1e7 + 2.124 / 4 * 4e6)
    wanted = {
        "run": leakage_w * 0.02 + clock_j * 7_400_000 + work_j,
        "control": leakage_w * 0.01 + clock_j * 3_700_000 + 2e-12 * 4.98 * 1e6,
        "idle": leakage_w * 0.1 + clock_j * 37_000_000,
        "cluster_off": leakage_w * 0.2 + clock_j * 74_000_000,
        "retention": 1.7e-6 * 0.67,
    }
    assert found.states_j == pytest.approx(wanted)
    assert found.chip_j[0] == pytest.approx(sum(wanted.values()))
    assert found.power_w[0] == pytest.approx(found.chip_j[0])


def test_bounds_are_those_of_the_states() -> None:
    """Waiting costs at least what sleep does, and at most what it costs with all clocks; sleep at
    most all leakage."""
    alone = {
        state: state_power(Activity(0), {state: 370_000_000}, HIGH, PLAIN).power_w
        for state in STATES
    }
    awake = energy(Activity(370e6), HIGH, PLAIN)
    for state in ("run", "control"):
        assert alone[state] == pytest.approx((awake.joules, awake.low_j, awake.high_j))
    for state in ("idle", "cluster_off"):
        assert alone[state] == pytest.approx((awake.joules, 1.7e-6, awake.high_j))
    assert alone["retention"] == pytest.approx((1.7e-6, 1.7e-6, 4e-3))


@given(
    st.tuples(*[st.integers(0, 10**9)] * 5).filter(any),
    st.sampled_from([HIGH, LOW]),
    st.booleans(),
)
def test_intervals_enclose_their_value(
    cycles: tuple[int, ...], point: object, has_l3: bool
) -> None:
    activity = replace(TOTAL, l3_bytes=1e5 * has_l3)
    counted = dict(zip(STATES, cycles, strict=True))
    found = state_power(activity, counted, point, PUBLISHED)  # type: ignore[arg-type]
    for value, low, high in (found.chip_j, found.power_w):
        assert 0 <= low <= value <= high
    assert sum(found.states_j.values()) == pytest.approx(found.chip_j[0])


def test_bins_of_a_histogram_have_names_of_their_own() -> None:
    """Bins of 5 us from 1.86 ms on, each with one latency."""
    latency = latency_of(1.8625e-3 + 5e-6 * np.arange(12))
    power = state_power(TOTAL, CYCLES, HIGH, PLAIN)
    lines = playback_lines(playback_json(latency, power, frames=12, samples_lost=0, decisions=12))
    rows = [line for line in lines if line.endswith("#")]
    names = [row.split("ms")[0].strip() for row in rows]
    assert names[:3] == ["1.86", "1.865", "1.87"]
    assert len({*names}) == len(rows) == 12


@pytest.mark.parametrize(
    ("busy_s", "low", "told"),
    [
        (0.1, 0.04, "wide because the chip's power while it waits"),
        (0.1, 15.0, ""),
        (9.0, 0.04, ""),
    ],
)
def test_a_wide_range_of_a_chip_that_waits_is_explained(
    busy_s: float, low: float, told: str
) -> None:
    states = {"run": busy_s, "cluster_off": 1.0}
    found = range_by_waiting((17.0, low, 23.5), states, None)
    assert found.startswith(told)
    assert bool(found) == bool(told)


@pytest.mark.parametrize(
    ("busy_s", "low", "volts", "told"),
    [
        (0.1, 15.0, (0.65, 0.65), "from the {}, at 0.65 V (two rows)"),
        (0.1, 15.0, (), "from the {} (two rows)"),
        (0.1, 2.0, (0.65, 0.8), "wide, from the {}, at 0.65 to 0.80 V (two rows)"),
        (0.1, 2.0, (0.8, 0.8), "wide, from the {}, at 0.80 V, not at 0.65 V (two rows)"),
        (9.0, 2.0, (0.8, 0.8), ""),
    ],
)
def test_the_range_of_a_measured_chip_that_waits_names_the_measurement(
    busy_s: float, low: float, volts: tuple[float, ...], told: str
) -> None:
    measured = {"source": "two rows", "volts": volts, "at_volts": 0.65}
    found = range_by_waiting((17.0, low, 23.5), {"run": busy_s, "cluster_off": 1.0}, measured)
    assert found == told.format("measurement of the chip's power while it waits")


def test_a_measured_sleep_power_and_others_leave_no_doubt_of_their_own() -> None:
    module = ModulePowers(others_mw=8.0, sleep_mw=0.05)
    asleep = {"retention": 370_000_000}
    found = state_power(Activity(0), asleep, HIGH, PLAIN, Battery(100.0, 3.7), module)
    assert found.power_w == pytest.approx((8.05e-3,) * 3)
    assert found.hours == pytest.approx((0.37 / 8.05e-3,) * 3)
    unknown = state_power(Activity(0), asleep, HIGH, PLAIN, Battery(100.0, 3.7))
    assert unknown.hours is not None
    value, low, high = unknown.hours
    assert low < value == high


def test_counters_of_a_complete_run() -> None:
    core = CoreCounts(instructions=10, loads=5, stores=4, outside_loads=3, outside_stores=1)
    devices = {"dma_in_bytes": 8, "dma_out_bytes": 4, "l3_read_bytes": 2, "l3_written_bytes": 1}
    devices |= {"ne16_busy_cycles": 7, "mram_read_bytes": 16}
    run = Simulation(0, 99, "", (core,) * 10, devices, 0, 0)
    assert activity_of(run) == Activity(99, 90, 10, 45, 12, 3, 7, 16)


# ---- results


def test_json_meets_the_contract_and_its_schema() -> None:
    power = state_power(TOTAL, CYCLES, HIGH, PLAIN, Battery(150.0))
    power = replace(power, network_j=(1e-4, 0.9e-4, 1.1e-4))
    parts = {"wait": np.array([1e-4]), "packet": np.array([2e-4])}
    latency = latency_of(np.array([1e-3] * 99 + [2e-3]), parts)
    figures = {"frames": 1000, "samples_lost": 0, "decisions": 100}
    document = playback_json(latency, power, **figures)  # type: ignore[arg-type]
    assert check({"schema": "myoedge.playback/1", **document})
    assert {"max", "p99", "median"} <= document["latency_s"].keys()
    assert (document["latency_s"]["p99"], document["latency_s"]["max"]) == (1e-3, 2e-3)
    assert document["power_w"].keys() == {"value", "low", "high"}
    assert document["states"]["run"] == pytest.approx(0.02)
    assert document["network_w"]["value"] < document["power_w"]["value"]
    text = "\n".join(playback_lines(document))
    for part in (
        "100, equal to the reference",
        "none lost",
        "2 ms max",
        "deep sleep",
        "battery",
        "wait 100 µs",
    ):
        assert part in text
    facts = dict(playback_facts({**document, "savings": []}))
    names = ["decisions", "samples", "latency", "power", "energy", "battery", "largest", "saving"]
    assert [*facts] == names
    assert facts["latency"].endswith("; of it wait 100 µs, packet 200 µs (medians)")
    assert not any("  " in fact or "#" in fact for fact in facts.values())
    states = [row["state"] for row in state_rows(document)]
    assert states == [STATE_NAMES[state] for state in STATES]
    assert state_rows(document)[0]["time"] == "20 ms"
    for row, state in zip(state_rows(document), STATES, strict=True):
        parts_j = document["parts_j"][state]
        assert sum(parts_j.values()) == pytest.approx(document["states_j"][state])
        largest = max(parts_j, key=lambda part: parts_j[part])
        assert row["parts"].startswith(PART_NAMES[largest])
    bare = playback_json(None, power, **{**figures, "decisions": 0, "missing": 100})  # type: ignore[arg-type]
    assert check({"schema": "myoedge.playback/1", **bare})
    assert bare["exact"] is False
    assert playback_lines(bare)[0].endswith("0, equal to the reference; 100 missing, 0 flagged")
    wrong = playback_json(latency, power, **{**figures, "wrong": 3})  # type: ignore[arg-type]
    assert wrong["exact"] is False
    assert playback_lines(wrong)[0].endswith("100, 3 NOT equal to the reference; 0 flagged")
