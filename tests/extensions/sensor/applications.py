# SPDX-License-Identifier: Apache-2.0
"""Small sensor applications, built for the simulated chip."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build, load_build
from myoedge.building.config import Found, from_tables
from myoedge.numerics.arrays import Array
from tests.conftest import ROOT, save_exported
from tests.support.shared import made_once

MYO = ROOT / "examples" / "data" / "libemg_myo.npz"
SIGNAL = 640  # samples of the recording for value ranges
# The armband's own converters have 8 bits and 200 samples per second, which no ADS1298 has.
ARMBAND: dict[str, Any] = {
    "front_end": "spi",
    "bits": 8,
    "header_bytes": 0,
    "input_range": "1 V",
    "unit": "counts",
    "channels": 8,
    "rate": 200,
    "pins": {"data_ready": 42},
}
ADS1298: dict[str, Any] = {
    "channels": 8,
    "rate": 1000,
    "unit": "uV",
    "pins": {"data_ready": 42, "start": 43, "reset": 44},
}


class Windows(nn.Module):
    """Gestures of 200 ms."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, 16, 5, stride=2)
        self.classes = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classes(self.conv(x).abs().mean(-1))


class Wide(Windows):
    """Gestures of 200 ms, by weights that exceed a small L2."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.classes = nn.Sequential(nn.Linear(16, 512), nn.ReLU(), nn.Linear(512, 256))


class Causal(nn.Module):
    """Gestures for every sample."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, 12, 7)
        self.rnn = nn.GRU(12, 12, batch_first=True)
        self.classes = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.conv(nn.functional.pad(x, (6, 0)))).transpose(1, 2)
        return self.classes(self.rnn(y)[0])


class Early(Windows):
    """Gestures, behind a gate that shares the first layer."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.gate = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        y = self.conv(x)
        at_rest = self.gate(y.mean(-1))
        return {"gestures": self.classes(y.abs().mean(-1)), "early": at_rest}


class LateGate(Early):
    """The gate's output comes last."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        y = self.conv(x)
        gestures = self.classes(y.abs().mean(-1))
        return {"gestures": gestures, "early": self.gate(y.mean(-1))}


class LastLoop(Windows):
    """Both outputs are states of one loop with two products, behind which nothing runs."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.cell = nn.Linear(channels + 8, 8)
        self.then = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        h, g = x.new_zeros(1, 8), x.new_zeros(1, 5)
        for step in range(8):
            h = torch.tanh(self.cell(torch.cat([x[:, :, 5 * step], h], 1)))
            g = torch.tanh(self.then(h) + g)
        return {"gestures": g, "early": h}


def emg() -> Array:
    with np.load(MYO) as file:
        return np.asarray(file["emg"], np.float32)


def built(
    folder: Path,
    kind: type[Windows | Causal],
    samples: int,
    point: str | None = None,
    memory: str | None = None,
    gate: nn.Module | None = None,
    **tables: Any,
) -> Build:
    torch.manual_seed(0)
    channels = int(tables["sensor"]["channels"])
    shape = (1, channels, samples)
    model = save_exported(kind(channels).eval(), (torch.zeros(shape),), folder / "model.pt2")
    if gate is not None:
        save_exported(gate, (torch.zeros(shape),), folder / "gate.pt2")
    count = SIGNAL // samples
    rows = emg()[: count * samples].reshape(count, samples, 8).transpose(0, 2, 1)
    rows = np.tile(rows, (1, channels // 8, 1))
    return myoedge.build(
        model,
        calib=np.ascontiguousarray(rows)[:, None],
        app="sensor",
        config=Found(from_tables(tables, "myoedge.toml"), folder),
        stream="stream" in tables,
        output=folder / "out",
        simulate=False,
        operating_point=point,
        memory=memory,
    )


STREAM = {"axis": 2, "frames": 4}
EIGHT_CHIPS = {
    "channels": 64,
    "rate": 2000,
    "hop": 20,
    "spi_clock": "20 MHz",
    "baud_rate": 3_000_000,
}
# Of the armband; and of microvolts from an ADS1298, or from eight of them.
MADE: dict[str, tuple[type[Windows | Causal], int, dict[str, Any]]] = {
    "windows": (Windows, 40, {"sensor": {**ARMBAND, "hop": 8}}),
    "gated": (
        Windows,
        40,
        {"sensor": {**ARMBAND, "hop": 8}, "wake": {"threshold": 10.0, "hold": 3}},
    ),
    "early exit": (
        Early,
        40,
        {
            "sensor": {**ARMBAND, "hop": 8},
            "wake": {"output": "early", "threshold": 0.5, "hold": 2},
        },
    ),
    "stream": (Causal, 100, {"sensor": ARMBAND, "stream": {**STREAM, "rate": 200}}),
    "chip": (Windows, 40, {"sensor": {**ADS1298, "hop": 10}}),
    "chip stream": (Causal, 100, {"sensor": ADS1298, "stream": {**STREAM, "rate": 1000}}),
    "chain": (Windows, 40, {"sensor": {**ADS1298, **EIGHT_CHIPS}}),
}


def made(folder: Path, name: str) -> Build:
    """Name: of MADE, or with an operating point, as "chip at 240/10 MHz"."""
    name, _, point = name.partition(" at ")
    kind, samples, tables = MADE[name]
    return built(folder, kind, samples, point or None, **tables)


def shared(folders: pytest.TempPathFactory, name: str) -> Build:
    """A copy of an application of MADE, which is built once: a playback changes its report."""
    key = f"sensor-{name.replace('/', '-')}"
    once = made_once(folders, key, partial(made, name=name)) / "out"
    return load_build(Path(shutil.copytree(once, folders.mktemp("application") / "out")))
