# SPDX-License-Identifier: Apache-2.0
"""Rates at which no sample is lost at the clock of the plan, and planned latencies of decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import myoedge
from myoedge.targets.sensor import FRONT_ENDS
from tests.extensions.sensor import applications

# All rates of all front ends, at their fastest SPI; a chain; and devices of one byte a channel.
FAST_LINE = {"baud_rate": 3_000_000}
RATES: dict[str, dict[str, Any]] = {
    **{
        f"{name} {hz}": {
            **applications.ADS1298,
            **FAST_LINE,
            "front_end": name,
            "rate": hz,
            "spi_clock": f"{kind.most_spi_hz} Hz",
        }
        for name, kind in FRONT_ENDS.items()
        for hz in sorted(kind.rates)
    },
    **{f"ads1298 {hz}, slow": {**applications.ADS1298, "rate": hz} for hz in (1000, 2000, 4000)},
    **{f"spi {hz}": {**applications.ARMBAND, "rate": hz} for hz in (2000, 20_000, 32_000)},
    **{
        f"chain {hz}": {**applications.ADS1298, **applications.EIGHT_CHIPS, "rate": hz}
        for hz in (2000, 4000)
    },
}
HOPS = (40, 8)


@pytest.mark.parametrize("hop", HOPS)
@pytest.mark.parametrize("name", RATES)
def test_no_sample_is_lost_at_the_clock_of_the_plan(name: str, hop: int, tmp_path: Path) -> None:
    sensor = {**RATES[name], "hop": hop}
    if hop < sensor["rate"] // 2000:  # packets on the line, and passes, need more time
        hop = sensor["hop"] = sensor["rate"] // 100
    build = applications.built(tmp_path, applications.Windows, 40, "auto", sensor=sensor)
    planned_s = build.report["decision_s"]
    emg = np.tile(applications.emg()[:1200], (1, sensor["channels"] // 8))
    np.savez(tmp_path / "r.npz", emg=emg, fs=np.float64(sensor["rate"]))
    found = myoedge.play(build, tmp_path / "r.npz")
    assert (found.exact, found.samples_lost) == (True, 0)
    assert found.latency is not None
    assert found.latency.max_s <= planned_s
