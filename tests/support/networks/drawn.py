# SPDX-License-Identifier: Apache-2.0
"""Seeded random torch networks: layers with sensible weights, joined with what came before."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.ELU, nn.Hardswish, nn.LeakyReLU,
    nn.PReLU, nn.Softplus, nn.Mish,
)  # fmt: skip
LARGEST = 3000  # elements of a tensor
JOINS = ("replace", "replace", "replace", "add", "sub", "gate", "concat")


class Turned(nn.Module):
    """A module between a transpose of two axes and its way back."""

    def __init__(self, inner: nn.Module, a: int, b: int) -> None:
        super().__init__()
        self.inner, self.a, self.b = inner, a, b

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.transpose(self.a, self.b)).transpose(self.a, self.b)


class Attention(nn.Module):
    """Each position a mixture of all, weighted by their products, as in a transformer's head."""

    def forward(self, x: Tensor) -> Tensor:
        y = x.flatten(2)
        weights = (y.transpose(1, 2) @ y / math.sqrt(y.shape[1])).softmax(-1)
        return (y @ weights).reshape(x.shape)


def convolution(rng: np.random.Generator, x: Tensor) -> nn.Module:
    kind = (nn.Conv1d, nn.Conv2d)[x.dim() - 3]
    kernel = tuple(int(rng.integers(1, 1 + min(n, 5))) for n in x.shape[2:])
    dilation = tuple(
        int(rng.integers(1, 4)) if (k - 1) * 3 < n else 1
        for k, n in zip(kernel, x.shape[2:], strict=True)
    )
    groups = int(rng.choice([g for g in range(1, x.shape[1] + 1) if x.shape[1] % g == 0]))
    same = rng.random() < 0.6
    stride = tuple(1 if same else int(rng.integers(1, 4)) for _ in kernel)
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    padding = "same" if same else tuple(int(rng.integers(0, r + 1)) for r in reach)
    out = groups * int(rng.integers(1, 4)) if rng.random() < 0.5 else x.shape[1]
    bias = bool(rng.integers(2))
    return kind(x.shape[1], out, kernel, stride, padding, dilation, groups, bias)


def norm(rng: np.random.Generator, x: Tensor) -> nn.Module:
    return (nn.BatchNorm1d, nn.BatchNorm2d)[x.dim() - 3](x.shape[1])


def pool(rng: np.random.Generator, x: Tensor) -> nn.Module:
    rank = x.dim() - 2
    size = [int(rng.integers(1, 1 + min(n, 4))) for n in x.shape[2:]]
    if rng.random() < 0.3:
        adaptive = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)[rank - 1]
        return adaptive(size if rank > 1 else size[0])
    padding, ceil = [int(rng.integers(0, 1 + k // 2)) for k in size], bool(rng.integers(2))
    stride = [int(rng.integers(1, 1 + k)) for k in size]
    if rng.random() < 0.5:
        return (nn.MaxPool1d, nn.MaxPool2d)[rank - 1](size, stride, padding, ceil_mode=ceil)
    count = bool(rng.integers(2))
    return (nn.AvgPool1d, nn.AvgPool2d)[rank - 1](size, stride, padding, ceil, count)


def activation(rng: np.random.Generator, x: Tensor) -> nn.Module:
    return ACTIVATIONS[rng.integers(len(ACTIVATIONS))]()


def linear(rng: np.random.Generator, x: Tensor) -> nn.Module:
    """Over any axis but the first."""
    axis = int(rng.integers(1, x.dim()))
    out = x.shape[axis] if rng.random() < 0.5 else int(rng.integers(1, 9))
    inner = nn.Linear(x.shape[axis], out, bool(rng.integers(2)))
    return inner if axis == x.dim() - 1 else Turned(inner, axis, x.dim() - 1)


def padding(rng: np.random.Generator, x: Tensor) -> nn.Module:
    sides = [int(rng.integers(0, 3)) for _ in range(2 * (x.dim() - 2))]
    return (nn.ConstantPad1d, nn.ConstantPad2d)[x.dim() - 3](sides, float(rng.choice([0, 0.5])))


def other(rng: np.random.Generator, x: Tensor) -> nn.Module:
    if x.shape[1] % 2 == 0 and rng.random() < 0.4:
        return nn.GLU(1)
    positions = x[0, 0].numel()  # the share of each is at least a few 256ths
    if 1 < positions <= 32 and rng.random() < 0.8:
        return Attention()
    return nn.Softmax(int(rng.integers(1, x.dim())))


LAYERS = (
    convolution, convolution, convolution, norm, pool, activation, activation, linear, padding,
    other,
)  # fmt: skip


class Random(nn.Module):
    """[N, C, T] or [N, C, H, W]; one to three outputs.

    The layers that are drawn keep every tensor non-empty and small.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        batch = int(rng.choice([1, 1, 2, 3]))
        longest = 24 if rng.random() < 0.5 else 9
        spatial = [int(n) for n in rng.integers(4, longest, rng.integers(1, 3))]
        self.shape = (batch, int(rng.integers(1, 9)), *spatial)
        self.layers, self.plan = nn.ModuleList(), []
        made = [torch.zeros(self.shape)]
        for _ in range(int(rng.integers(2, 12))):
            self._grow(rng, made)
        self.narrow = nn.Linear(made[-1].shape[1], int(rng.integers(2, 7)))
        self.head = int(rng.integers(6))
        self.taps = sorted({int(i) for i in rng.integers(1, len(made) + 3, 2) if i < len(made)})
        _settle(self, rng)

    def _grow(self, rng: np.random.Generator, made: list[Tensor]) -> None:
        at = len(made) - 1 if rng.random() < 0.8 else int(rng.integers(len(made)))
        layer = LAYERS[rng.integers(len(LAYERS))](rng, made[at])
        y = layer.eval()(made[at])
        for join in (str(rng.choice(JOINS)), "replace"):
            fits = [i for i, x in enumerate(made) if _joins(join, x, y) and i != at]
            if fits or join == "replace":
                step = (at, join, int(rng.choice(fits)) if fits else 0)
                break
        z = _joined(step[1], made[step[2]], y)
        if 0 < z.numel() <= LARGEST:
            self.layers.append(layer)
            self.plan.append(step)
            made.append(z)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        made = [x]
        for layer, (at, join, with_) in zip(self.layers, self.plan, strict=True):
            made.append(_joined(join, made[with_], layer(made[at])))
        return (self._answer(made[-1]), *(made[i] for i in self.taps))

    def _answer(self, x: Tensor) -> Tensor:
        if self.head == 0:
            return x.flatten(1)
        scores = self.narrow(x.flatten(2).mean(2))
        if self.head == 1:
            return scores.softmax(-1)
        if self.head == 2:
            return scores.log_softmax(-1)
        return x.transpose(1, -1) if self.head == 3 else scores


def _joins(join: str, x: Tensor, y: Tensor) -> bool:
    if join == "concat":
        return x.dim() == y.dim() and (x.shape[0], *x.shape[2:]) == (y.shape[0], *y.shape[2:])
    return join != "replace" and x.shape == y.shape


def _joined(join: str, x: Tensor, y: Tensor) -> Tensor:
    if join == "add":
        return x + y
    if join == "sub":
        return x - y / 2  # what is alike does not cancel
    if join == "gate":
        return x * torch.sigmoid(y)
    return torch.cat([x, y], 1) if join == "concat" else y


def _settle(model: nn.Module, rng: np.random.Generator) -> None:
    """Weights that keep the size of what they are given, and statistics as training leaves them."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    for name, values in itertools.chain(model.named_parameters(), model.named_buffers()):
        if not values.is_floating_point():
            continue
        noise = torch.randn(values.shape, generator=generator)
        if name.endswith("running_var") or (name.endswith("weight") and values.dim() == 1):
            values.data = 0.25 + 0.75 * torch.rand(values.shape, generator=generator)
        elif values.dim() == 1:
            values.data = 0.2 * noise
        else:
            values.data = noise / math.sqrt(values[0].numel())


def windows(shape: Sequence[int], seed: int, count: int = 16) -> np.ndarray:
    """float32 [count, *shape], normal."""
    return np.random.default_rng(seed).standard_normal((count, *shape), np.float32)


class Recurrent(nn.Module):
    """An LSTM or a GRU of drawn sizes, one or two layers of one or both directions, and a head."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        inputs, units, frames = (int(n) for n in rng.integers((4, 8, 4), (130, 130, 24)))
        layers, directions = (int(n) for n in rng.integers(1, 3, 2))
        kind = (nn.LSTM, nn.GRU)[seed % 2]
        both = directions == 2
        self.shape = (1, frames, inputs)
        self.layers = kind(inputs, units, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(units * directions, int(rng.integers(2, 60)))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.layers(x)[0])
        return scores
