# SPDX-License-Identifier: Apache-2.0
"""Settings that a playback names as savings: built and played, they save what is said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import myoedge
from myoedge.extensions.sensor.playback import Played, program_of
from myoedge.extensions.sensor.savings import LEAST_GAIN, largest_share
from myoedge.power.states import StatePower
from tests.conftest import thinned
from tests.extensions.sensor import applications
from tests.extensions.sensor.applications import ARMBAND, MADE, Wide

SECONDS = 2.0
EVERY_SAMPLE: tuple[Any, ...] = (Wide, 40, {"sensor": {**ARMBAND, "hop": 1}})
# Application, operating point, [budget] latency, and what is named in this order.
CASES = [
    ("windows", "low", None, ["point"]),
    ("chain", "80MHz", None, ["point"]),
    ("wide", None, None, ["hop"]),
    ("windows", None, "0.65 ms", ["latency"]),
    ("chip", "high", "1 ms", ["latency", "point"]),
    ("stream", "160 MHz", None, ["point"]),
    ("windows", None, None, []),
    ("wide", "low", None, ["point"]),
]
SETTING = re.compile(
    r'(?:\[budget\] latency = "(?P<latency>[^"]+)", )?'
    r'(?:--operating-point "(?P<point>[^"]+)"|\[sensor\] hop = (?P<hop>\d+))'
)


def played(folder: Path, name: str, given: dict[str, Any]) -> Played:
    """The armband's recording, as if it had the application's channels and rate.

    given   point, latency, hop
    """
    kind, samples, tables = MADE.get(name, EVERY_SAMPLE)
    sensor = {**tables["sensor"], **({"hop": int(given["hop"])} if given.get("hop") else {})}
    budget = {"budget": {"latency": given["latency"]}} if given.get("latency") else {}
    tables = {**tables, **budget, "sensor": sensor}
    folder.mkdir()
    build = applications.built(folder, kind, samples, given.get("point"), **tables)
    signal, program = applications.emg(), program_of(build)
    signal = np.tile(signal, (1, program.sensor.channels // signal.shape[1]))
    np.savez(folder / "r.npz", emg=signal, fs=np.float64(program.sensor.rate_hz))
    return myoedge.play(build, folder / "r.npz", seconds=SECONDS)


@pytest.mark.parametrize(("name", "point", "latency", "named"), thinned(CASES))
def test_a_setting_saves_what_is_said(
    name: str, point: str | None, latency: str | None, named: list[str], tmp_path: Path
) -> None:
    given = {"point": point, "latency": latency}
    before = played(tmp_path / "before", name, given)
    found = []
    for number, saving in enumerate(before.savings):
        match = SETTING.fullmatch(saving.setting)
        assert match, saving
        changed = {key: text for key, text in match.groupdict().items() if text}
        found.append(next(iter(changed)) if len(changed) == 1 else "latency")
        after = played(tmp_path / str(number), name, {**given, **changed})
        assert (after.exact, after.samples_lost, after.over) == (True, 0, None)
        power_w = after.power.power_w[0]
        assert power_w == pytest.approx(saving.power_w, rel=0.02)
        assert power_w < (1 - LEAST_GAIN / 2) * before.power.power_w[0]
        assert f"{saving.setting}: about" in "\n".join(before.lines())
    assert found == named


def power_of(parts: dict[str, dict[str, float]], others_w: float | None) -> StatePower:
    once = (1.0, 1.0, 1.0)
    return StatePower({"run": 2.0}, parts, once, once, None, others_w)


@pytest.mark.parametrize(
    ("parts", "others_w", "largest"),
    [
        ({"run": {"cores": 1.0, "l1": 2.0, "leakage": 2.5}}, None, ("run", "work", 3 / 5.5)),
        ({"run": {"cores": 2.0, "leakage": 1.5, "clocks": 1.0}}, 0.0, ("run", "static", 2.5 / 4.5)),
        ({"run": {"cores": 1.0}, "idle": {"clocks": 3.0}}, 1.0, ("idle", "static", 3 / 6)),
        ({"run": {"cores": 1.0}, "idle": {"clocks": 3.0}}, 2.0, ("others", "static", 4 / 8)),
    ],
)
def test_the_largest_share_by_hand(
    parts: dict[str, dict[str, float]], others_w: float | None, largest: tuple[str, str, float]
) -> None:
    found = largest_share(power_of(parts, others_w))
    assert (found.state, found.kind, found.share) == pytest.approx(largest)
