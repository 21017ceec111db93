# SPDX-License-Identifier: Apache-2.0
"""Layers with more than two buffers for what they read: exact on a host and on the chip, whatever
the model says that they save, and faster where it says that they save much."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.plan.l1 import tile_choice
from tests.conftest import save_exported, thinned
from tests.support.networks.small import autoencoder


class Network(nn.Module):
    """Layers with a few tiles of little work: rows by weights, sums, rows that are turned."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(640, 128), nn.Linear(128, 640)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x))) + x


def built(network: Callable[[], nn.Module], folder: Path) -> Any:
    torch.manual_seed(3)
    model = save_exported(network().eval(), (torch.zeros(1, 640),), folder / "model.pt2")
    calib = np.random.default_rng(3).standard_normal((2, 1, 640)).astype(np.float32)
    return myoedge.build(model, calib=calib, output=folder / "out")


def depths(folder: Path) -> list[int]:
    steps = json.loads((folder / "out" / "plan.json").read_text())["steps"]
    return [step["tiles"]["depth"] for step in steps if step["tiles"]]


@pytest.mark.parametrize("most", thinned([3, 4]))
def test_whatever_has_more_buffers_is_exact(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tile_choice, "LEAST_MOVED", 0.0)
    monkeypatch.setattr(tile_choice, "DEPTH", most)
    monkeypatch.setattr(tile_choice, "MULTI_BUFFERED", float("inf"))
    build = built(Network, tmp_path)
    assert max(depths(tmp_path)) > 2
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


def test_they_are_taken_where_the_dma_would_stand_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_more = myoedge.simulate(built(autoencoder, tmp_path)).report["cycles"]["total"]
    assert max(depths(tmp_path)) > 2
    monkeypatch.setattr(tile_choice, "MULTI_BUFFERED", 0.0)
    (tmp_path / "two").mkdir()
    with_two = myoedge.simulate(built(autoencoder, tmp_path / "two")).report["cycles"]["total"]
    assert set(depths(tmp_path / "two")) == {2}
    assert with_more < with_two
