# SPDX-License-Identifier: Apache-2.0
"""W213: a gate that does not tell rest from other windows."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.building.config import Found, from_tables
from myoedge.extensions.sensor.gate_limit import unable
from myoedge.extensions.sensor.wake import Gate
from myoedge.numerics.arrays import Array
from tests.conftest import save_exported
from tests.extensions.sensor import applications
from tests.support.warning_rules import applies

SENSOR = {**applications.ARMBAND, "hop": 8}


class Loud(nn.Module):
    """Class 0 if the mean magnitude of a window is below 4, otherwise class 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        loud = x.abs().mean((1, 2)).reshape(1, 1) - 4.0
        return torch.cat([-loud, loud], 1)


def windows(*levels: float) -> Array:
    """Windows of 8 channels with these mean magnitudes, 16 of each; a build judges the gate on
    those that it does not hold out."""
    rng = np.random.default_rng(7)
    drawn = rng.uniform(0.5, 1.5, (16 * len(levels), 1, 8, 40))
    signs = rng.choice([-1.0, 1.0], drawn.shape)
    return (drawn * signs * np.repeat(levels, 16)[:, None, None, None]).astype(np.float32)


def warned(folder: Path, calib: Array, **wake: Any) -> list[dict[str, Any]]:
    """Rows of W213 in the report of a build."""
    for name in ("model.pt2", "gate.pt2"):
        save_exported(Loud().eval(), (torch.zeros(1, 8, 40),), folder / name)
    build = myoedge.build(
        folder / "model.pt2",
        calib=calib,
        app="sensor",
        config=Found(from_tables({"sensor": SENSOR, "wake": wake}, "myoedge.toml"), folder),
        output=folder / "out",
        simulate=False,
    )
    return [row for row in build.report["warnings"] if row["code"] == "W213"]


@pytest.mark.parametrize("others", [0, 1, 20, 39, 40])
@pytest.mark.parametrize("rest", [0, 1, 20, 40])
def test_shares(rest: int, others: int) -> None:
    """Every count of windows below the limit, against the definition in fractions."""
    least = Fraction(1, 20)
    for resting in range(rest + 1):
        for missed in range(others + 1):
            counts = (rest + others, others, missed, resting + missed)
            (*found,) = unable(Gate(100, 0, 0, 1.0, None, *counts))
            never_rests = rest == 0 or Fraction(resting, rest) < least
            never_wakes = others > 0 and Fraction(others - missed, others) < least
            told = rest + others > 0 and (never_rests or never_wakes)
            assert len(found) == told, counts
            if found:
                assert ("wakes" in found[0].title) == never_wakes


def test_random_calibration_data_judge_no_gate() -> None:
    assert not [*unable(Gate(100, 0, 0, 1.0))]


@applies("W213", "given [wake] miss = 0.01")
@pytest.mark.parametrize(
    ("threshold", "says"), [(1e-3, "keeps 0 of 12 windows of rest"), (1e3, "on 0 of 14 windows")]
)
def test_thresholds_beyond_all_windows(tmp_path: Path, threshold: float, says: str) -> None:
    calib = windows(1.0, 20.0)
    (row,) = warned(tmp_path, calib, threshold=threshold)
    assert says in row["title"]
    assert not warned(tmp_path, calib, miss=0.01)


@applies("W213", "several [wake] rest_output")
def test_another_output_than_that_of_rest(tmp_path: Path) -> None:
    calib = windows(1.0, 20.0)
    gate = {"model": "gate.pt2", "threshold": 0.0}
    (row,) = warned(tmp_path, calib, **gate, rest_output=1)
    assert any("rest_output" in text for text in row["tries"])
    assert not warned(tmp_path, calib, **gate, rest_output=0)


@applies("W213", "unseen calibrate with windows of rest")
def test_a_calibration_without_rest(tmp_path: Path) -> None:
    wake = {"threshold": 4.0}
    (row,) = warned(tmp_path, windows(20.0), **wake)
    assert "keeps 0 of 0 windows of rest" in row["title"]
    assert not warned(tmp_path, windows(1.0, 20.0), **wake)
