# SPDX-License-Identifier: Apache-2.0
"""Torch networks over [1, C, T] with fewer frames inside, and frames from before beside them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Decoder(nn.Module):
    """A U-Net of one level.

    pads   frames before and behind every convolution of three taps
    up     layer that doubles the frames of 6 channels
    """

    def __init__(self, c: int, pads: tuple[int, int], up: nn.Module) -> None:
        super().__init__()
        self.pads, self.up = pads, up
        self.first, self.down = nn.Conv1d(c, 6, 3), nn.Conv1d(6, 6, 2, 2)
        self.inner, self.last = nn.Conv1d(6, 6, 3), nn.Conv1d(12, c, 3)

    def forward(self, x: Tensor) -> Tensor:
        above = self.first(F.pad(x, self.pads)).relu()
        below = self.inner(F.pad(self.down(above).relu(), self.pads)).relu()
        return self.last(F.pad(torch.cat([self.up(below), above], 1), self.pads))


class DoublePooled(nn.Module):
    """A U-Net of two levels with pools, transposed convolutions whose surplus is cut off, and
    sums."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.first, self.inner = nn.Conv1d(c, 6, 3), nn.Conv1d(6, 6, 3)
        self.ups = nn.ModuleList(nn.ConvTranspose1d(6, 6, 4, 2) for _ in range(2))
        self.last = nn.Conv1d(6, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(F.pad(x, (2, 0))).relu()
        second = F.max_pool1d(first, 2)
        y = self.inner(F.pad(F.avg_pool1d(second, 2), (2, 0))).relu()
        for up, beside in zip(self.ups, (second, first), strict=True):
            y = up(y)[:, :, :-2].relu() + beside
        return self.last(y)
