# SPDX-License-Identifier: Apache-2.0
"""TinyMyo as it was published, weights from L3: exact everywhere, and within the cycles wanted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import myoedge
from myoedge.backends.measurement import Activity
from myoedge.power.model import PUBLISHED, energy
from myoedge.targets import find_chip
from tests.conftest import of_networks
from tests.records.tinymyo_cost import (
    CLOCKS_HZ,
    FULL,
    HEAD,
    KIND_HEAD,
    KINDS,
    PARTS,
    RECORDED,
    built,
    held_back,
    kind_lines,
    lines,
    ran,
)
from tests.support.pages import PAGE, markdown

MOST_FOR_L3 = 0.02  # of an inference
MOST_JOULES = {  # of an inference of EPN-612, by operating point
    "cores": {"low": 14e-3, "high": 20e-3},
    "auto": {"low": 8e-3, "high": 11e-3},
}
L2_BYTES = 1536 * 1024


def test_the_page_has_what_is_recorded() -> None:
    recorded = json.loads(RECORDED.read_text())
    assert recorded["networks"].keys() == FULL.keys()
    page = PAGE.read_text()
    assert markdown(HEAD, lines(recorded["networks"])) in page
    assert markdown(KIND_HEAD, kind_lines(recorded)) in page
    assert {point.clock_hz for point in find_chip("gap9").points} == {*CLOCKS_HZ}


def test_what_is_recorded_adds_up() -> None:
    recorded = json.loads(RECORDED.read_text())
    total = recorded["networks"]["epn, version 1"]
    rows = {kind: (macs, cycles) for kind, macs, cycles, _ in recorded["kinds"]}
    parts = [rows.pop(f"of attention: {part}") for part in PARTS]
    assert sum(cycles for _, cycles in parts) == pytest.approx(rows["attention, all in L1"][1])
    assert len(rows) <= len(KINDS)
    assert sum(macs for macs, _ in rows.values()) == total["macs"]
    assert sum(cycles for _, cycles in rows.values()) == pytest.approx(total["cycles"], rel=0.001)


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_exact_and_fast_enough(name: str, tmp_path: Path) -> None:
    full = FULL[name]
    build = built(full, tmp_path)
    host = myoedge.validate(build, input=held_back(full), on=("host",))
    assert host.difference is None
    found = ran(full, build)
    memory = found.report["memory"]
    assert found.exact
    assert not of_networks(found.report["warnings"])
    assert memory["l1_peak_bytes"] <= 128 * 1024
    assert memory["l2_peak_bytes"] <= L2_BYTES
    assert memory["l3_weights_bytes"] > 0, "nothing comes from L3"
    assert found.cycles <= (full.most_cycles or found.cycles)
    assert found.waits <= MOST_FOR_L3
    recorded = json.loads(RECORDED.read_text())["networks"][name]
    assert found.cycles == pytest.approx(recorded["cycles"], rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("engine", MOST_JOULES)
def test_an_inference_takes_no_more_energy_than_wanted(engine: str, tmp_path: Path) -> None:
    full, most = FULL["epn, version 1"], MOST_JOULES[engine]
    ran = myoedge.simulate(built(full, tmp_path, engine=engine), input=held_back(full))
    layers = ran.measurement.inferences[0].layers
    activity = sum((layer.activity for layer in layers if layer.activity), Activity(0))
    points = {point.name: point for point in find_chip("gap9").points}
    joules = {name: energy(activity, points[name], PUBLISHED).joules for name in most}
    assert {name: found for name, found in joules.items() if found > most[name]} == {}
