# SPDX-License-Identifier: Apache-2.0
"""Figures at other operating points than a build's, where weights come from a memory with its own
clock. Oracles: the plan's estimate at each point, and its program on the simulated chip there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.building import plans
from myoedge.building.plan_within import plan_within
from myoedge.codegen.made_with import read_made_with
from myoedge.plan.cost.network import layer_cycles, layer_waits
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.reports.period import at_clock
from myoedge.targets import find_chip
from tests.conftest import save_exported
from tests.support.each import each
from tests.support.limits import l2_with_code
from tests.support.shared import made_once

CHIP = find_chip("gap9").with_optional("mram")
EXTERNAL = {"none": "MRAM", "ram": "MRAM and L3"}  # [budget] external -> memories that a run reads
NEAR = 0.01  # of a time or energy; transfers of both memories at once are off by 0.7 %
NEAR_ENERGY = (
    0.05  # the core that waits for weights asks in a loop: its instructions are not scaled
)
CLOCKS_HZ = sorted(
    {
        *(point.clock_hz for point in CHIP.points),
        *(hz for _, hz in CHIP.voltages),
        *(hz for hz in CHIP.low_clocks_hz if hz >= CHIP.level("mram").least_chip_hz),
        *(1_000_000 * mhz for mhz in range(242, 370, 16)),
    }
)


def point_of(clock_hz: int) -> str:
    return f"{clock_hz / 1e6:g} MHz"


def clocks_hz(external: str) -> list[int]:
    """The clocks at which a build with these parts can run."""
    least_hz = 0 if external == "none" else CHIP.level("l3").least_chip_hz
    return [hz for hz in CLOCKS_HZ if hz >= least_hz]


def build_in(folder: Path, external: str, name: str = "out", **options: Any) -> None:
    torch.manual_seed(0)
    layers = (nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 256))
    model = save_exported(nn.Sequential(*layers).eval(), (torch.zeros(1, 256),), folder / "m.pt2")
    config = folder / "myoedge.toml"
    config.write_text(f'[budget]\nexternal = "{external}"\n')
    calib = np.random.default_rng(0).standard_normal((4, 1, 256)).astype(np.float32)
    given = {
        "calib": calib,
        "config": config,
        "l2": "128KiB",
        "memory": "mram=auto",
        "simulate": True,
    }
    with l2_with_code():
        myoedge.build(model, output=folder / name, **{**given, **options})


def built(tmp_path_factory: pytest.TempPathFactory, external: str) -> myoedge.Build:
    """A build at 370 MHz, simulated, which is made once."""
    key = f"clocks-{external}"
    return myoedge.Build(
        made_once(tmp_path_factory, key, partial(build_in, external=external)) / "out"
    )


def planned(build: myoedge.Build) -> Plan:
    made = read_made_with(build.manifest["made_with"])
    return make_plan(made.network(build.network), made.chip, tile_ranks=made.tile_ranks)


@each("external", EXTERNAL)
def test_estimates_at_every_clock_are_those_of_the_plan_there(
    external: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By layer, of every operating point: what the report's waits make of its own cycles is the
    estimate of the same plan for the chip with that clock."""
    build = built(tmp_path_factory, external)
    plan, report = planned(build), build.report
    keys = ("cycles", "instructions", "activity")
    rows = [{**row, **dict.fromkeys(keys)} for row in report["layers"]]
    modelled = {**report["cycles"], "source": "modelled", "outside_layers": 0}
    estimated, totals = {**report, "layers": rows, "cycles": modelled}, set[int]()
    for hz in clocks_hz(external):
        there = replace(plan, chip=plan.chip.at(point_of(hz)))
        wanted = [sum(x) for x in zip(layer_cycles(there), layer_waits(there), strict=True)]
        found = at_clock(estimated, hz)
        assert [row["cycles_modelled"] for row in found["layers"]] == wanted, hz
        assert found["cycles"]["total"] == sum(wanted)
        totals.add(sum(wanted))
    assert len(totals) > 1, "they depend on the clock"


@pytest.mark.slow
@pytest.mark.parametrize("external", EXTERNAL)
def test_a_report_says_of_another_point_what_its_program_takes_there(
    external: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    another_cache: Callable[..., Path],
) -> None:
    """The same plan, linked for the clock of another point and simulated: latency and energy."""
    build = built(tmp_path_factory, external)
    another_cache("objects", "programs", "libraries")

    def of_first_point(network: Any, chip: Any, limits: Any) -> Plan:
        plan = plan_within(network, chip.at("high"), limits)
        return replace(plan, chip=plan.chip.at(chip.point.name))

    monkeypatch.setattr(plans, "plan_within", of_first_point)
    for hz in clocks_hz(external)[::4]:
        point = point_of(hz)
        build_in(tmp_path, external, point, operating_point=point)
        ran = myoedge.Build(tmp_path / point).report
        told = myoedge.energy(build, operating_point=point)
        assert ran["cycles"]["source"] == told["cycles"]["source"] == "simulated"
        assert told["latency_s"] == pytest.approx(ran["latency_s"], rel=NEAR), point
        value, wanted = (one["energy_uj"]["value"] for one in (told, ran))
        assert value == pytest.approx(wanted, rel=NEAR_ENERGY), point
        name = told["target"]["operating_point"]
        (row,) = (x for x in told["energy_uj"]["points"] if x["name"] == name)
        assert row["latency_s"] == told["latency_s"]
