# SPDX-License-Identifier: Apache-2.0
"""The demo's network: real recordings, trained as in the demo, float fidelity of its int8 C."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

import myoedge
from myoedge.extensions.zoo.all_convnet import hd
from myoedge.operators.base import OPS
from tests.conftest import ROOT, save_exported


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's own model.pt2 and calib.npz, and a third of its test.npz."""
    sys.path.insert(0, str(ROOT / "examples"))
    from demo import trained

    folder = tmp_path_factory.mktemp("demo")
    trained(folder, 0)
    test = np.load(folder / "test.npz")
    np.savez(folder / "test.npz", **{name: test[name][::3] for name in test.files})
    return folder


def decibel(real: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(real**2) / np.sum((real - found) ** 2)))


@pytest.mark.slow
def test_int8_keeps_what_float_learnt(demo: Path, tmp_path: Path) -> None:
    build = myoedge.build(demo / "model.pt2", calib=demo / "calib.npz", output=tmp_path / "out")
    assert myoedge.validate(build, input=demo / "test.npz").exact["host"] is True
    test = np.load(demo / "test.npz")
    windows, labels = test["input"], test["label"]
    assert len(labels) >= 300
    program = torch.export.load(demo / "model.pt2").module()
    with torch.no_grad():
        real = np.concatenate(
            [program(torch.from_numpy(w.reshape(1, 1, 8, 3))).numpy() for w in windows]
        )
    found = np.concatenate([build.run(window) for window in windows])
    guess, int8_guess = real.argmax(1), found.argmax(1)
    float_accuracy = np.mean(guess == labels)
    assert 0.85 <= float_accuracy <= 0.98, "hard enough that a loss would show"
    assert np.mean(int8_guess == labels) >= float_accuracy - 0.005
    assert np.mean(guess == int8_guess) >= 0.99
    assert decibel(real, found) >= 25.0
    assert decibel(_onnx(build, windows), found) >= 30.0


def _onnx(build: myoedge.Build, windows: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(build.folder / "model.int8.onnx"), options)
    name = session.get_inputs()[0].name
    shaped = (window.reshape(1, 1, 8, 3) for window in windows)
    return np.concatenate([session.run(None, {name: window})[0] for window in shaped])


def test_hd_network_is_nine_operators_and_builds(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = hd()
    assert sum(p.numel() for p in model.parameters()) == 461_064
    save_exported(model, (torch.zeros(1, 1, 16, 8),), tmp_path / "hd.pt2")
    images = np.random.default_rng(0).random((32, 1, 1, 16, 8), np.float32)
    build = myoedge.build(tmp_path / "hd.pt2", calib=images, output=tmp_path / "out")
    assert myoedge.validate(build).exact["host"] is True
    report = build.report
    assert report["model"]["params"] == 461_064
    # 14.37 M: the sum of output positions x taps x channels over the published layer table
    assert report["model"]["macs"] == 14_368_768
    assert len(report["layers"]) == 9
    assert not [row for row in report["layers"] if OPS[row["op"]].view]
    assert report["memory"]["l2_peak_bytes"] < 1.5 * 2**20
