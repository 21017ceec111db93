# SPDX-License-Identifier: Apache-2.0
"""Building blocks that published sEMG networks share, each a few lines of torch."""

from __future__ import annotations

import functools
import itertools
import operator

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Sum(nn.Module):
    """The sum of what branches make of the same input; a residual block has an Identity."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return functools.reduce(operator.add, (branch(x) for branch in self.branches))


class Concatenated(nn.Module):
    """What branches make of the same input, one behind the other along axis 1."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Permuted(nn.Module):
    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.axes)


class Mean(nn.Module):
    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.axes)


class Part(nn.Module):
    """Items start to stop along an axis, or the one at start."""

    def __init__(self, axis: int, start: int, stop: int | None = None) -> None:
        super().__init__()
        self.axis, self.start, self.stop = axis, start, stop

    def forward(self, x: Tensor) -> Tensor:
        if self.stop is None:
            return x.select(self.axis, self.start)
        return x.narrow(self.axis, self.start, self.stop - self.start)


class Flip(nn.Module):
    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return x.flip(self.axis)


class LastStep(nn.Module):
    """A recurrent layer [n, steps, features], of which the last step is read."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x, _ = layer(x)
        return x[:, -1]


class Causal(nn.Conv1d):
    """Conv1d that sees no later sample: as many steps as its input."""

    def __init__(self, ins: int, outs: int, taps: int, dilation: int = 1) -> None:
        super().__init__(ins, outs, taps, dilation=dilation)
        self.before = dilation * (taps - 1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (self.before, 0)))


class Tokens(nn.Module):
    """[n, tokens, width] plus a learned place of each, behind a learned class token if any."""

    def __init__(self, tokens: int, width: int, class_token: bool = False) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(1, 1, width)) if class_token else None
        self.place = nn.Parameter(torch.randn(1, tokens + class_token, width))

    def forward(self, x: Tensor) -> Tensor:
        if self.first is not None:
            x = torch.cat([self.first.expand(len(x), -1, -1), x], 1)
        return x + self.place


class Attention(nn.Module):
    """Self-attention of [n, tokens, width].

    inside   features of all heads together
    bias     whether queries, keys and values have one
    rotary   whether queries and keys are rotated by their place, pairs side by side
    """

    def __init__(
        self, width: int, heads: int, inside: int, *, bias: bool = True, rotary: bool = False
    ) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.qkv = nn.Linear(width, 3 * inside, bias=bias)
        self.out = nn.Linear(inside, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.rotary:
            q, k = _rotated(q), _rotated(k)
        heads = F.scaled_dot_product_attention(q, k, v)
        y: Tensor = self.out(heads.transpose(1, 2).reshape(n, tokens, -1))
        return y


def _rotated(x: Tensor) -> Tensor:
    tokens, width = x.shape[-2:]
    rates = 10000.0 ** -(torch.arange(0, width, 2) / width)
    angle = torch.arange(tokens)[:, None] * rates
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = (even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos())
    return torch.stack(turned, -1).flatten(-2)


def encoder(width: int, attention: nn.Module, *mlp: nn.Module) -> nn.Sequential:
    """A transformer's block, normed before its two parts."""
    return nn.Sequential(
        Sum(nn.Identity(), nn.Sequential(nn.LayerNorm(width), attention)),
        Sum(nn.Identity(), nn.Sequential(nn.LayerNorm(width), *mlp)),
    )


def mlp(*widths: int) -> list[nn.Module]:
    """Linear layers, a GELU between two."""
    layers: list[nn.Module] = []
    for ins, outs in itertools.pairwise(widths):
        layers += [nn.Linear(ins, outs), nn.GELU()]
    return layers[:-1]


def conv2d(ins: int, outs: int, kernel: tuple[int, int], pad: bool = True) -> list[nn.Module]:
    """A convolution, a batch norm and a ReLU; pad: as large as the input (odd kernels)."""
    padding = (kernel[0] // 2, kernel[1] // 2) if pad else 0
    return [nn.Conv2d(ins, outs, kernel, padding=padding), nn.BatchNorm2d(outs), nn.ReLU()]
