# SPDX-License-Identifier: Apache-2.0
"""`init` reads recordings and writes the settings that give the first build the right windows."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

import myoedge

ROWS = np.random.default_rng(0).normal(size=(600, 4))
NAMES = np.repeat(["rest", "fist", "open"], 200)
MICROVOLTS = np.rint(ROWS * 1e4) / 1e2  # of a network that was trained on units near 1
WINDOWS = MICROVOLTS.reshape(60, 10, 4).transpose(0, 2, 1)


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = torch.nn.BatchNorm1d(4)
        self.norm.running_var.uniform_(0.5, 2.0)
        self.head = torch.nn.Linear(40, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(x).flatten(1))


def csv() -> bytes:
    rows = enumerate(zip(MICROVOLTS, NAMES, strict=True))
    lines = [f"{i / 200},{','.join(f'{x:.2f}' for x in row)},{name}" for i, (row, name) in rows]
    return "\n".join(["Time [s],A (µV),B (µV),C (µV),D (µV),Gesture", *lines]).encode("latin-1")


def write(folder: Path, name: str) -> None:
    if name == "session.csv":
        (folder / name).write_bytes(csv())
    elif name == "session.mat":
        arrays = {"emg": MICROVOLTS, "restimulus": np.repeat([1, 0, 2], 200)[:, None]}
        savemat(folder / name, {**arrays, "fs": 200, "subject": 1})
    else:
        labels = np.repeat([1, 0, 2], 200)
        np.savez(folder / name, emg=MICROVOLTS, fs=200, gesture=labels, when=np.arange(600) / 200)


@pytest.mark.parametrize("name", ["session.csv", "session.mat", "session.npz"])
def test_the_first_build_after_init_reads_the_recording_right(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the windows and classes from which the files were written."""
    monkeypatch.chdir(tmp_path)
    program = torch.export.export(Network().eval(), (torch.zeros(1, 4, 10),))
    torch.export.save(program, tmp_path / "model.pt2")
    write(tmp_path, name)
    myoedge.init(model="model.pt2")
    written: dict[str, Any] = tomllib.loads((tmp_path / "myoedge.toml").read_text())
    assert written["calib"]["data"] == name
    assert written["stream"]["rate"] == 200
    assert written["calib"]["scale"] == 0.01
    quantized = myoedge.quantize("model.pt2")
    (x,) = quantized.samples.given.inputs.values()
    assert quantized.samples.given.labels is not None
    order = ["fist", "rest", "open"] if name != "session.csv" else ["fist", "open", "rest"]
    classes = np.array([order.index(x) for x in NAMES[::10]])
    np.testing.assert_allclose(x[:, 0], WINDOWS * 0.01, rtol=1e-5)
    np.testing.assert_array_equal(quantized.samples.given.labels, classes)
    if name == "session.csv":
        assert written["calib"]["label"] == "Gesture"
        assert written["calib"]["columns"] == ["A (µV)", "B (µV)", "C (µV)", "D (µV)"]


def test_without_a_model_the_unit_is_told_and_no_factor_is_set(tmp_path: Path) -> None:
    (tmp_path / "session.csv").write_bytes(csv())
    myoedge.init(tmp_path)
    text = (tmp_path / "myoedge.toml").read_text()
    assert "scale" not in tomllib.loads(text)["calib"]
    assert "(µV) to that of training" in text
    assert tomllib.loads(text)["stream"] == {"rate": 200}
