# SPDX-License-Identifier: Apache-2.0
"""Networks with 16 bits in every operator that has them, on the simulated chip.

A simulated inference that differs from the reference is an error of the build.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from tests.conftest import save_exported


class Normalised(nn.Module):
    """Norms of groups, channels and rows; a convolution in groups, shares and logarithms,
    deviations."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.groups = nn.Conv1d(4, 8, 3, padding=1), nn.GroupNorm(2, 8)
        self.next, self.each = nn.Conv1d(8, 8, 3, groups=2), nn.InstanceNorm1d(8, affine=True)
        self.rows = nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = nn.functional.silu(self.groups(self.first(x)))
        x = self.rows(self.each(self.next(x)).mT)
        return torch.softmax(x, 1), torch.log_softmax(x, 2), torch.cat((x.std(1), x.var(1)))


class Products(nn.Module):
    """Products of two activations, their larger ones."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(21, 13), nn.Linear(21, 13)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.left(x), self.right(x)
        return torch.maximum(a @ b.mT, torch.relu(a.mT @ b).amax(-1, keepdim=True).mT[..., :1])


class Tokens(nn.Module):
    """Rows by integers, turned by angles that follow their position: pairs of neighbours and of
    halves."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.line = nn.Embedding(9, 8), nn.Linear(8, 8)
        angles = torch.outer(torch.arange(12.0), torch.tensor([1.0, 0.3, 0.1, 0.03]))
        self.register_buffer("angles", angles)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        cos, sin = self.angles.cos(), self.angles.sin()
        x = self.rows(ids)
        a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
        x = self.line(torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2))
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


NETWORKS = {
    "norms": (Normalised, (1, 4, 20)),
    "products": (Products, (1, 9, 21)),
    "tokens": (Tokens, (12,)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_16_bits_are_exact_on_the_chip(name: str, tmp_path: Path) -> None:
    """Every float result has 16 bits, and keeps far more than 8 do."""
    torch.manual_seed(1)
    make, shape = NETWORKS[name]
    calib = np.random.default_rng(2).standard_normal((8, *shape)).astype(np.float32)
    if name == "tokens":
        calib = np.random.default_rng(2).integers(0, 9, (8, *shape))
    model = save_exported(make().eval(), (torch.from_numpy(calib[0]),), tmp_path / "net.pt2")
    (tmp_path / "myoedge.toml").write_text('[quant]\n"*" = { activations = 16 }\n')
    found = myoedge.build(
        model,
        calib=calib,
        config=tmp_path / "myoedge.toml",
        output=tmp_path / "build",
        simulate=True,
    )
    assert found.report["cycles"]["source"] == "simulated"
    assert {row["dtype"] for row in found.report["layers"]} == {"int16"}
    assert found.report["quantization"]["sqnr_db"] > 40.0
