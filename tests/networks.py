# SPDX-License-Identifier: Apache-2.0
"""Small networks for tests, importable as factories."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Small(nn.Module):
    """A residual network over 12 samples of 2 channels, 3 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(2, 6, 3, padding=1)
        self.norm = nn.BatchNorm1d(6)
        self.body = nn.Conv1d(6, 6, 3, padding=2, dilation=2)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm(self.stem(x)))
        y = torch.relu(y + self.body(y))
        return self.head(y.mean(2))


def make_small() -> nn.Module:
    """For --factory tests.networks:make_small."""
    return Small()


def make_norm_first() -> nn.Module:
    """Takes batches only, as batch norm does."""
    return nn.Sequential(nn.BatchNorm1d(2), nn.Conv1d(2, 3, 3))


class Two(nn.Module):
    """Two inputs, three outputs, one of them used inside, one of them a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(5, 4)
        self.right = nn.Linear(7, 4)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mixed = torch.tanh(self.left(a)) + self.right(b)
        return mixed, mixed.softmax(-1), mixed.argmax(-1)


class Unsupported(nn.Module):
    """A layer norm and an LSTM in between."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.cell = nn.LSTM(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(self.norm(self.fine(x)))[0]
