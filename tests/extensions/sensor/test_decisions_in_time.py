# SPDX-License-Identifier: Apache-2.0
"""Limits of latency that decisions of sensor applications meet, planned and played."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import myoedge
from myoedge.errors import MyoedgeError
from tests.extensions.sensor import applications

HOP = {**applications.ARMBAND, "hop": 8}
FRAMES = {"axis": 2, "frames": 2, "rate": 200}
LINE_S = 22 * 10 / 1e6  # bits of a decision's packet, by the rate of the line


def test_no_point_meets_a_limit_below_the_time_of_the_packet_on_the_line(tmp_path: Path) -> None:
    """The network alone takes 14 µs at the highest clock, far less than the limit; the remedy of
    the error meets its own limit."""
    (tmp_path / "low").mkdir()
    (tmp_path / "new").mkdir()
    build = applications.built(tmp_path / "low", applications.Windows, 40, "10MHz", sensor=HOP)
    with pytest.raises(MyoedgeError, match="E302") as caught:
        myoedge.energy(build, latency="100us")
    (remedy,) = caught.value.notice.tries
    found = re.fullmatch(r".*--operating-point '(.+)', for --latency (.+)ms", remedy)
    assert found
    point, limit_ms = found[1], float(found[2])
    assert 1e-3 * limit_ms > LINE_S
    again = applications.built(tmp_path / "new", applications.Windows, 40, point, sensor=HOP)
    report = myoedge.energy(again, latency=f"{limit_ms}ms")
    assert report["target"]["operating_point"] == point
    played = myoedge.play(again, applications.MYO, seconds=1)
    assert played.latency is not None
    assert LINE_S < played.latency.max_s <= 1e-3 * limit_ms


@pytest.mark.parametrize("point", ["240/10 MHz", "10 MHz", "high"])
def test_the_plan_of_a_streams_decision_is_not_below_the_played_one(
    tmp_path: Path, point: str
) -> None:
    build = applications.built(
        tmp_path, applications.Causal, 64, point, sensor=applications.ARMBAND, stream=FRAMES
    )
    planned_s = myoedge.simulate(build).report["decision_s"]
    played = myoedge.play(build, applications.MYO, seconds=2)
    assert played.latency is not None
    assert planned_s * 0.95 < played.latency.max_s <= planned_s
