# SPDX-License-Identifier: Apache-2.0
"""Random causal torch networks over [1, C, T], and U-Nets: what a stream can compute."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from myoedge.numerics.arrays import Array
from myoedge.streaming.stream import Stream, passes

LEAST = 24  # frames that any layer can take


class Convolution(nn.Module):
    """With `pad` frames in front of the first one, none to all of what the kernel reaches."""

    def __init__(self, c: int, k: int, stride: int, dilation: int, pad: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(c, c, k, stride, 0, dilation, groups)
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (self.pad, 0)))


class CropAdd(nn.Module):
    """A convolution without padding, and what it leaves of its input added."""

    def __init__(self, c: int, k: int) -> None:
        super().__init__()
        self.conv, self.k = nn.Conv1d(c, c, k), k

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x)) + x[:, :, self.k - 1 :]


class Late(nn.Module):
    """x beside itself of some frames ago: frames that meet at different times."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, self.by :] - 0.5 * x[:, :, : x.shape[2] - self.by]


class Pool(nn.Module):
    def __init__(self, k: int, stride: int, pad: int, largest: bool) -> None:
        super().__init__()
        self.pool = (nn.MaxPool1d if largest else nn.AvgPool1d)(k, stride)
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(F.pad(x, (self.pad, 0)))


class PadThen(nn.Module):
    """A pad before the first frame, operators that do not look back, and one that does."""

    def __init__(self, rng: np.random.Generator, c: int) -> None:
        super().__init__()
        self.taps = int(rng.integers(2, 6))
        self.frames = int(rng.integers(1, self.taps + 2))
        self.between, self.kind = int(rng.integers(4)), int(rng.integers(6))
        self.stride, self.own = int(rng.choice([1, 1, 2])), int(rng.integers(0, 2))
        self.value = float(rng.choice([0.0, 0.0, 0.5]))
        self.conv, self.mixed = nn.Conv1d(c, c, self.taps, groups=c), nn.Conv1d(c, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.pad(x, (self.frames, 0), value=self.value)
        if self.between == 1:
            y = y.sigmoid()
        elif self.between == 2:
            y = self.mixed(y)
        elif self.between == 3:
            y = F.pad(y[:, :, 1:], (1, 0), value=-0.25)
        if self.kind == 0:
            return F.avg_pool1d(y, self.taps, self.stride)
        if self.kind == 1:
            return F.max_pool1d(y, self.taps, self.stride)
        if self.kind == 2:
            return self.conv(F.pad(y, (self.own * (self.taps - 1), 0)))
        if self.kind == 3:
            return y[:, :, : x.shape[2]] + x
        return F.max_pool1d(F.pad(y, (1, 0)), self.taps, self.stride) if self.kind == 4 else y


class Mixed(nn.Module):
    """Averages of a layer that makes another number of the padding in every channel."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mixed = nn.Conv1d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool1d(self.mixed(F.pad(x, (15, 0))), 16, 1)


class PerFrame(nn.Module):
    """Norm and layers over the channels of every frame."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(c), nn.Linear(c, 2 * c), nn.Linear(2 * c, c)

    def forward(self, x: Tensor) -> Tensor:
        y = x.transpose(1, 2)
        return (y + self.down(F.gelu(self.up(self.norm(y))))).transpose(1, 2)


class Counted(nn.Module):
    """Rows of a table by counts along time, and elements of a frame by its own indices."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.frame = nn.Embedding(400, 4), nn.Linear(3, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h, counts = self.frame(x), (x > 0).long().cumsum(1)
        picked = torch.gather(torch.cat([h, -h], -1), 2, h.argmax(-1, keepdim=True))
        return self.rows(counts[..., 0]), picked


class Recurrent(nn.Module):
    """An LSTM or GRU over the frames, forwards."""

    def __init__(self, c: int, kind: type[nn.RNNBase] = nn.LSTM) -> None:
        super().__init__()
        self.layer = kind(c, c, 1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.transpose(1, 2))[0]
        return x + y.transpose(1, 2)


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


def layer(rng: np.random.Generator, c: int) -> nn.Module:
    """One that gives [1, c, T'] of [1, c, T]."""
    k = int(rng.integers(1, 6))
    kind = int(rng.integers(8))
    if kind == 0:
        return CropAdd(c, k)
    if kind == 1:
        return Late(int(rng.integers(1, 5)))
    if kind == 2:
        return Pool(k, int(rng.integers(1, 3)), int(rng.integers(0, k)), bool(rng.integers(2)))
    if kind == 3:
        return PerFrame(c)
    if kind == 4:
        return Recurrent(c, nn.GRU if rng.integers(2) else nn.LSTM)
    stride = int(rng.choice([1, 1, 1, 2]))
    dilation, groups = int(rng.integers(1, 4)), int(rng.choice([1, c]))
    pad = int(rng.integers(0, (k - 1) * dilation + 1))
    return Convolution(c, k, stride, dilation, pad, groups)


def causal(rng: np.random.Generator, layers: int, frames: int) -> tuple[nn.Module, int]:
    """(a network over so many frames, which gives some, and its channels)."""
    c = int(rng.choice([2, 4, 6]))
    chosen: list[nn.Module] = []
    x = torch.zeros(1, c, frames)
    while len(chosen) < layers and x.shape[2] > LEAST:
        made = layer(rng, c).eval()
        with torch.no_grad():
            x = made(x)
        chosen.append(made)
    return nn.Sequential(*chosen).eval(), c


def push_all(stream: Stream, frames: Mapping[str, Array]) -> tuple[Array, ...]:
    """All output frames that are ready after these input frames, by the reference, concatenated."""
    ready = [run.ready for run in passes(stream, frames)]
    q = stream.network
    return tuple(
        np.concatenate([row[i] for row in ready], port.axis)
        if ready
        else np.zeros(q.graph.shape(port.name), q.dtype(port.name)).take([], port.axis)
        for i, port in enumerate(stream.outputs)
    )
