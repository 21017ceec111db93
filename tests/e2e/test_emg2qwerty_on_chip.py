# SPDX-License-Identifier: Apache-2.0
"""The LSTM variants of emg2qwerty with random weights: exact on the simulated chip, and fast."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.extensions.zoo import emg2qwerty
from tests.conftest import save_exported

# frames, multiplications of the model, and how many of them a cycle: weights come from L3
WINDOWS: dict[str, tuple[Callable[[], nn.Module], int, int, float]] = {
    "kao": (emg2qwerty.kao, 59, 137_340_672, 13.5),
    "lstm": (emg2qwerty.lstm, 125, 299_808_000, 13.5),
    "lstm, a window of training": (emg2qwerty.lstm, 622, 1_491_844_608, 13.5),
    "lstm_plain": (lambda: emg2qwerty.lstm(plain=True), 59, 139_334_400, 13.5),
    "lstm_plain, a window of training": (
        lambda: emg2qwerty.lstm(plain=True),
        622,
        1_468_915_200,
        13.5,
    ),
}


@pytest.mark.filterwarnings("ignore:The tensor attributes")
def test_a_small_one_beside_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NE16 loads 8 bytes behind gates of 12 bytes a row, where the next layer's come already."""
    monkeypatch.setattr(emg2qwerty, "PER_BAND", 48)
    monkeypatch.setattr(emg2qwerty, "FEATURES", 96)
    torch.manual_seed(0)
    example = torch.zeros(30, 1, 2, 16, 33)
    model = save_exported(emg2qwerty.lstm().eval(), (example,), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((1, *example.shape)).astype(np.float32)
    told = {"calib": calib, "method": "minmax", "output": tmp_path / "out"}
    build = myoedge.build(model, app="gap-sdk", simulate=True, **told)
    assert build.report["cycles"]["source"] == "simulated"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize("name", WINDOWS)
def test_exact_and_fast(name: str, tmp_path: Path) -> None:
    make, frames, macs, rate = WINDOWS[name]
    torch.manual_seed(0)
    example = torch.zeros(frames, 1, 2, 16, 33)
    model = save_exported(make().eval(), (example,), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((4, *example.shape)).astype(np.float32)
    build = myoedge.build(model, target="gap9", calib=calib, output=tmp_path / "out")
    assert myoedge.validate(build, on=("host",)).exact["host"] is True
    ran = myoedge.simulate(build)
    assert ran.exact
    assert ran.report["model"]["macs"] == macs
    assert macs / ran.report["cycles"]["total"] >= rate
