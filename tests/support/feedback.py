# SPDX-License-Identifier: Apache-2.0
"""Networks with a loop whose weights are read in every step."""

from __future__ import annotations

import torch
from torch import nn


class Feedback(nn.Module):
    """A loop whose cell reads the previous output: its weights are read in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.LSTMCell(72, 128), nn.Linear(128, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, c, y = (torch.zeros(1, size) for size in (128, 128, 8))
        for step in range(x.shape[1]):
            h, c = self.cell(torch.cat([x[:, step], y], 1), (h, c))
            y = self.out(h)
        return y


class LateFeedback(nn.Module):
    """The same loop behind layers whose results need most of L2."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv1d(4, 16, 3), nn.Conv1d(16, 64, 4, stride=400)
        self.loop = Feedback()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        frames = torch.relu(self.narrow(torch.relu(self.wide(x))))
        y: torch.Tensor = self.loop(frames.transpose(1, 2))
        return y


class EarlyFeedback(nn.Module):
    """The same loop in front of layers with more weights."""

    def __init__(self) -> None:
        super().__init__()
        self.loop, sizes = Feedback(), (8, 320, 320, 320, 8)
        self.wide = nn.ModuleList(map(nn.Linear, sizes, sizes[1:]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.loop(x)
        for layer in self.wide:
            y = torch.relu(layer(y))
        return y
