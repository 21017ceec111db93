# SPDX-License-Identifier: Apache-2.0
"""Intervals of estimated energies over thirty networks: they hold what a simulation then counts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import myoedge
from myoedge.power.model import PUBLISHED
from myoedge.reports.energy import with_energy
from myoedge.targets.gap9.energy import MODELLED_ERROR, TYPICAL_ERROR
from tests.conftest import save_exported
from tests.records.energy_counters import TINY
from tests.support.networks.drawn import Random, windows

MODELS = Path(__file__).resolve().parents[1] / "fixtures" / "models"
RANDOM = range(18)
MISSED = 2  # of an interval of 95 %, over thirty networks


def trained() -> Iterator[tuple[Path, Any]]:
    """The eight trained networks with their samples."""
    for file in sorted(MODELS.glob("*.onnx")):
        stored = np.load(file.with_suffix(".npz"))
        given = {name.removeprefix("in:"): x for name, x in stored.items() if name[:3] == "in:"}
        yield file, given


def networks(folder: Path) -> Iterator[tuple[Path, Any]]:
    yield from trained()
    for name, (make, shape) in TINY.items():
        torch.manual_seed(0)
        samples = np.random.default_rng(0).standard_normal((2, *shape), np.float32)
        file = save_exported(make().eval(), (torch.zeros(shape),), folder / f"{name}.pt2")
        yield file, samples
    for seed in RANDOM:
        model = Random(seed).eval()
        file = save_exported(model, (torch.zeros(model.shape),), folder / f"random{seed}.pt2")
        yield file, windows(model.shape, seed, 4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_intervals_hold_when_an_estimate_becomes_a_count(tmp_path: Path) -> None:
    """Both of modelled cycles and of cycles without counters, as a board or GVSoC gives them; and
    the error that is added for that is no smaller than what is found."""
    estimated, typical, errors, rough = [], [], [], []
    for file, samples in networks(tmp_path):
        output = tmp_path / file.stem
        build = myoedge.build(file, calib=samples, output=output, simulate=False)
        before = build.report["energy_uj"]
        report = myoedge.simulate(build).report
        value = report["energy_uj"]["value"]
        bare = [{**row, "activity": None} for row in report["layers"]]
        cycles = {**report["cycles"], "source": "gvsoc"}
        uncounted = with_energy({**report, "layers": bare, "cycles": cycles}, PUBLISHED)
        between = uncounted["energy_uj"]
        assert not between["counted"]
        estimated.append(before["low"] <= value <= before["high"])
        typical.append(between["low"] <= value <= between["high"])
        rough.append(value / between["value"] - 1)
        errors.append(value / before["value"] - 1)
    assert len(estimated) == 30
    assert estimated.count(False) <= MISSED
    assert typical.count(False) <= MISSED
    beyond = [
        error for error in errors if abs(error) > 2 * math.hypot(TYPICAL_ERROR, MODELLED_ERROR)
    ]
    assert len(beyond) <= MISSED, errors
    assert math.sqrt(np.mean(np.square(rough))) <= TYPICAL_ERROR
