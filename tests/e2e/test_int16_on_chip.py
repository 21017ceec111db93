# SPDX-License-Identifier: Apache-2.0
"""Networks with 16 bits in every operator that has them, on the simulated chip.

A simulated inference that differs from the reference is an error of the build.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.numerics.arrays import Array
from tests.conftest import save_exported, thinned
from tests.support.networks.small import Splines


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


class AlongTime(nn.Module):
    """Sums and products of all elements up to each, angles."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        decayed = (0.9 + 0.1 * torch.sigmoid(x)).cumprod(1)
        angle = torch.atan2(x, torch.exp(x))  # in front of no jump
        return self.last(x.cumsum(1) * decayed + angle)


class Heads(nn.Module):
    """Attention of two heads, causal."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 24), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        q, k, v = self.first(x).unflatten(-1, (6, 4)).transpose(1, 2).chunk(3, 1)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        y = self.last(y.transpose(1, 2).flatten(2))
        return y, y.argmax(-1)


class States(nn.Module):
    """A selective scan of six channels with six states."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.more, self.last = nn.Linear(8, 6), nn.Linear(8, 12), nn.Linear(6, 5)
        self.rates = nn.Parameter(-torch.rand(6, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        u, (b, c) = self.first(x), self.more(x).split(6, -1)
        delta, h, ys = nn.functional.softplus(u), torch.zeros(1, 6, 6), []
        decay = torch.exp(delta[..., None] * self.rates)
        added = delta[..., None] * b[:, :, None] * u[..., None]
        for t in range(9):
            h = decay[:, t] * h + added[:, t]
            ys.append((h * c[:, t, None]).sum(-1))
        return self.last(torch.stack(ys, 1))


NETWORKS = {
    "norms": (Normalised, (1, 4, 20)),
    "products": (Products, (1, 9, 21)),
    "tokens": (Tokens, (12,)),
    "along": (AlongTime, (1, 9, 8)),
    "heads": (Heads, (1, 9, 8)),
    "states": (States, (1, 9, 8)),
}
LEAST_DB = {"states": 38.0}  # the 8 bits of its input count as delta, x, B and C


def built(make: type[nn.Module], calib: Array, folder: Path) -> dict[str, Any]:
    """The report of a simulated build with 16 bits wherever there are kernels of them."""
    torch.manual_seed(1)
    model = save_exported(make().eval(), (torch.from_numpy(calib[0]),), folder / "net.pt2")
    (folder / "myoedge.toml").write_text('[quant]\n"*" = { activations = 16 }\n')
    config, output = folder / "myoedge.toml", folder / "build"
    report = myoedge.build(model, calib=calib, config=config, output=output, simulate=True).report
    assert report["cycles"]["source"] == "simulated"
    return dict(report)


@pytest.mark.parametrize("name", thinned(NETWORKS))
def test_16_bits_are_exact_on_the_chip(name: str, tmp_path: Path) -> None:
    """Every float result has 16 bits, and keeps far more than 8 do."""
    make, shape = NETWORKS[name]
    rng = np.random.default_rng(2)
    floats = rng.standard_normal((8, *shape)).astype(np.float32)
    calib = rng.integers(0, 9, floats.shape) if name == "tokens" else floats
    report = built(make, calib, tmp_path)
    assert {row["dtype"] for row in report["layers"] if row["op"] != "argmax"} == {"int16"}
    assert report["quantization"]["sqnr_db"] > LEAST_DB.get(name, 40.0)


@pytest.mark.slow
def test_splines_have_16_bits_in_few_cycles(tmp_path: Path) -> None:
    """Knots of 8 bits leave 36 dB, at as many cycles."""
    windows = np.random.default_rng(2).standard_normal((8, 1, 16)).astype(np.float32)
    report = built(Splines, windows, tmp_path)
    assert report["quantization"]["sqnr_db"] > 60.0
    assert report["cycles"]["total"] <= 8_000
