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
