# SPDX-License-Identifier: Apache-2.0
"""Power over time of a playback: bins of the simulated chip, and the chart in report.html."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import myoedge
from myoedge.extensions.sensor.playback import Played
from myoedge.extensions.sensor.played_panel import power_chart, power_over_time
from myoedge.extensions.sensor.simulated_run import pass_cycles
from myoedge.reports.charts import LEFT, PLOT_WIDTH
from myoedge.simulator.result import POWER_BINS, POWER_STATES, timeline_of
from myoedge.system.notebook import card_html
from tests.extensions.sensor import applications


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return applications.made(tmp_path_factory.mktemp("timeline"), "windows").folder


@pytest.fixture(scope="module")
def played(folder: Path) -> Played:
    """Of a signal that is longer than its first hundred bins."""
    return myoedge.play(folder, applications.MYO, seconds=3, others="2 mW")


def test_a_card_has_a_table_of_states(played: Played) -> None:
    card = played._card()
    assert [row["state"] for row in card.rows][-1] == "cluster off"
    page = card_html(card)
    assert "<td" in page
    assert "<span>power</span>" in page
    assert "##" not in page
    assert not re.search(">[^<]*  ", page), "columns made of spaces"


def test_bins_hold_every_cycle_once(played: Played) -> None:
    run = played.run
    rows = np.array([*run.timeline.values()])
    assert POWER_BINS / 2 < rows.shape[1] <= POWER_BINS
    for state, cycles in run.timeline.items():
        assert sum(cycles) == run.state_cycles[state]
    whole, last = rows.sum(0)[:-1], rows.sum(0)[-1]
    assert set(whole) == {run.bin_cycles}
    assert last == sum(run.state_cycles.values()) % run.bin_cycles


def test_passes_are_in_the_bins_of_their_marks(played: Played) -> None:
    """Each pass computes between its marks, and the cluster is awake for little more."""
    run = played.run
    edges = run.bin_cycles * np.arange(len(run.timeline["run"]) + 1)
    wanted = np.zeros(len(edges) - 1)
    for start, end in pass_cycles(run):
        wanted += np.clip(np.minimum(edges[1:], end) - np.maximum(edges[:-1], start), 0, None)
    found = np.array(run.timeline["run"])
    assert (found >= wanted).all()
    assert (found[wanted == 0] < 0.02 * run.bin_cycles).mean() > 0.9
    assert wanted.sum() > 0.6 * found.sum()


def test_a_timeline_ends_with_the_run() -> None:
    count = len(POWER_STATES)
    cells = np.zeros((POWER_BINS, count), int)
    cells[0, 0], cells[2, 2] = 5, 7
    assert timeline_of(cells.ravel().tolist()) == {"run": [5, 0, 0], "idle": [0, 0, 7]}
    assert timeline_of([0] * count) == {}


def test_the_chart_averages_to_the_power_of_the_chip(folder: Path, played: Played) -> None:
    report = myoedge.load_build(folder).report
    duty = report["duty"]
    cycles = np.array([*report["played"]["timeline"].values()]).sum(0)
    powers_mw = power_over_time(report["played"], duty["states_mw"])
    average_mw = (powers_mw.sum(0) * cycles).sum() / cycles.sum()
    assert average_mw + 2.0 == pytest.approx(duty["average_mw"][0])
    assert average_mw == pytest.approx(1e3 * played.power.chip_j[0] / played.power.seconds)


def test_areas_are_stacked_over_the_whole_width(folder: Path, played: Played) -> None:
    report = myoedge.load_build(folder).report
    chart = power_chart(report)
    assert chart is not None
    page = (folder / "report.html").read_text(encoding="utf-8")
    below = [chart["frame"].y(0.0)] * chart["frame"].steps
    for area in chart["areas"]:
        assert f'class="state {area.state}" d="{area.path}"' in page
        start, steps = re.fullmatch(r"M62\.0 ([\d.]+)((?:V[\d.]+H[\d.]+)+)Z", area.path).groups()  # type: ignore[union-attr]
        ends = [float(x) for x in re.findall(r"H([\d.]+)", steps)]
        bins = len(ends) // 2
        assert ends[bins - 1] == max(ends) == LEFT + PLOT_WIDTH
        assert ends[-1] == LEFT
        heights = [float(y) for y in re.findall(r"V([\d.]+)", steps)]
        lower = heights[bins:][::-1]
        assert lower[0] == float(start)
        assert lower == below
        below = heights[:bins]
    planned = {key: value for key, value in report.items() if key != "played"}
    assert power_chart(planned) is None
