# SPDX-License-Identifier: Apache-2.0
"""Five networks whose generated C is kept; the C names lines of this file."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Self-attention of two heads beside a shortcut, and layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(16, 48)
        self.out = nn.Linear(16, 16)
        self.norm = nn.LayerNorm(16)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in parts)
        heads = F.scaled_dot_product_attention(q, k, v)
        return self.norm(x + self.out(heads.transpose(1, 2).flatten(2)))


class Recurrent(nn.Module):
    """A GRU over 6 steps, and a linear layer on its last output."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(x)[0][:, -1])


def convolutions() -> nn.Module:
    """A convolution, a depthwise and a pointwise one, pooling, a linear layer."""
    pointwise = nn.Conv2d(8, 16, 1)
    depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
    stem = [nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), depthwise, nn.ReLU(), pointwise]
    return nn.Sequential(*stem, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))


def perceptron() -> nn.Module:
    """Two linear layers, each with an activation."""
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8), nn.Tanh())


def causal() -> nn.Module:
    """A stream: what the second convolution needs of earlier frames is a state."""
    return nn.Sequential(nn.Conv1d(2, 6, 3), nn.ReLU(), nn.Conv1d(6, 4, 3))
