# SPDX-License-Identifier: Apache-2.0
"""Settings that would lower an application's average power, and the largest part of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from myoedge.building.operating_points import (
    application_points,
    cheapest,
    soonest,
    without_limit,
)
from myoedge.extensions.sensor.program import SensorProgram
from myoedge.power.model import Coefficients
from myoedge.power.states import StatePower
from myoedge.reports.budget import longer_latency
from myoedge.reports.energy import as_point, average_mw
from myoedge.targets import find_chip

OTHERS = "others"  # parts beside the chip, in place of a power state
STATIC, WORK = "static", "work"  # kinds of energy
STATIC_PARTS = ("leakage", "clocks")  # flow whatever the chip does
LEAST_GAIN = 0.02  # fraction of the average power


@dataclass(frozen=True, slots=True)
class Share:
    """The largest part of an application's energy.

    state   power state, or OTHERS
    kind    STATIC: leakage and clock trees; WORK: instructions and data
    share   fraction of all energy
    """

    state: str
    kind: str
    share: float


@dataclass(frozen=True, slots=True)
class Saving:
    """A setting that would lower an application's average power.

    setting   option of `build`, or lines of myoedge.toml
    power_w   average power with it: the played one, changed as planned powers change
    """

    setting: str
    power_w: float


def largest_share(power: StatePower) -> Share:
    """Return the largest part of an application's energy, of a power state or other parts."""
    joules = {(OTHERS, STATIC): (power.others_w or 0.0) * power.seconds}
    for state, parts in power.parts_j.items():
        joules[state, STATIC] = sum(parts.get(name, 0.0) for name in STATIC_PARTS)
        joules[state, WORK] = _work_j(parts)
    state, kind = max(joules, key=lambda key: joules[key])
    return Share(state, kind, joules[state, kind] / sum(joules.values()))


def _work_j(parts: Mapping[str, float]) -> float:
    return sum(joules for name, joules in parts.items() if name not in STATIC_PARTS)


def savings(
    report: Mapping[str, Any],
    program: SensorProgram,
    power: StatePower,
    by: Coefficients,
    wake: Mapping[str, Any] | None = None,
) -> tuple[Saving, ...]:
    """Return the settings that would lower the average power by at least LEAST_GAIN, the best
    first.

    report   report of the application's build
    power    power of a playback of it
    wake     how its gate worked, with entries of `gate_power`; None without a gate
    """
    ungated = [] if wake is None else [Saving("no [wake]", wake["without_w"])]
    # a given power of waiting is that of the clocks at which it was measured
    clocks = () if power.waiting_w is not None else _of_clocks(report, power, by)
    rules = (*ungated, *clocks, *_of_longer_hop(program, power))
    worth = [x for x in rules if x.power_w <= (1 - LEAST_GAIN) * power.power_w[0]]
    return tuple(sorted(worth, key=lambda saving: saving.power_w))


def _of_clocks(report: Mapping[str, Any], power: StatePower, by: Coefficients) -> Iterator[Saving]:
    """Yield the clock of least power within [budget], and the clocks of least power without the
    limit of energy or with another limit of latency."""
    target, budget = report["target"], report.get("budget") or {}
    here = next(
        row for row in target["operating_points"] if row["name"] == target["operating_point"]
    )
    more_w = power.power_w[0] - 1e-3 * average_mw(report, as_point(here), by)
    frees = {"": dict(report)}
    if budget.get("energy_j"):
        frees["no [budget] energy, "] = without_limit(dict(report), "energy_j")
    for before, free in frees.items():
        for setting, mw in _cheapest_points(free, by):
            yield Saving(f"{before}{setting}", more_w + 1e-3 * mw)


def _cheapest_points(report: dict[str, Any], by: Coefficients) -> Iterator[tuple[str, float]]:
    """Yield (setting, planned average power in mW) of the clock of least power within [budget]
    latency, and of the fastest one that takes hardly more than the least power, with the latency
    that it needs if this is longer."""
    limit_s = (report.get("budget") or {}).get("latency_s")
    points = application_points(report, find_chip(report["target"]["chip"]), by)
    costs = {name: (latency_s, mw) for name, latency_s, mw in points}
    within = cheapest(points, limit_s)
    yield f'--operating-point "{within}"', costs[within][1]
    free = soonest(points)
    if limit_s and costs[free][0] > limit_s:
        limit = f'[budget] latency = "{longer_latency(costs[free][0])}"'
        yield f'{limit}, --operating-point "{free}"', costs[free][1]


def _of_longer_hop(program: SensorProgram, power: StatePower) -> Iterator[Saving]:
    """Yield twice the hop of windows that overlap, with half the network's work."""
    if not program.is_stream and 2 * program.hop <= program.layout.samples:
        saved_w = _work_j(power.parts_j["run"]) / 2 / power.seconds
        yield Saving(f"[sensor] hop = {2 * program.hop}", power.power_w[0] - saved_w)
