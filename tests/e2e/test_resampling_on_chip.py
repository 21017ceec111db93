# SPDX-License-Identifier: Apache-2.0
"""Transposed convolutions and resizing, quantised, in tiles: exact on host and simulated chip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import myoedge
from tests.conftest import save_exported


class Resized(nn.Module):
    """Layers, and (mode, size) of an interpolation between them."""

    def __init__(self, *steps: nn.Module | tuple[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.steps = steps
        self.layers = nn.ModuleList(step for step in steps if isinstance(step, nn.Module))

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            is_layer = isinstance(step, nn.Module)
            x = step(x) if is_layer else F.interpolate(x, size=step[1], mode=step[0])
        return x


NETWORKS: dict[str, tuple[nn.Module, tuple[int, ...], int]] = {
    "decoder": (
        nn.Sequential(
            nn.Conv1d(3, 6, 3),
            nn.ConvTranspose1d(6, 5, 4, stride=2, padding=1),
            nn.BatchNorm1d(5),
            nn.GELU(),
            nn.ConvTranspose1d(5, 5, 7, stride=3, padding=2, output_padding=1, groups=5),
            nn.ReLU(),
            nn.ConvTranspose1d(5, 2, 3, dilation=2, bias=False),
        ),
        (1, 3, 31),
        6,
    ),
    "interpolation": (
        Resized(
            nn.Conv2d(3, 6, 3),
            ("bilinear", (37, 61)),
            ("nearest", (50, 33)),
            nn.Conv2d(6, 4, 1),
            ("bicubic", (23, 100)),
            nn.GELU(),
        ),
        (1, 3, 21, 40),
        8,
    ),
    "sequences": (
        Resized(("linear", (2500,)), nn.ReLU(), ("nearest-exact", (901,)), ("linear", (300,))),
        (1, 5, 1001),
        3,
    ),
    "images": (
        nn.Sequential(
            nn.ConvTranspose2d(7, 6, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(6, 9, (3, 2), stride=(2, 1), groups=3),
        ),
        (1, 7, 40, 27),
        4,
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_integers_are_the_same_everywhere(name: str, tmp_path: Path) -> None:
    """The images' tiles are several; sqnr is of integers against floats, in dB of all outputs."""
    torch.manual_seed(0)
    network, shape, layers = NETWORKS[name]
    model = save_exported(network.eval(), (torch.zeros(shape),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((6, *shape)).astype(np.float32)
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", engine="cores")
    found = myoedge.validate(build, on=("host", "simulator"))
    assert found.exact["host"] is found.exact["simulator"] is True, found.difference
    assert len(build.report["layers"]) >= layers
    assert build.report["layers"][-1]["sqnr_db"] > 28
