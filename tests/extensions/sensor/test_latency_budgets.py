# SPDX-License-Identifier: Apache-2.0
"""Networks whose decisions have to come in time: from data-ready to the last bit of the packet."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.building.config import Found, from_tables
from myoedge.extensions.zoo import all_convnet
from myoedge.numerics.arrays import Array
from tests.conftest import save_exported
from tests.extensions.sensor.applications import ADS1298


class ConvolutionsAndGru(nn.Module):
    """Gestures of 50 ms windows."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(8, 32, 5, padding=2), nn.BatchNorm1d(32), nn.ReLU())
        self.second = nn.Sequential(nn.Conv1d(32, 64, 3, padding=1), nn.BatchNorm1d(64), nn.ReLU())
        self.gru = nn.GRU(64, 64, batch_first=True)
        self.classes = nn.Linear(64, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(nn.functional.max_pool1d(self.first(x), 2)).transpose(1, 2)
        scores: torch.Tensor = self.classes(self.gru(y)[0][:, -1])
        return scores


@dataclass(frozen=True)
class Case:
    """A network, its input's shape, samples of a window, and what its application may take."""

    network: type[nn.Module] | Any
    shape: tuple[int, ...]
    samples: int
    budget: str
    sensor: dict[str, Any] = field(default_factory=dict)

    def windows(self, signal: Array) -> Array:
        """Samples [frames, channels] as inputs of the network."""
        cut = signal[: 32 * self.samples].reshape(32, self.samples, -1)
        return np.ascontiguousarray(cut.transpose(0, 2, 1)).reshape(32, *self.shape)


HD = {"channels": 128, "spi_clock": "20 MHz", "baud_rate": 3_000_000, "hop": 4}
CASES = {
    "All-ConvNet on HD frames": Case(all_convnet.hd, (1, 1, 16, 8), 1, "1 ms", HD),
    "CNN and GRU on 50 ms": Case(ConvolutionsAndGru, (1, 8, 50), 50, "2 ms", {"hop": 10}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_decisions_come_within_their_budget(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    torch.manual_seed(0)
    model = save_exported(case.network().eval(), (torch.zeros(case.shape),), tmp_path / "m.pt2")
    sensor = {**ADS1298, **case.sensor}
    channels = int(sensor["channels"])
    signal = np.random.default_rng(0).normal(0, 60, (1600, channels)).astype(np.float32)
    tables = {"sensor": sensor, "budget": {"latency": case.budget}}
    build = myoedge.build(
        model,
        calib=case.windows(signal),
        app="sensor",
        engine="auto",
        config=Found(from_tables(tables, "myoedge.toml"), Path()),
        output=tmp_path / "out",
    )
    played = myoedge.play(build, signal, seconds=0.6)
    assert (played.exact, played.samples_lost, played.over) == (True, 0, None)
    assert len(played.decisions) == (600 - case.samples) // int(sensor["hop"]) + 1
