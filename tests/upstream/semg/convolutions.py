# SPDX-License-Identifier: Apache-2.0
"""Published networks of convolutions over electrodes and samples; sources in published.py."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.upstream.semg.blocks import Concatenated, LastStep, Mean, Part, Permuted, Sum, conv2d


class PReLUEach(nn.Module):
    """A slope for each element, as Keras' PReLU has."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full(shape, 0.25))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x) - self.slope * F.relu(-x)


def effie() -> nn.Module:
    """[n, 1, 8, 32] -> scores of 7 gestures."""
    layers: list[nn.Module] = []
    for ins, outs, columns, rows in ((1, 48, 30, 6), (48, 96, 13, 4)):
        layers += [nn.Conv2d(ins, outs, 3), nn.ReLU(), nn.BatchNorm2d(outs)]
        layers += [PReLUEach(outs, rows, columns), nn.MaxPool2d((1, 2))]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(96 * 4 * 6, 7))


def multi_stream() -> nn.Module:
    """[n, 10, 20] -> scores of 52 gestures: a network for each electrode, then one of all."""

    def stream(electrode: int) -> nn.Module:
        layers: list[nn.Module] = [Part(1, electrode, electrode + 1)]
        for ins, outs, taps in ((1, 32, 3), (32, 32, 3), (32, 64, 1), (64, 64, 1)):
            layers += [nn.Conv1d(ins, outs, taps, padding=taps // 2), nn.BatchNorm1d(outs)]
            layers.append(nn.ReLU())
        return nn.Sequential(*layers, nn.Flatten())

    layers: list[nn.Module] = []
    for ins, outs in ((12800, 512), (512, 512), (512, 128)):
        layers += [nn.Linear(ins, outs), nn.BatchNorm1d(outs), nn.ReLU()]
    return nn.Sequential(Concatenated(*map(stream, range(10))), *layers, nn.Linear(128, 52))


def emager() -> nn.Module:
    """Mean absolute values [n, 1, 4, 16] -> scores of 6 gestures."""
    layers: list[nn.Module] = []
    for ins, side in ((1, 3), (32, 3), (32, 5)):
        layers += [nn.Conv2d(ins, 32, side, padding=side // 2), nn.ReLU(), nn.BatchNorm2d(32)]
    layers += [nn.Flatten(), nn.Linear(2048, 256), nn.ReLU(), nn.BatchNorm1d(256)]
    return nn.Sequential(*layers, nn.Linear(256, 6))


def adann() -> nn.Module:
    """[n, 1, 10, 151] -> scores of 11 gestures: six convolutions over time."""
    layers: list[nn.Module] = []
    for ins in (1, 64, 64, 64, 64, 64):
        layers += [nn.Conv2d(ins, 64, (1, 26)), nn.BatchNorm2d(64), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(640, 11))


def _prelu2d(ins: int, outs: int, kernel: tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(ins, outs, kernel), nn.BatchNorm2d(outs), nn.PReLU(outs))


def slow_fusion() -> nn.Module:
    """Wavelet coefficients [n, 12 steps, 8 electrodes, 7 scales] -> scores of 7 gestures."""

    def early(first: int) -> nn.Module:
        layers = (_prelu2d(3, 8, (3, 3)), _prelu2d(8, 12, (3, 3)))
        return nn.Sequential(Part(1, first, first + 3), *layers)

    def late(first: int) -> nn.Module:
        return nn.Sequential(Sum(early(first), early(first + 3)), _prelu2d(12, 24, (3, 2)))

    layers: list[nn.Module] = [nn.BatchNorm2d(12), nn.PReLU(12), Sum(late(0), late(6))]
    layers += [_prelu2d(24, 48, (2, 2)), nn.Flatten()]
    for ins in (48, 100):
        layers += [nn.Linear(ins, 100), nn.BatchNorm1d(100), nn.PReLU(100)]
    return nn.Sequential(*layers, nn.Linear(100, 7))


def enhanced_raw() -> nn.Module:
    """[n, 1, 8, 52] -> scores of 7 gestures."""
    layers: list[nn.Module] = []
    for ins, outs in ((1, 32), (32, 64)):
        layers += [*_prelu2d(ins, outs, (3, 5)), nn.MaxPool2d((1, 3))]
    layers += [nn.Flatten(), nn.Linear(1024, 500), nn.BatchNorm1d(500), nn.PReLU(500)]
    return nn.Sequential(*layers, nn.Linear(500, 7))


class MSHilbNet(nn.Module):
    """A Hilbert curve of samples [n, 10, 8, 8] -> probabilities of 53 gestures, at two scales."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(10)
        widths = ((10, 10), (32, 48), (32, 48))
        self.fine = nn.ModuleList(nn.Sequential(*conv2d(a, 32, (3, 3))) for a, _ in widths)
        self.coarse = nn.ModuleList(nn.Sequential(*conv2d(b, 32, (3, 3))) for _, b in widths)
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, 16, 2, 2), nn.BatchNorm2d(16), nn.ReLU()) for a, _ in widths
        )
        self.classes = nn.Conv2d(48, 53, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.norm(x)
        coarse = F.max_pool2d(fine, 2)
        for same, other, down in zip(self.fine, self.coarse, self.down, strict=True):
            fine, coarse = same(fine), torch.cat([other(coarse), down(fine)], 1)
        scores: Tensor = self.classes(coarse).mean((2, 3))
        return scores.softmax(-1)


def hilbert_vgg() -> nn.Module:
    """A Hilbert curve of samples [n, 10, 8, 8] -> scores of 53 gestures."""
    layers: list[nn.Module] = [*conv2d(10, 16, (3, 3))]
    for ins, outs in ((16, 16), (16, 32), (32, 64)):
        for before in (ins, outs):
            layers += [nn.Conv2d(before, outs, 3, padding=1), nn.ReLU()]
        layers.append(nn.AvgPool2d(2))
    return nn.Sequential(*layers, Mean(2, 3), nn.Linear(64, 53))


def libemg() -> nn.Module:
    """[n, 8, 50] -> probabilities of 5 gestures."""
    layers: list[nn.Module] = []
    for ins, outs in pairwise((8, 256, 128, 64)):
        layers += [nn.Conv1d(ins, outs, 5), nn.BatchNorm1d(outs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 38, 5), nn.Softmax(1))


def speech_net() -> nn.Module:
    """[n, 1, 14, 400] -> scores of 8 words and rest."""
    layers: list[nn.Module] = []
    shapes = ((1, 8, (1, 4), 8), (8, 16, (1, 16), 4), (16, 16, (1, 8), 4))
    for ins, outs, kernel, pool in (*shapes, (16, 32, (7, 1), 1), (32, 32, (7, 1), 1)):
        conv = nn.Conv2d(ins, outs, kernel, padding=(0, kernel[1] // 2))
        layers += [conv, nn.BatchNorm2d(outs), nn.ReLU(), nn.MaxPool2d((1, pool))]
    return nn.Sequential(*layers, Mean(2, 3), nn.Linear(32, 9))


class Reconstruction(nn.Module):
    """Spatial and channel reconstruction (SCConv) of [n, 16, rows, columns]."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(1 + torch.rand(16, 1, 1))
        self.bias = nn.Parameter(torch.zeros(16, 1, 1))
        self.squeezes = nn.ModuleList(nn.Conv2d(8, 4, 1, bias=False) for _ in range(2))
        self.grouped = nn.Conv2d(4, 16, (1, 3), padding=(0, 1), groups=2)
        self.mixed = nn.Conv2d(4, 16, 1, bias=False)
        self.low = nn.Conv2d(4, 12, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        groups = x.reshape(len(x), 4, -1)
        spread = groups.std(2, keepdim=True) + 1e-10
        normed = ((groups - groups.mean(2, keepdim=True)) / spread).reshape(x.shape)
        normed = normed * self.weight + self.bias
        gate = torch.sigmoid(normed * (self.weight / self.weight.sum())) >= 0.5
        told, rest = (gate * normed).chunk(2, 1), (~gate * normed).chunk(2, 1)
        halves = (told[0] + rest[1], told[1] + rest[0])
        up, low = (squeeze(half) for squeeze, half in zip(self.squeezes, halves, strict=True))
        both = torch.cat([self.grouped(up) + self.mixed(up), self.low(low), low], 1)
        left, right = (both.mean((2, 3), keepdim=True).softmax(1) * both).chunk(2, 1)
        return left + right


def _leg_start() -> list[nn.Module]:
    return [*conv2d(1, 16, (1, 5)), nn.MaxPool2d((1, 4)), Reconstruction()]


def _leg_over_time() -> list[nn.Module]:
    return [*conv2d(16, 32, (1, 3)), nn.MaxPool2d((1, 4))]


def _leg_rows() -> list[nn.Module]:
    layers = [*conv2d(64, 128, (3, 1)), nn.MaxPool2d((3, 1)), *conv2d(128, 256, (3, 1))]
    return [*layers, nn.AvgPool2d((3, 1)), nn.Flatten()]


def _leg_classes(ins: int) -> list[nn.Module]:
    return [nn.Linear(ins, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 5)]


def locomotion_cnn() -> nn.Module:
    """[n, 1, 9, 128] of a leg -> scores of 5 ways to walk."""
    layers = [*_leg_start(), *_leg_over_time(), *conv2d(32, 64, (1, 3)), nn.AvgPool2d((1, 8))]
    return nn.Sequential(*layers, *_leg_rows(), *_leg_classes(256))


def locomotion_bilstm() -> nn.Module:
    """[n, 1, 9, 128] of a leg -> scores of 5 ways to walk."""
    sizes = ((288, 64), (128, 128))
    rnns = (nn.LSTM(ins, units, batch_first=True, bidirectional=True) for ins, units in sizes)
    layers = [*_leg_start(), *_leg_over_time(), Permuted(0, 3, 2, 1), nn.Flatten(2)]
    return nn.Sequential(*layers, LastStep(*rnns), *_leg_classes(256))


def locomotion_transformer() -> nn.Module:
    """[n, 1, 9, 128] of a leg -> scores of 5 ways to walk: convolutions beside a transformer."""
    layer = nn.TransformerEncoderLayer(144, 4, 256, batch_first=True)
    tokens = (Permuted(0, 3, 2, 1), nn.Flatten(2), nn.TransformerEncoder(layer, 4), Mean(2))
    convs = [*_leg_over_time(), *conv2d(32, 64, (1, 3)), nn.MaxPool2d((1, 8)), *_leg_rows()]
    both = Concatenated(nn.Sequential(*convs), nn.Sequential(*tokens))
    return nn.Sequential(*_leg_start(), both, *_leg_classes(288))


def myo_features(classes: int = 5) -> nn.Module:
    """Features [n, 16] of a Myo -> scores."""
    layers = (nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(128, classes))


def descriptors() -> nn.Module:
    """Temporal-spatial descriptors [n, 385] -> scores of 11 gestures."""
    layers: list[nn.Module] = []
    for ins in (385, 200, 200):
        layers += [nn.Linear(ins, 200), nn.BatchNorm1d(200), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, nn.Linear(200, 11))


def spectrograms() -> nn.Module:
    """Spectrograms [n, 4 times, 10 electrodes, 24 frequencies] -> scores of 11 gestures."""
    layers: list[nn.Module] = []
    shapes = ((4, 16, (4, 7)), (16, 32, (3, 7)), (32, 64, (3, 7)), (64, 128, (3, 6)))
    for ins, outs, kernel in shapes:
        layers += [nn.Conv2d(ins, outs, kernel), nn.BatchNorm2d(outs), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, Mean(2, 3), nn.Linear(128, 11))


class RaulNet(nn.Module):
    """Samples [n, 2 filters, 108 electrodes of 3 grids, 192] -> 60 joint coordinates."""

    def __init__(self) -> None:
        super().__init__()
        gelu = nn.GELU(approximate="tanh")
        mixed = nn.Conv3d(32, 16, (3, 18, 18), dilation=(1, 2, 1))
        self.encoder = nn.Sequential(
            nn.Conv3d(2, 32, (1, 1, 31), (1, 1, 8), groups=2),
            *(gelu, nn.InstanceNorm3d(32), nn.CircularPad3d((0, 0, 9, 9, 2, 2)), mixed),
            *(gelu, nn.InstanceNorm3d(16), nn.Conv3d(16, 16, (3, 6, 1))),
            *(gelu, nn.InstanceNorm3d(16), nn.Flatten()),
        )
        self.mlp = nn.Sequential(
            *(nn.Linear(16 * 3 * 15 * 4, 64), gelu, nn.Linear(64, 64), gelu, nn.Linear(64, 60)),
        )

    def forward(self, x: Tensor) -> Tensor:
        grids = torch.stack(x.split(36, 2), 2)
        spread = grids.std((3, 4), keepdim=True) + 1e-15
        y: Tensor = self.mlp(self.encoder((grids - grids.mean((3, 4), keepdim=True)) / spread))
        return y
