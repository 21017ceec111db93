# SPDX-License-Identifier: Apache-2.0
"""Layers of every kind over [1, channels, frames], drawn for networks of the campaign."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Rng = np.random.Generator
MOST_CHANNELS, MOST_FRAMES = 24, 40


class Function(nn.Module):
    """A function of one tensor, with the modules that it calls."""

    def __init__(self, call: Callable[..., Tensor], *inner: nn.Module) -> None:
        super().__init__()
        self.call, self.inner = call, nn.ModuleList(inner)

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x, *self.inner)


def pick(rng: Rng, *values: int) -> int:
    return values[int(rng.integers(len(values)))]


def convolution(rng: Rng, c: int, t: int) -> nn.Module:
    k, groups = pick(rng, 1, 1, 2, 3, 5), pick(rng, 1, 1, c, 2 if c % 2 == 0 else 1)
    out = c if groups > 1 else pick(rng, c, 1 + int(rng.integers(MOST_CHANNELS)))
    stride, dilation = pick(rng, 1, 1, 2), pick(rng, 1, 1, 2)
    reach = (k - 1) * dilation
    return nn.Conv1d(c, out, k, stride, int(rng.integers(0, reach + 1)), dilation, groups)


def plane(rng: Rng, c: int, t: int) -> nn.Module:
    """A convolution of two dimensions, which NE16 may run."""
    layer = nn.Conv2d(1, c, pick(rng, 1, 3), padding=pick(rng, 0, 1), groups=1)
    return Function(lambda x, f: f(x.unsqueeze(1)).mean(2), layer)


def transposed(rng: Rng, c: int, t: int) -> nn.Module:
    return nn.ConvTranspose1d(c, c, pick(rng, 2, 3), pick(rng, 1, 2))


def dense(rng: Rng, c: int, t: int) -> nn.Module:
    if rng.integers(2):
        return nn.Linear(t, 1 + int(rng.integers(MOST_FRAMES)), bool(rng.integers(2)))
    layer = nn.Linear(c, 1 + int(rng.integers(MOST_CHANNELS)))
    return Function(lambda x, f: f(x.mT).mT, layer)


ACTIVATIONS: tuple[Callable[[Tensor], Tensor], ...] = (
    *(F.relu, F.gelu, F.silu, torch.tanh, torch.sigmoid, F.elu, F.hardswish, F.softplus, F.mish),
    *(F.relu6, F.leaky_relu, F.selu, F.softsign, torch.sin, torch.cos, torch.erf, torch.atan),
    *(lambda x: x.abs().sqrt(), lambda x: x.abs().add(1.0).log(), lambda x: (x / 2).exp()),
    *(lambda x: x * x, lambda x: 1 / (1 + x.abs()), lambda x: x.clamp(-0.7, 1.1)),
    *(lambda x: 0.5 * x + 0.25, torch.floor, torch.sign, F.tanhshrink, lambda x: x.clamp(min=0.1)),
)


def activation(rng: Rng, c: int, t: int) -> nn.Module:
    return Function(ACTIVATIONS[int(rng.integers(len(ACTIVATIONS)))])


def prelu(rng: Rng, c: int, t: int) -> nn.Module:
    return nn.PReLU(pick(rng, 1, c))


def normalisation(rng: Rng, c: int, t: int) -> nn.Module:
    kind = int(rng.integers(5))
    if kind == 0:
        return nn.BatchNorm1d(c)
    if kind == 1:
        return nn.GroupNorm(pick(rng, 1, c), c)
    if kind == 2 and t > 1:
        return nn.InstanceNorm1d(c, affine=True)
    if kind == 3:
        return Function(lambda x, f: f(x.mT).mT, nn.RMSNorm(c))
    return Function(lambda x, f: f(x.mT).mT, nn.LayerNorm(c))


def recurrent(rng: Rng, c: int, t: int) -> nn.Module:
    kind = (nn.GRU, nn.LSTM, nn.RNN)[int(rng.integers(3))]
    units, layers = 1 + int(rng.integers(16)), pick(rng, 1, 1, 2)
    layer = kind(c, units, layers, batch_first=True, bidirectional=bool(rng.integers(2)))
    return Function(lambda x, f: f(x.mT)[0].mT, layer)


def _mask(rng: Rng, t: int) -> Tensor | None:
    """Keys that are seen: all, earlier ones, a band, some; or numbers that are added."""
    at, kind = torch.arange(t), int(rng.integers(5))
    distance = at[:, None] - at[None]
    if kind == 0:
        return None
    if kind == 1:
        return distance >= 0
    if kind == 2:
        return (distance >= 0) & (distance < pick(rng, 1, 2, 4))
    if kind == 3:
        return torch.from_numpy(rng.random((t, t)) < 0.6) | torch.eye(t, dtype=torch.bool)
    return -distance.abs() * pick(rng, 1, 2) / 4


class Heads(nn.Module):
    """Attention over frames: as one call, or written out, of heads of their own or shared keys."""

    def __init__(self, rng: Rng, c: int, t: int) -> None:
        super().__init__()
        self.heads, self.width = pick(rng, 1, 2, 3), pick(rng, 2, 4, 5, 8)
        self.whole, self.rest = bool(rng.integers(2)), bool(rng.integers(2))
        mask = _mask(rng, t)
        self.is_bias = mask is not None and mask.is_floating_point()
        self.register_buffer("mask", mask)
        self.qkv = nn.Linear(c, 3 * self.heads * self.width)
        self.out = nn.Linear(self.heads * self.width, c)

    def forward(self, x: Tensor) -> Tensor:
        n, _, t = x.shape
        qkv = self.qkv(x.mT).view(n, t, 3, self.heads, self.width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        if self.whole:
            y = F.scaled_dot_product_attention(q, k, v, self.mask)
        else:
            scores = q @ k.mT / math.sqrt(self.width)
            if self.is_bias:
                scores = scores + self.mask
            elif self.mask is not None:
                scores = scores.masked_fill(~self.mask, float("-inf"))
            y = scores.softmax(-1) @ v
        y = self.out(y.transpose(1, 2).reshape(n, t, -1)).mT
        return x + y if self.rest else y


def attention(rng: Rng, c: int, t: int) -> nn.Module:
    return Heads(rng, c, t)


def rotary(rng: Rng, c: int, t: int) -> nn.Module:
    half = max(c // 2, 1)
    angle = torch.arange(t)[None] * 0.3 ** torch.arange(half)[:, None]
    cos, sin = angle.cos(), angle.sin()

    def turned(x: Tensor) -> Tensor:
        a, b = x[:, :half], x[:, c - half :]
        return torch.cat([a * cos - b * sin, a * sin + b * cos], 1)

    return Function(turned)


def scan(rng: Rng, c: int, t: int) -> nn.Module:
    """A recurrence written as a loop, or a sum up to every frame."""
    if rng.integers(2):
        return Function(lambda x: x.cumsum(2) / t)
    keep = nn.Linear(c, c)

    def loop(x: Tensor, f: nn.Module) -> Tensor:
        a, h, made = torch.sigmoid(f(x.mT)).mT, torch.zeros_like(x[:, :, 0]), []
        for i in range(x.shape[2]):
            h = a[:, :, i] * h + (1 - a[:, :, i]) * x[:, :, i]
            made.append(h)
        return torch.stack(made, 2)

    return Function(loop, keep)


def selective(rng: Rng, c: int, t: int) -> nn.Module:
    """A selective scan as state-space models write it."""
    n = pick(rng, 1, 2, 4)
    a = -torch.from_numpy(rng.uniform(0.2, 2.0, (c, n))).float()
    inner = nn.Linear(c, c + 2 * n)

    def scanned(x: Tensor, f: nn.Module) -> Tensor:
        step, b, out = f(x.mT).split([c, n, n], 2)
        step = F.softplus(step)
        h, made = torch.zeros(1, c, n), []
        for i in range(x.shape[2]):
            h = (step[:, i, :, None] * a).exp() * h
            h = h + step[:, i, :, None] * b[:, i, None] * x[:, :, i, None]
            made.append((h * out[:, i, None]).sum(2))
        return torch.stack(made, 2)

    return Function(scanned, inner)


def pool(rng: Rng, c: int, t: int) -> nn.Module:
    k = min(pick(rng, 2, 3), t)
    stride, pad, ceil = pick(rng, 1, 2), pick(rng, 0, k // 2), bool(rng.integers(2))
    if rng.integers(2):
        return nn.MaxPool1d(k, stride, pad, ceil_mode=ceil)
    if rng.integers(3) == 0:
        return nn.AdaptiveAvgPool1d(min(pick(rng, 1, 2, 5), t))
    return nn.AvgPool1d(k, stride, pad, ceil, bool(rng.integers(2)))


def reduced(rng: Rng, c: int, t: int) -> nn.Module:
    """What a whole axis has in common, beside or around each of its elements."""
    axis = pick(rng, 1, 2)
    kinds: tuple[Callable[[Tensor], Tensor], ...] = (
        lambda x: x - x.mean(axis, keepdim=True),
        lambda x: x * torch.sigmoid(x.mean(axis, keepdim=True)),
        lambda x: x / (1 + x.var(axis, keepdim=True, unbiased=False)),
        lambda x: x - x.amax(axis, keepdim=True),
        lambda x: torch.cat([x, x.sum(axis, keepdim=True) / x.shape[axis]], axis),
        lambda x: x / (1 + x.norm(dim=axis, keepdim=True)),
    )
    return Function(kinds[int(rng.integers(len(kinds)))])


def moved(rng: Rng, c: int, t: int) -> nn.Module:
    at = torch.from_numpy(rng.integers(0, t, pick(rng, 2, t)))
    kinds: tuple[Callable[[Tensor], Tensor], ...] = (
        lambda x: x.flip(2),
        lambda x: x.roll(1, 2),
        lambda x: x[:, :, ::2],
        lambda x: x[:, c // 3 :],
        lambda x: x.index_select(2, at),
        lambda x: x.mT.contiguous(),
        lambda x: F.pad(x, (2, 1), value=0.3),
        lambda x: F.pad(x, (1, 1), mode="replicate"),
        lambda x: x.repeat_interleave(2, 2),
        lambda x: F.interpolate(x, scale_factor=2, mode="linear"),
        lambda x: F.interpolate(x, scale_factor=2, mode="nearest"),
        lambda x: x.unfold(2, 2, 1).flatten(1, 2).reshape(1, -1, t - 1) if t > 1 else x,
        lambda x: torch.cat([x, x.flip(1) / 2], 1),
    )
    return Function(kinds[int(rng.integers(len(kinds)))])


def pair(rng: Rng, c: int, t: int) -> nn.Module:
    """Two tensors of one shape, joined."""
    inner = nn.Conv1d(c, c, 3, padding=1)
    joins: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
        *(torch.add, torch.sub, torch.mul, torch.maximum, torch.minimum, torch.hypot),
        torch.atan2,
        lambda x, y: torch.where(x > 0.2, x, y),
        lambda x, y: x * torch.sigmoid(y),
        lambda x, y: torch.einsum("ncs,nct->nst", x, y) / c,
        lambda x, y: x @ y.mT / t,
        lambda x, y: torch.addcmul(x, x, y, value=0.5),
    )
    join = joins[int(rng.integers(len(joins)))]
    return Function(lambda x, f: join(x, f(x)), inner)


def shares(rng: Rng, c: int, t: int) -> nn.Module:
    axis = pick(rng, 1, 2)
    return Function(lambda x: x.softmax(axis) if axis == 1 else x.log_softmax(axis) / 4)


def spectrum(rng: Rng, c: int, t: int) -> nn.Module:
    if rng.integers(2):
        return Function(lambda x: torch.fft.rfft(x, dim=2).abs() / t)
    return Function(lambda x: torch.view_as_real(torch.fft.rfft(x, dim=2)).flatten(2) / t)


KINDS: tuple[Callable[[Rng, int, int], nn.Module], ...] = (
    *(convolution, convolution, convolution, plane, transposed, dense, dense, activation),
    *(activation, prelu, normalisation, normalisation, recurrent, recurrent, attention, attention),
    *(rotary, scan, selective, pool, reduced, moved, moved, pair, pair, shares, spectrum),
)
