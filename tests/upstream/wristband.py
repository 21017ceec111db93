# SPDX-License-Identifier: Apache-2.0
"""Networks of the generic neuromotor interface, which no package has: gestures, handwriting, wrist.

Kaifosh and Reardon et al. (2025), facebookresearch/generic-neuromotor-interface: sizes and order
of operations are upstream's. The wrist's network begins at its features, logarithms of covariances
[n, 6 bands, 16, 16, frames], 50 frames a second: those need eigenvectors. The conformer for
handwriting sees ten seconds of them at once, 2.3 MB as they are rotated: it begins behind that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BANDS, ELECTRODES = 6, 16
ROTATIONS = (-1, 0, 1)  # electrodes by which the band may sit differently


class Gestures(nn.Module):
    """[n, 16, samples] of 2 kHz -> scores [n, 9, steps], 200 a second; 6,482,953 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(ELECTRODES, 512, 21, stride=10)
        self.relu, self.dropout = nn.ReLU(), nn.Dropout(0.1)
        self.norm_before = nn.LayerNorm(512)
        self.lstm = nn.LSTM(512, 512, 3, batch_first=True, dropout=0.1)
        self.norm_behind = nn.LayerNorm(512)
        self.projection = nn.Linear(512, 9)

    def forward(self, x: Tensor) -> Tensor:
        compressed = 64.0 * x / (32.0 + torch.abs(x))
        features = self.dropout(self.relu(self.conv(compressed))).transpose(1, 2)
        steps, _ = self.lstm(self.norm_before(features))
        scores: Tensor = self.projection(self.norm_behind(steps))
        return scores.permute(0, 2, 1)


class RotationInvariantMLP(nn.Module):
    """Features [n, 6, 16, 16, frames] -> [n, frames, hidden], the mean over rotations.

    near   electrodes beside one whose covariances with it are read, around the wrist
    """

    picked: Tensor

    def __init__(self, hidden: int, near: int) -> None:
        super().__init__()
        rows, columns = torch.triu_indices(ELECTRODES, ELECTRODES)
        apart = (columns - rows) % ELECTRODES
        kept = torch.minimum(apart, ELECTRODES - apart) <= near
        self.picked = (ELECTRODES * rows + columns)[kept]
        self.linear, self.activation = nn.Linear(BANDS * len(self.picked), hidden), nn.LeakyReLU()

    def forward(self, x: Tensor) -> Tensor:
        turned = torch.stack([x.roll([by, by], [2, 3]) for by in ROTATIONS], -1)
        rows = turned.permute(0, 4, 5, 1, 2, 3).flatten(4)[:, :, :, :, self.picked]
        y: Tensor = self.activation(self.linear(rows.flatten(3)))
        return y.mean(2)


class Wrist(nn.Module):
    """Features [n, 6, 16, 16, frames] -> the wrist's velocity [n, 1, frames]."""

    def __init__(self) -> None:
        super().__init__()
        self.rotated = RotationInvariantMLP(512, near=3)
        self.lstm = nn.LSTM(512, 512, 2, batch_first=True)
        self.activation, self.linear = nn.LeakyReLU(), nn.Linear(512, 1)

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.lstm(self.rotated(x))
        y: Tensor = self.linear(self.activation(steps))
        return y.permute(0, 2, 1)


def _windows(x: Tensor, size: int, stride: int) -> Tensor:
    """[n, frames, width] -> [n, windows, width, size], zeros before the first frame."""
    before = size - stride
    return (F.pad(x, (0, 0, before, 0)) if before else x).unfold(1, size, stride)


class WindowedAttention(nn.Module):
    """[n, frames, width] -> the same: each frame asks the `size` frames up to its own.

    Keys are the windows as upstream reshapes them, with the two axes of a window exchanged.
    """

    mask: Tensor

    def __init__(self, width: int, heads: int, size: int) -> None:
        super().__init__()
        self.width, self.heads, self.size = width, heads, size
        self.norm = nn.LayerNorm(width)
        self.attend = nn.MultiheadAttention(width, heads, dropout=0.1, batch_first=True)
        absent = torch.ones(size, size, dtype=torch.bool).triu(1).flip([1])
        self.register_buffer("mask", absent)

    def forward(self, x: Tensor) -> Tensor:
        n, frames, _ = x.shape
        windows = _windows(self.norm(x), self.size, 1).transpose(-1, -2)
        windows = windows.reshape(-1, self.size, self.width)
        keys = windows.transpose(1, 2).reshape(-1, self.size, self.width)
        y, _ = self.attend(windows[:, -1].unsqueeze(1), keys, keys, attn_mask=self._mask(n, frames))
        return x + y.reshape(n, frames, self.width)

    def _mask(self, n: int, frames: int) -> Tensor:
        first = self.mask[: min(frames, self.size - 1)]
        whole = torch.cat([first, self.mask[-1:].expand(frames - len(first), -1)])
        every = whole.reshape(1, frames, 1, -1).expand(n, frames, self.heads, -1)
        return every.reshape(n * frames * self.heads, 1, -1)


class FeedForward(nn.Module):
    """Half the input added to two linear layers around a SiLU, normed before."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        layers = (nn.LayerNorm(width), nn.Linear(width, hidden), nn.SiLU(), nn.Dropout(0.1))
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, width), nn.Dropout(0.1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y + 0.5 * x


class Convolution(nn.Module):
    """[n, frames, width] -> [n, windows, width], the last frame of each window added."""

    def __init__(self, width: int, taps: int, stride: int) -> None:
        super().__init__()
        self.taps, self.stride = taps, stride
        self.before = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GLU(-1))
        self.conv = nn.Conv1d(width, width, taps, stride, groups=width)
        self.behind = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(self.before(x).permute(0, 2, 1)).permute(0, 2, 1)
        out: Tensor = self.behind(y)
        return out + x[:, self.taps - 1 :: self.stride]


def _block(width: int, hidden: int, heads: int, size: int, stride: int) -> nn.Sequential:
    """A block of the conformer, its convolution of 8 taps."""
    return nn.Sequential(
        FeedForward(width, hidden),
        WindowedAttention(width, heads, size),
        Convolution(width, 8, stride),
        FeedForward(width, hidden),
        nn.LayerNorm(width),
    )


class Handwriting(nn.Module):
    """Frames [n, frames, 64], the mean over rotations -> log-probabilities [n, steps, classes].

    windows   frames that a block's attention sees, a block each
    strides   of their convolutions
    """

    def __init__(self, windows: Sequence[int], strides: Sequence[int], classes: int = 100) -> None:
        super().__init__()
        self.reduced = nn.Linear(2 * 64, 64)
        sizes = zip(windows, strides, strict=True)
        self.conformer = nn.Sequential(*(_block(64, 128, 4, size, by) for size, by in sizes))
        self.classes = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        pairs = self.reduced(_windows(x, 2, 2).permute(0, 1, 3, 2).flatten(2))
        scores: Tensor = self.classes(self.conformer(pairs))
        return scores.log_softmax(-1)


def handwriting() -> Handwriting:
    """The published one: 15 blocks; needs 491 frames, 9.8 s."""
    strides = [2 if block in (4, 9) else 1 for block in range(15)]
    return Handwriting([16] * 10 + [8] * 5, strides)
