# SPDX-License-Identifier: Apache-2.0
"""Settings that a playback names as savings: built and played, they save what is said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import myoedge
from myoedge.backends.build import load_build
from myoedge.extensions.sensor.playback import Played, program_of
from myoedge.extensions.sensor.savings import LEAST_GAIN, largest_share
from myoedge.power.states import StatePower
from myoedge.reports.budget import budget_lines
from myoedge.reports.duty_lines import battery_hours, on_average
from myoedge.reports.wording import three_digits, told_apart
from tests.conftest import myoedge as command
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
    ("windows", None, "0.65 ms", []),
    ("chip", "high", "1 ms", ["point"]),
    ("windows", None, "0.4 ms", ["latency"]),
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


def test_a_limit_of_energy_that_raises_the_clock_is_named(tmp_path: Path) -> None:
    """An inference takes less at a higher clock, and the waiting chip more: build, report and
    playback name the clock and the power without the limit."""
    plain, limited = (tmp_path / name for name in ("plain", "limited"))
    played(plain, "windows", {})
    energy_uj = load_build(plain / "out").report["energy_uj"]
    name, limit = energy_uj["points"][0]["name"], f"{0.5 * energy_uj['value']:.3g} uJ"
    limited.mkdir()
    kind, samples, tables = MADE["windows"]
    build = applications.built(limited, kind, samples, **tables, budget={"energy": limit})
    target, duty = build.report["target"], build.report["duty"]
    without, without_mw = target["without_limits"]["energy"], duty["without_mw"]["energy"]
    assert target["clock_hz"] > without["clock_hz"]
    assert without["name"] == name
    assert without_mw < duty["planned_mw"] == duty["average_mw"][0]
    texts = told_apart(three_digits, duty["planned_mw"], without_mw)
    told = "sets the clock: {} mW; without it about {} mW at {}".format(*texts, name)
    assert told in on_average(build.report)
    ran = command("energy", build.folder, cwd=tmp_path)
    assert told in " ".join(ran.out.split())
    found = myoedge.play(build, applications.MYO, seconds=SECONDS)
    power_mw = 1e3 * found.power.power_w[0]
    texts = told_apart(three_digits, power_mw, power_mw + without_mw - duty["planned_mw"])
    told = "sets the clock: {} mW; without it about {} mW at {}".format(*texts, name)
    assert told in on_average(load_build(build.folder).report)
    settings = [saving.setting for saving in found.savings]
    gains = without_mw < 0.98 * duty["average_mw"][0]  # not if it waits at a clock of its own
    assert (f'no [budget] energy, --operating-point "{name}"' in settings) == gains
    assert "without_limits" not in load_build(plain / "out").report["target"]


def test_the_least_latency_with_the_least_power_is_named(tmp_path: Path) -> None:
    """Built with the latency that the build names, it takes the power that it names; with less
    time, clearly more."""

    def latency_line(name: str, latency: str) -> tuple[str, float]:
        folder = tmp_path / name
        folder.mkdir()
        kind, samples, tables = MADE["windows"]
        build = applications.built(folder, kind, samples, **tables, budget={"latency": latency})
        return budget_lines(build.report)[0], build.report["duty"]["planned_mw"]

    line, planned_mw = latency_line("tight", "0.3 ms")
    named = re.search(r"MHz: (\S+) mW; with (\S+) ms (\S+) mW at 240/1\S+ MHz", line)
    assert named, line
    mw, longer_ms, least_mw = map(float, named.groups())
    assert mw == pytest.approx(planned_mw, rel=0.005)
    assert least_mw < 0.7 * mw
    at_it, at_it_mw = latency_line("longer", f"{longer_ms} ms")
    assert at_it_mw == pytest.approx(least_mw, rel=0.01)
    assert at_it.endswith("; a longer limit saves hardly any")
    _, below_mw = latency_line("below", f"{0.85 * longer_ms} ms")
    assert below_mw > 1.02 * least_mw


@pytest.mark.parametrize(
    ("hours", "told"),
    [
        ((268.0, 84.0, 363.0), "268 h (84 to 363)"),
        ((149.0, 72.5, 353_000.0), "149 h, at least 72.5 h; the most is not known"),
    ],
)
def test_hours_on_a_battery(hours: tuple[float, ...], told: str) -> None:
    assert battery_hours(hours, None) == told


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
