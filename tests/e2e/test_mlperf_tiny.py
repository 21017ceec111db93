# SPDX-License-Identifier: Apache-2.0
"""The networks of MLPerf Tiny take the cycles that are recorded, and their page says so."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.records.mlperf_tiny import MODELS, PAGE, RECORDED, TABLES, TASKS, measured, streamed
from tests.support.pages import head, markdown

NEAR = 0.01  # the instruction caches' state moves with the layout of the code
SIZES = ("macs", "parameters")


def test_the_page_has_what_is_recorded() -> None:
    recorded = json.loads(RECORDED.read_text())
    page = PAGE.read_text()
    for columns, rows in TABLES.items():
        assert markdown(head(*columns), rows(recorded)) in page


def test_models_are_those_of_the_manifest() -> None:
    rows = {
        row["file"]: row["sha256"] for row in json.loads((MODELS / "manifest.json").read_text())
    }
    assert rows.keys() == {task.file for task in TASKS.values()}
    for name, digest in rows.items():
        assert hashlib.sha256((MODELS / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("name", ["ad", "kws"])
def test_no_network_takes_more_cycles_than_recorded(name: str) -> None:
    found, recorded = measured(name), json.loads(RECORDED.read_text())["tasks"][name]
    assert {key: found[key] for key in SIZES} == {key: recorded[key] for key in SIZES}
    assert found["cycles"] <= (1 + NEAR) * recorded["cycles"]


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_figures_are_those_recorded(name: str) -> None:
    found, recorded = measured(name), json.loads(RECORDED.read_text())["tasks"][name]
    assert found["cycles"] == pytest.approx(recorded["cycles"], rel=NEAR)
    for point, energy in recorded["uj"].items():
        assert found["uj"][point] == pytest.approx(energy, rel=2 * NEAR)


@pytest.mark.slow
def test_the_stream_is_as_recorded() -> None:
    found, recorded = streamed(), json.loads(RECORDED.read_text())["stream"]
    assert found["cycles"] == pytest.approx(recorded["cycles"], rel=2 * NEAR)
    assert found["state_bytes"] == recorded["state_bytes"]
    for point, row in recorded["points"].items():
        assert found["points"][point]["duty_cycle"] == pytest.approx(row["duty_cycle"], rel=0.02)
        assert found["points"][point]["average_mw"] == pytest.approx(row["average_mw"], rel=0.02)
