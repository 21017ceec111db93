# SPDX-License-Identifier: Apache-2.0
"""Networks of single layers side by side: what the cost model is fitted to, and what judges it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

LAYERS = 10  # of a network
BUDGETS = ("128KiB", "96KiB", "72KiB")
Rng = np.random.Generator


@dataclass(frozen=True)
class Layer:
    """A module and the shapes of what it is given, channels last.

    ids   number of different integers that are given; 0: floats
    """

    module: nn.Module
    shapes: tuple[tuple[int, ...], ...]
    ids: int = 0


class Last(nn.Module):
    """A module over images or sequences that takes and gives channels last."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.movedim(-1, 1)).movedim(1, -1)


class Function(nn.Module):
    """A function of its inputs."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *xs: Tensor) -> Tensor:
        return self.function(*xs)


class Side(nn.Module):
    """Layers that have nothing to do with each other."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer.module for layer in layers)
        self.counts = [len(layer.shapes) for layer in layers]

    def forward(self, *xs: Tensor) -> tuple[Tensor, ...]:
        found, at = [], 0
        for layer, count in zip(self.layers, self.counts, strict=True):
            found.append(layer(*xs[at : at + count]))
            at += count
        return tuple(found)


def pick(rng: Rng, *values: int) -> int:
    return int(rng.choice(values))


def activated(rng: Rng, layer: nn.Module) -> nn.Module:
    """With what is often fused behind it."""
    kinds = (nn.Identity(), nn.ReLU(), nn.ReLU(), nn.ReLU6(), nn.SiLU())
    return nn.Sequential(layer, kinds[int(rng.integers(len(kinds)))])


def conv(rng: Rng) -> Layer:
    c, k, h = (
        pick(rng, 8, 16, 20, 32, 64, 128),
        pick(rng, 8, 16, 30, 32, 64),
        pick(rng, 4, 8, 15, 16),
    )
    w, size, stride = h + pick(rng, -2, 0, 0, 5), pick(rng, 3, 3, 3, 5), pick(rng, 1, 1, 2)
    c = min(c, 32) if size == 5 else c  # more do not fit the smallest budget
    pad = pick(rng, 0, size // 2, size // 2) if h > size else size // 2
    pad = pad if w >= size else size // 2
    made = nn.Conv2d(c, k, size, stride, pad)
    return Layer(Last(activated(rng, made)), ((1, h, w + (size == 5) * 2, c),))


def first(rng: Rng) -> Layer:
    c, k, h = pick(rng, 1, 2, 3, 3), pick(rng, 8, 16, 24), pick(rng, 16, 32, 48)
    made = nn.Conv2d(c, k, 3, pick(rng, 1, 1, 2), 1)
    return Layer(Last(activated(rng, made)), ((1, h, h, c),))


def pointwise(rng: Rng) -> Layer:
    c, k, h = pick(rng, 8, 16, 32, 64, 192), pick(rng, 16, 32, 50, 64, 128), pick(rng, 3, 6, 12, 20)
    made = nn.Conv2d(c, k, 1, pick(rng, 1, 1, 1, 2))
    return Layer(Last(activated(rng, made)), ((1, h, h, c),))


def depthwise(rng: Rng) -> Layer:
    c, h = pick(rng, 8, 16, 32, 64, 128, 255), pick(rng, 3, 6, 12, 16, 24)
    size, stride = pick(rng, 3, 3, 3, 5), pick(rng, 1, 1, 2)
    made = nn.Conv2d(c, c, size, stride, size // 2, groups=c)
    return Layer(Last(activated(rng, made)), ((1, h, h, c),))


def sequence(rng: Rng) -> Layer:
    c, k, n = pick(rng, 1, 4, 16, 32, 64), pick(rng, 16, 32, 48), pick(rng, 64, 100, 256)
    size = pick(rng, 3, 5, 21)
    made = nn.Conv1d(c, k, size, pick(rng, 1, 1, 2), size // 2)
    return Layer(Last(activated(rng, made)), ((1, n, c),))


def linear(rng: Rng) -> Layer:
    c, k = pick(rng, 10, 64, 128, 192, 256, 640), pick(rng, 2, 10, 64, 128, 200, 256)
    rows = pick(rng, 1, 1, 1, 3, 16, 64, 100)
    return Layer(activated(rng, nn.Linear(c, k)), ((rows, c),))


def product(rng: Rng) -> Layer:
    m, c, k = (pick(rng, 16, 33, 64, 128) for _ in range(3))
    heads = pick(rng, 1, 3)
    return Layer(Function(torch.matmul), ((heads, m, c), (heads, c, k)))


def pool(rng: Rng) -> Layer:
    c, h, size = pick(rng, 8, 16, 32, 64, 30), pick(rng, 8, 14, 28), pick(rng, 2, 2, 2, 3)
    kind = nn.MaxPool2d if rng.random() < 0.5 else nn.AvgPool2d
    return Layer(Last(kind(size, 2, size // 3)), ((1, h, h, c),))


def whole(rng: Rng) -> Layer:
    """One result of all positions."""
    c, h = pick(rng, 16, 64, 100, 256), pick(rng, 3, 7, 8)
    return Layer(Last(nn.AdaptiveAvgPool2d(1)), ((1, h, h, c),))


def total(rng: Rng) -> Layer:
    shape = ((64, 96), (10, 200), (200, 33))[int(rng.integers(3))]
    axis = pick(rng, 0, 1)
    return Layer(Function(lambda x: x.mean(axis)), (shape,))


def pair(rng: Rng) -> Layer:
    shape = (1, pick(rng, 4, 8, 16, 32), pick(rng, 8, 16, 31), pick(rng, 16, 32, 64))
    kind = rng.random()
    if kind < 0.4:
        return Layer(Function(torch.add), (shape, shape))
    if kind < 0.6:
        return Layer(Function(lambda a, b: torch.relu(a + b)), (shape, shape))
    other = shape if kind < 0.8 else (1, 1, 1, shape[-1])
    return Layer(Function(torch.mul), (shape, other))


def table(rng: Rng) -> Layer:
    kinds = (nn.Tanh(), nn.GELU(), nn.Sigmoid())
    return Layer(kinds[int(rng.integers(3))], ((pick(rng, 1, 16, 40), pick(rng, 32, 200, 640)),))


def channels(rng: Rng) -> Layer:
    c, h = pick(rng, 12, 32, 64), pick(rng, 6, 12, 16)
    kind = nn.PReLU(c) if rng.random() < 0.5 else nn.BatchNorm2d(c)
    return Layer(Last(kind), ((1, h, h, c),))


def row(rng: Rng) -> Layer:
    shape = (pick(rng, 1, 10, 64, 100), pick(rng, 10, 64, 100))
    kind = nn.Softmax(1) if rng.random() < 0.7 else nn.LogSoftmax(1)
    return Layer(kind, (shape,))


def norm(rng: Rng) -> Layer:
    rows, c = pick(rng, 1, 20, 100), pick(rng, 64, 192, 30)
    kind = nn.LayerNorm(c) if rng.random() < 0.7 else nn.RMSNorm(c)
    return Layer(kind, ((rows, c),))


def moved(rng: Rng) -> Layer:
    shape = (pick(rng, 3, 12, 32), pick(rng, 16, 50, 96), pick(rng, 4, 32, 33))
    if rng.random() < 0.5:
        order = [(0, 2, 1), (1, 0, 2), (2, 0, 1)][int(rng.integers(3))]
        return Layer(Function(lambda x: x.permute(order).contiguous()), (shape,))
    return Layer(Function(lambda a, b: torch.cat([a, b], 2)), (shape, shape))


KINDS = (
    *(conv, conv, conv, first, first, pointwise, pointwise, pointwise, depthwise, depthwise),
    *(depthwise, sequence, sequence, linear, linear, linear, product, pool, pool, whole, total),
    *(pair, pair, table, channels, row, norm, moved),
)


def drawn(seed: int) -> tuple[Side, tuple[tuple[int, ...], ...], str]:
    """(network, shapes of its inputs, L1 that it may take)."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    kinds = rng.permutation(len(KINDS))[:LAYERS]
    layers = [KINDS[i](rng) for i in kinds]
    shapes = tuple(shape for layer in layers for shape in layer.shapes)
    return Side(layers).eval(), shapes, BUDGETS[seed % len(BUDGETS)]


class Steps(nn.Module):
    """A recurrent layer: h of every step."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x)[0]
        return found


# Kind, features, units, steps, batch; a single step is what streams run frame by frame.
RECURRENT = (
    *((nn.LSTM, 16, 32, 1, 1), (nn.LSTM, 64, 64, 1, 1), (nn.LSTM, 33, 30, 2, 1)),
    *((nn.LSTM, 8, 100, 3, 1), (nn.LSTM, 96, 96, 6, 2), (nn.LSTM, 64, 64, 64, 1)),
    *((nn.GRU, 16, 32, 1, 1), (nn.GRU, 40, 96, 1, 1), (nn.GRU, 8, 8, 5, 1)),
    *((nn.GRU, 12, 48, 2, 4), (nn.GRU, 30, 20, 12, 2), (nn.GRU, 16, 32, 16, 1)),
)


def recurrent(index: int) -> tuple[Steps, tuple[int, int, int]]:
    """(network, shape of its input)."""
    kind, features, units, steps, batch = RECURRENT[index]
    torch.manual_seed(index)
    return Steps(kind(features, units)).eval(), (steps, batch, features)


REFERENCE = (
    *range(24),
    *range(100, 106),
    *range(300, 324),
    *range(700, 712),
    *range(900, 924),
)  # seeds of what is fitted
HELD_OUT = tuple(range(924, 936))  # and of what only judges
