# SPDX-License-Identifier: Apache-2.0
"""Clocks that a build takes for a limit of latency, against all pairs that the chip makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from myoedge.errors import MyoedgeError
from myoedge.power.model import PUBLISHED
from myoedge.reports.energy import average_mw
from myoedge.targets import DEFAULT_CLOCKS, OperatingPoint, find_chip
from tests.conftest import thinned
from tests.extensions.sensor import applications

ALL_MHZ = {  # voltage -> clocks of the network that are considered
    0.65: (10, 15, 20, 30, 40, 60, 80, 120, 160, 240),
    0.70: (280,),
    0.75: (325,),
    0.80: (370,),
}


def every_pair() -> Iterator[OperatingPoint]:
    """One clock, or one that a whole number divides down to 10 MHz or more, as the generator makes
    it: 240/120.2 MHz, as its 240 MHz are 240.4."""
    for volts, clocks in ALL_MHZ.items():
        for mhz in clocks:
            for divider in range(1, mhz // 10 + 1):
                asked_hz = int(mhz * 1e4 / divider) * 100
                slow_hz = DEFAULT_CLOCKS.settings(mhz * 1_000_000, asked_hz).waiting_hz
                rounded = f"{slow_hz // 1000 / 1000:g}"  # a clock above it is another pair
                name = f"{mhz}/{rounded} MHz" if divider > 1 else f"{mhz} MHz"
                yield OperatingPoint(name, volts, mhz * 1_000_000, slow_hz * (divider > 1))


def latency_s(report: dict[str, Any], point: OperatingPoint) -> float:
    """The last sample comes at the clock of waiting, all that follows at the network's."""
    period, slow_hz = report["period"], point.waiting_hz or point.clock_hz
    last = period["last_sample_cycles"]
    fast = report["cycles"]["total"] + period["decision_cycles"] - last
    on_line_s: float = period["decision_s"] + 1e-6 * (point.waiting_hz > 0)  # and one switch
    return fast / point.clock_hz + last / slow_hz + on_line_s


def built(folder: Path, name: str, point: str, latency_ms: float) -> dict[str, Any]:
    kind, samples, tables = applications.MADE[name]
    limit, folder = {"latency": f"{latency_ms} ms"}, folder / point.replace("/", " to ")
    folder.mkdir()
    report: dict[str, Any] = applications.built(
        folder, kind, samples, point, **tables, budget=limit
    ).report
    return report


LIMITS = [("windows", 0.35), ("chip", 0.7), ("windows", 0.3), ("stream", 15.5), ("windows", 0.4)]


@pytest.mark.parametrize(("name", "limit_ms"), thinned(LIMITS))
def test_no_pair_of_clocks_takes_less_power(name: str, limit_ms: float, tmp_path: Path) -> None:
    """Those with less by the same model come too late, or do not keep up."""
    report = built(tmp_path, name, "auto", limit_ms)
    taken_mw = report["duty"]["planned_mw"]
    assert report["decision_s"] <= 1e-3 * limit_ms
    powers = {point: average_mw(report, point, PUBLISHED) for point in every_pair()}
    less = [point for point, mw in powers.items() if mw < (1 - 1e-4) * taken_mw]
    assert less  # the limit excludes some
    for point in less:
        if latency_s(report, point) <= 1e-3 * limit_ms:
            with pytest.raises(MyoedgeError, match="does not keep up"):
                built(tmp_path, name, point.name, limit_ms)


def test_a_pair_in_between_is_taken(tmp_path: Path) -> None:
    """Neither one clock nor the slowest of waiting: 160 MHz alone take two thirds more."""
    report = built(tmp_path, "windows", "auto", 0.35)
    (point,) = (p for p in report["target"]["operating_points"][:1])
    assert point["clock_hz"] > point["waiting_hz"] > 10_000_000
    alone = find_chip("gap9").at("160 MHz").point
    assert average_mw(report, alone, PUBLISHED) > 1.6 * report["duty"]["planned_mw"]
