# SPDX-License-Identifier: Apache-2.0
"""Options of energy that a build's report keeps, and reports of other versions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import myoedge
from myoedge.backends.build import load_build
from myoedge.backends.report_folder import report_digest
from myoedge.building import build_files, energy
from myoedge.errors import MyoedgeError
from myoedge.power.model import PUBLISHED
from tests.conftest import myoedge as command
from tests.extensions.sensor import applications


@pytest.fixture
def folder(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    build = applications.shared(tmp_path_factory, "windows")
    return Path(shutil.copytree(build.folder, tmp_path / "out"))


@pytest.mark.parametrize(
    "run",
    [
        lambda folder: myoedge.energy(folder, sleep="0.05 mW"),
        lambda folder: myoedge.validate(folder, on="host"),
        lambda folder: myoedge.simulate(folder),
        lambda folder: myoedge.play(folder, applications.MYO, seconds=0.5),
    ],
    ids=["energy", "validate", "simulate", "play"],
)
def test_two_runs_at_once_keep_the_options_of_both(
    folder: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[[Path], object]
) -> None:
    """The other run begins after the first one has read the report and before it writes."""
    rendered, others = build_files.with_digest, list[Thread]()

    def between(*given: Any) -> Any:
        if not others:
            others.append(Thread(target=lambda: myoedge.energy(folder, others="4 mW")))
            others[0].start()
            others[0].join(timeout=1)
        return rendered(*given)

    myoedge.energy(folder, battery=150)
    monkeypatch.setattr(build_files, "with_digest", between)
    run(folder)
    others[0].join()
    every = load_build(folder).report["every"]
    assert (every["battery_mah"], every["others_mw"]) == (150.0, 4.0)


def test_a_report_without_keys_of_this_version_is_not_stale(folder: Path) -> None:
    myoedge.energy(folder, battery=150)
    path = folder / "report.json"
    report = json.loads(path.read_text())
    del report["duty"]["waiting"], report["duty"]["clocks_s"]
    report["energy_uj"]["points"][0].pop("waiting_hz")
    report["advice"] = {"suggestions": [], "tried": 0, "refused": [], "pointless": [], "left": 0}
    path.write_text(json.dumps({**report, "digest": report_digest(report)}))
    assert energy.is_of(load_build(folder).report, PUBLISHED)
    assert "before a calibration" not in command("report", "out", cwd=folder.parent).out
    assert myoedge.energy(folder)["advice"] == report["advice"]
    report["energy_uj"]["value"] *= 1.001
    assert not energy.is_of(report, PUBLISHED)


def test_a_voltage_that_nobody_gave_is_no_option(folder: Path) -> None:
    """A battery of 3.7 V is assumed, and shown as such."""
    report = myoedge.energy(folder, battery=150)
    joules = 0.150 * 3600 * 3.7
    assert report["duty"]["hours"][0] == pytest.approx(
        joules / 3.6 / report["duty"]["average_mw"][0]
    )
    shown = " ".join(command("energy", "out", cwd=folder.parent).out.split())
    assert "--battery 150mAh" in shown
    assert "--volts" not in shown
    assert "battery 150 mAh at 3.7 V: " in shown
    myoedge.energy(folder, volts=3)
    assert "--volts 3V" in command("energy", "out", cwd=folder.parent).out


def test_periods_that_differ_are_shown_differently(folder: Path) -> None:
    """Of 8 samples at 200 per second: 40 ms."""
    with pytest.raises(MyoedgeError, match="E232") as caught:
        myoedge.energy(folder, every="40.001 ms")
    assert "an inference every 40 ms" in caught.value.notice.title
    assert dict(caught.value.notice.facts)["asked"] == "40.001 ms"
