# SPDX-License-Identifier: Apache-2.0
"""What a gate saves and what it takes itself, in playbacks and on the page."""

from __future__ import annotations

import html
from dataclasses import replace

import pytest

import myoedge
from myoedge.backends.build import Build
from myoedge.extensions.sensor.playback import Played
from myoedge.reports.gate_lines import gate_texts
from tests.extensions.sensor import applications
from tests.extensions.sensor.test_wake import armband


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return applications.made(tmp_path_factory.mktemp("gated"), "gated")


@pytest.fixture(scope="module")
def played(build: Build) -> Played:
    return myoedge.play(build, armband(0))


def test_a_gain_is_weighed_against_its_cost(build: Build, played: Played) -> None:
    """A pass has the instructions and accesses of the report, which a chip that waits has not."""
    wake, parts_uj = played.wake, build.report["energy_uj"]["parts"]
    assert wake is not None
    assert wake["resting"] > 0
    assert wake["gate_w"] > 0
    assert wake["without_w"] == pytest.approx(played.power.power_w[0] + wake["saved_w"])
    pass_j = 1e-6 * sum(uj for name, uj in parts_uj.items() if name not in ("leakage", "clocks"))
    of_passes_w = pass_j * wake["resting"] / played.power.seconds
    assert wake["saved_w"] + wake["gate_w"] == pytest.approx(of_passes_w, rel=1e-3)


def test_a_gate_that_costs_more_than_it_saves(played: Played) -> None:
    assert played.wake is not None
    costs = {**played.wake, "gate_w": 2e-3, "saved_w": -1.5e-3, "without_w": 4e-3}
    told = "costs 1.5 mW more than it saves: without the gate, which takes 2 mW itself, about 4 mW"
    assert gate_texts(costs)[-1] == told
    assert told in "\n".join(replace(played, wake=costs).lines())


def test_the_parts_of_the_latency_are_of_passes(played: Played) -> None:
    assert played.wake is not None
    told = f"of the {played.wake['passes']:,} with a pass: wait "
    assert told in "\n".join(played.lines())


def test_the_page_shows_how_the_gate_worked(build: Build, played: Played) -> None:
    page = html.unescape((build.folder / "report.html").read_text(encoding="utf-8"))
    texts = gate_texts(played.wake)
    assert any("onset" in text for text in texts)
    for text in texts:
        assert f"<li>{text}</li>" in page
