# SPDX-License-Identifier: Apache-2.0
"""FEMBA tiny as in BioFoundation: Mamba in both directions, in torch alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, silu, softplus

ELECTRODES, SAMPLES, STATES, TAPS = 22, 1280, 16, 4


class Mamba(nn.Module):
    def __init__(self, width: int, expand: int) -> None:
        super().__init__()
        inside, self.rank = expand * width, math.ceil(width / 16)
        self.into = nn.Linear(width, 2 * inside, bias=False)
        self.conv = nn.Conv1d(inside, inside, TAPS, groups=inside, padding=TAPS - 1)
        self.parts = nn.Linear(inside, self.rank + 2 * STATES, bias=False)
        self.delta = nn.Linear(self.rank, inside)
        self.a_log = nn.Parameter(torch.arange(1.0, STATES + 1).log().repeat(inside, 1))
        self.d = nn.Parameter(torch.ones(inside))
        self.out = nn.Linear(inside, width, bias=False)
        steps = torch.exp(torch.linspace(math.log(1e-3), math.log(0.1), inside))
        self.delta.bias.data.copy_(steps + torch.log(-torch.expm1(-steps)))

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        u, z = self.into(x).chunk(2, -1)
        u = silu(self.conv(u.transpose(1, 2))[..., :length].transpose(1, 2))
        delta, b, c = self.parts(u).split([self.rank, STATES, STATES], -1)
        delta = softplus(self.delta(delta))[..., None]
        decay = torch.exp(delta * -torch.exp(self.a_log))
        term = delta * b[:, :, None] * u[..., None]
        h, ys = torch.zeros_like(decay[:, 0]), []
        for t in range(length):
            h = decay[:, t] * h + term[:, t]
            ys.append((h * c[:, t, None]).sum(-1))
        y: Tensor = self.out((torch.stack(ys, 1) + self.d * u) * silu(z))
        return y


class Femba(nn.Module):
    """Patches of 2 electrodes x 16 samples, two blocks, a classifier of one more."""

    def __init__(self, width: int = 35, blocks: int = 2, classes: int = 2) -> None:
        super().__init__()
        rows, columns = ELECTRODES // 2, SAMPLES // 16
        self.patches = nn.Conv2d(1, width, (2, 16), (2, 16))
        self.position = nn.Parameter(torch.zeros(1, columns, rows * width))
        self.forwards = nn.ModuleList(Mamba(rows * width, 4) for _ in range(blocks))
        self.backwards = nn.ModuleList(Mamba(rows * width, 4) for _ in range(blocks))
        self.norms = nn.ModuleList(nn.LayerNorm(rows * width) for _ in range(blocks))
        self.head = nn.Linear(rows * width, 256)
        self.block = Mamba(256, 2)
        self.classes = nn.Linear(256, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x[:, None])
        x = x.reshape(x.shape[0], -1, x.shape[3]).permute(0, 2, 1) + self.position
        for ahead, back, norm in zip(self.forwards, self.backwards, self.norms, strict=True):
            x = norm(x + ahead(x) + back(x.flip(1)).flip(1))
        x = self.block(gelu(self.head(x)))
        y: Tensor = self.classes(x.mean(1))
        return y


def tiny() -> tuple[nn.Module, tuple[Tensor, ...]]:
    return Femba(), (torch.zeros(1, ELECTRODES, SAMPLES),)
