# SPDX-License-Identifier: Apache-2.0
"""Published networks of attention over windows of sEMG; sources in published.py."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.upstream.semg.blocks import Attention, Mean, Part, Permuted, Tokens, encoder, mlp


def bioformer() -> nn.Module:
    """[n, 14, 300] -> scores of 8 gestures: one block of eight heads."""
    layers = (nn.Conv1d(14, 64, 10, 10), Permuted(0, 2, 1), Tokens(30, 64, class_token=True))
    block = encoder(64, Attention(64, 8, 256, bias=False), *mlp(64, 128, 64))
    return nn.Sequential(*layers, block, Part(1, 0), nn.LayerNorm(64), nn.Linear(64, 8))


def tmc_vit() -> nn.Module:
    """[n, 1, 16, 40] -> scores of 18 gestures: convolutions, then a vision transformer."""
    layers: list[nn.Module] = []
    for ins, outs, side in ((1, 16, 8), (16, 32, 4), (32, 64, 2)):
        layers += [nn.Conv2d(ins, outs, side, padding="same"), nn.ReLU(), nn.BatchNorm2d(outs)]
    layers.insert(3, nn.MaxPool2d((1, 2)))
    layers += [nn.Conv2d(64, 64, 4, 4), nn.Flatten(2), Permuted(0, 2, 1), Tokens(20, 64)]
    layers += [encoder(64, Attention(64, 4, 256), *mlp(64, 128, 64), nn.GELU()) for _ in range(8)]
    return nn.Sequential(*layers, nn.LayerNorm(64), nn.Flatten(), *mlp(1280, 2048, 1024, 18))


class TraHGR(nn.Module):
    """Patches in time [n, 8, 600] and over electrodes [n, 25, 192] of a window of 200 samples
    that three filters made -> scores of 3 gestures."""

    def __init__(self) -> None:
        super().__init__()
        self.time = self._path(600, 8)
        self.features = self._path(192, 25)
        self.classes = nn.Sequential(nn.LayerNorm(144), nn.Linear(144, 3))

    @staticmethod
    def _path(ins: int, tokens: int) -> nn.Sequential:
        block = encoder(144, Attention(144, 8, 144), *mlp(144, 576, 144))
        start = (nn.Linear(ins, 144), Tokens(tokens, 144, class_token=True))
        return nn.Sequential(*start, block, Part(1, 0))

    def forward(self, time: Tensor, features: Tensor) -> Tensor:
        y: Tensor = self.classes(self.time(time) + self.features(features))
        return y


class ReactEMG(nn.Module):
    """[n, 600, 8] -> scores [n, 600, 4] of each step: samples beside as many masked actions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Conv1d(8, 128, 1)
        self.norm = nn.LayerNorm(128)
        self.kinds = nn.Parameter(0.02 * torch.randn(2, 128))
        self.actions = nn.Embedding(4, 128)
        self.place = nn.Parameter(0.02 * torch.randn(600, 128))
        layer = nn.TransformerEncoderLayer(
            128, 4, 512, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.classes = nn.Linear(128, 4)

    def forward(self, x: Tensor) -> Tensor:
        samples = self.norm(self.embedding(x.transpose(1, 2)).transpose(1, 2))
        masked = self.actions.weight[3] + self.kinds[1] + self.place
        tokens = torch.cat([samples + self.kinds[0] + self.place, masked.expand_as(samples)], 1)
        y: Tensor = self.classes(self.encoder(tokens)[:, 600:])
        return y


HAAR = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / math.sqrt(2)


class WaveletConv(nn.Module):
    """[n, width, rows, columns]: depthwise convolutions of three levels of a learned wavelet."""

    def __init__(self, width: int, levels: int = 3) -> None:
        super().__init__()
        self.width, four = width, 4 * width
        filters = torch.einsum("ai,bj->abij", HAAR, HAAR).reshape(4, 1, 2, 2).repeat(width, 1, 1, 1)
        self.apart, self.together = nn.Parameter(filters), nn.Parameter(filters.clone())
        self.base = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.base_scale = nn.Parameter(torch.ones(1, width, 1, 1))
        same = {"padding": 1, "groups": four, "bias": False}
        self.convs = nn.ModuleList(nn.Conv2d(four, four, 3, **same) for _ in range(levels))
        scales = (nn.Parameter(0.1 * torch.ones(1, four, 1, 1)) for _ in range(levels))
        self.scales = nn.ParameterList(scales)
        self.mixed = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        low, bands, sizes = x, [], []
        for conv, scale in zip(self.convs, self.scales, strict=True):
            rows, columns = low.shape[2:]
            sizes.append((rows, columns))
            even = F.pad(low, (0, columns % 2, 0, rows % 2))
            split = F.conv2d(even, self.apart, stride=2, padding=1, groups=self.width)
            band = scale * conv(split)
            bands.append(band.unflatten(1, (self.width, 4)))
            low = bands[-1][:, :, 0]
        found = torch.zeros_like(low)
        for band, (rows, columns) in zip(reversed(bands), reversed(sizes), strict=True):
            four = torch.cat([band[:, :, :1] + found[:, :, None], band[:, :, 1:]], 2).flatten(1, 2)
            whole = F.conv_transpose2d(four, self.together, stride=2, padding=1, groups=self.width)
            found = whole[:, :, :rows, :columns]
        y: Tensor = self.mixed(self.base_scale * self.base(x) + found)
        return y


class ClassToken(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.token.expand(len(x), -1, -1), x], 1)


def _patches(samples: int, width: int) -> list[nn.Module]:
    """[n, 1, rows, samples] -> [n, width, rows, patches]."""
    norm = (Permuted(0, 2, 3, 1), nn.LayerNorm(width), nn.GELU(), Permuted(0, 3, 1, 2))
    return [nn.Conv2d(1, width, (1, samples), (1, samples)), *norm]


def _rotary(hidden: int) -> nn.Module:
    return encoder(256, Attention(256, 8, 256, rotary=True), *mlp(256, hidden, 256))


def waveformer() -> nn.Module:
    """[n, 1, 8, 1000] -> scores of 6 gestures."""
    layers = [*_patches(50, 256), WaveletConv(256), nn.Flatten(2), Permuted(0, 2, 1)]
    layers += [ClassToken(256), *(_rotary(256) for _ in range(6))]
    norms = (nn.LayerNorm(256), Part(1, 0), nn.LayerNorm(256))
    return nn.Sequential(*layers, *norms, nn.Linear(256, 6))


class CrossScale(nn.Module):
    """A band [n, 16, 1, samples] by channels, and by what earlier bands have."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        hidden = 4 * width
        self.wide = nn.Conv2d(width, hidden, 1)
        self.taps = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.share, self.narrow = nn.Conv2d(hidden, 1, 1), nn.Conv2d(hidden, width, 1)
        self.sigma = nn.Parameter(1e-5 * torch.ones(1, hidden, 1, 1))
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor, earlier: list[Tensor]) -> Tensor:
        y = F.gelu(self.taps(self.wide(x)))
        y = y - F.gelu(self.share(y))
        y = self.narrow(y + self.sigma * y)
        if not earlier:
            return y
        q = y.flatten(2).transpose(1, 2)
        keys = torch.cat([band.flatten(2).transpose(1, 2) for band in earlier], 1)
        found, _ = self.attention(q, keys, keys, need_weights=False)
        return y + self.scale * found.transpose(1, 2).reshape(y.shape)


class WaveletBands(nn.Module):
    """[n, 8, samples] -> [n, 32, samples]: three bands and the rest, by gates."""

    def __init__(self, channels: int = 8, taps: int = 16, wavelets: int = 5) -> None:
        super().__init__()
        ends = {"padding": taps // 2, "groups": channels, "bias": False}
        pairs = [
            [nn.Conv1d(channels, channels, taps, **ends) for _ in "lh"] for _ in range(wavelets)
        ]
        self.wavelets = nn.ModuleList(nn.ModuleList(pair) for pair in pairs)
        choice = (nn.Linear(channels, 128), nn.ReLU(), nn.Linear(128, wavelets))
        self.choice = nn.Sequential(Mean(2), *choice, nn.Softmax(1))
        self.qkv = nn.ModuleList(nn.Linear(channels, channels) for _ in range(3))
        self.levels = nn.ModuleList(CrossScale(2 * channels) for _ in range(3))
        self.weights = nn.Parameter(0.1 * torch.ones(3))

    def _gate(self, x: Tensor) -> Tensor:
        q, k, v = (linear(x.mean(-1)).unflatten(1, (4, -1)) for linear in self.qkv)
        shares = (q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])).softmax(-1)
        return torch.sigmoid((shares @ v).flatten(1))[..., None]

    def _halves(self, x: Tensor) -> list[Tensor]:
        chosen = self.choice(x)[:, :, None, None]
        both = ([conv(x)[..., ::2] for conv in pair] for pair in self.wavelets)
        low, high = (torch.stack(half, 1) for half in zip(*both, strict=True))
        spread = [(chosen * half).sum(1) for half in (low, high)]
        return [F.interpolate(half, size=x.shape[-1], mode="nearest") for half in spread]

    def forward(self, x: Tensor) -> Tensor:
        rest, detail, bands, earlier = x, torch.zeros_like(x), [], []
        for level, weight in zip(self.levels, self.weights, strict=True):
            gate, (low, high) = self._gate(rest), self._halves(rest)
            mixed = (gate * rest + (1 - gate) * low, gate * detail + (1 - gate) * high)
            band = torch.cat(mixed, 1)[:, :, None]
            rest, detail = (band + weight * level(band, earlier))[:, :, 0].chunk(2, 1)
            earlier = [*earlier, band]
            bands.append(detail)
        return torch.cat([*bands, rest], 1)


def _waves(count: int, width: int) -> Tensor:
    angle = torch.arange(count)[:, None] * 10000.0 ** -(torch.arange(width // 2) / (width // 2))
    return torch.cat([angle.sin(), angle.cos()], 1)


class Places(nn.Module):
    """[n, rows * columns, width] plus sine waves of row and column."""

    waves: Tensor

    def __init__(self, rows: int, columns: int, width: int) -> None:
        super().__init__()
        of_row = _waves(rows, width // 2).repeat_interleave(columns, 0)
        self.register_buffer(
            "waves", torch.cat([of_row, _waves(columns, width // 2).repeat(rows, 1)], 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.waves


def physiowave() -> nn.Module:
    """[n, 8, 1024] -> scores of 6 gestures."""
    layers = [WaveletBands(), nn.Unflatten(1, (1, 32)), *_patches(64, 256)]
    layers += [nn.Flatten(2), Permuted(0, 2, 1), Places(32, 16, 256)]
    layers += [_rotary(1024) for _ in range(6)]
    return nn.Sequential(*layers, nn.LayerNorm(256), Mean(1), nn.LayerNorm(256), *mlp(256, 512, 6))
