# SPDX-License-Identifier: Apache-2.0
"""Small networks for tests, importable as factories."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn


class Function(nn.Module):
    """A function of its input."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


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
    """For --factory tests.support.networks.small:make_small."""
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


class Sort(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sort(-1)[0]


class Peak(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cummax(1)[0]


class Unsupported(nn.Module):
    """A sort and a running maximum in between."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Linear(4, 4)
        self.sort = Sort()
        self.peak = Peak()

    def forward(self, x: Tensor) -> Tensor:
        return self.peak(self.sort(self.fine(x)))


def _conv_norm(c: int, k: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(c, k, size, stride, size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(k)]


MOBILE_STAGES = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *((128, 1),) * 5, (256, 2))


def mobilenet() -> nn.Module:
    """MobileNetV1 of width 0.25 for images of 96 x 96 (Visual Wake Words), 7.5 M MACs."""
    layers, c = [*_conv_norm(3, 8, 3, 2), nn.ReLU()], 8
    for k, stride in (*MOBILE_STAGES, (256, 1)):
        layers += [*_conv_norm(c, c, 3, stride, groups=c), nn.ReLU()]
        layers += [*_conv_norm(c, k, 1), nn.ReLU()]
        c = k
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 2))


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a short cut, itself a convolution where shapes change."""

    def __init__(self, c: int, k: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_conv_norm(c, k, 3, stride), nn.ReLU(), *_conv_norm(k, k, 3))
        self.short = nn.Conv2d(c, k, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.short(x))


def resnet8() -> nn.Module:
    """MLPerf Tiny's image classifier: images of 32 x 32 in 10 classes, 12.5 M MACs."""
    stem = [*_conv_norm(3, 16, 3), nn.ReLU()]
    stages = [Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2)]
    return nn.Sequential(*stem, *stages, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10))


def resnet18() -> nn.Module:
    """ResNet-18, 1000 classes, 11.7 M parameters."""
    layers: list[nn.Module] = [*_conv_norm(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    c = 64
    for k in (64, 128, 256, 512):
        layers += [Residual(c, k, 1 if k == c else 2), Residual(k, k, 1)]
        c = k
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def keywords() -> nn.Module:
    """MLPerf Tiny's keyword spotter: DS-CNN on 49 x 10 features, 12 words, 2.7 M MACs."""
    layers = [nn.ZeroPad2d((1, 1, 4, 5)), nn.Conv2d(1, 64, (10, 4), 2, bias=False)]
    layers += [nn.BatchNorm2d(64), nn.ReLU()]
    for _ in range(4):
        layers += [*_conv_norm(64, 64, 3, groups=64), nn.ReLU(), *_conv_norm(64, 64, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 12))


def autoencoder() -> nn.Module:
    """MLPerf Tiny's anomaly detector: 640 numbers through a neck of 8, 0.264 M MACs."""
    widths = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128)
    layers: list[nn.Module] = []
    for c, k in itertools.pairwise(widths):
        layers += [nn.Linear(c, k), nn.BatchNorm1d(k), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 640))


class Gestures(nn.Module):
    """The discrete-gestures network of the generic neuromotor interface, 6.48 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(16, 512, 21, 10)
        self.norm_before, self.norm_behind = nn.LayerNorm(512), nn.LayerNorm(512)
        self.lstm = nn.LSTM(512, 512, 3, batch_first=True)
        self.classes = nn.Linear(512, 9)

    def forward(self, x: Tensor) -> Tensor:
        features = torch.relu(self.conv(64 * x / (32 + x.abs())))
        steps, _ = self.lstm(self.norm_before(features.transpose(1, 2)))
        return self.classes(self.norm_behind(steps)).transpose(1, 2)


class Speaker(nn.Module):
    """An encoder of speakers: three LSTM layers of 256 units, the last h of the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
        self.embed = nn.Linear(256, 256)

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.lstm(x)
        return torch.relu(self.embed(steps[:, -1]))


class Silent(nn.Module):
    """SpeechNet of SilentWear (arXiv 2603.02847), built from its paper's table: 14 electrodes, 400
    samples, nine words; 15,489 parameters."""

    BLOCKS = (
        (8, (1, 4), (1, 8)),
        (16, (1, 16), (1, 4)),
        (16, (1, 8), (1, 4)),
        (32, (7, 1), (1, 1)),
        (32, (7, 1), (1, 1)),
    )  # channels, kernel, pool

    def __init__(self) -> None:
        super().__init__()
        layers, c = list[nn.Module](), 1
        for k, kernel, pool in self.BLOCKS:
            conv = nn.Conv2d(c, k, kernel, padding=(0, kernel[1] // 2))
            layers += [conv, nn.BatchNorm2d(k), nn.ReLU(), nn.MaxPool2d(pool)]
            c = k
        self.body, self.words = nn.Sequential(*layers), nn.Linear(c, 9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.words(self.body(x[:, None]).mean((2, 3)))


class Splines(nn.Module):
    """A layer of a Kolmogorov-Arnold network: a cubic B-spline of each input, and SiLU."""

    def __init__(self, inputs: int = 16, outputs: int = 16, intervals: int = 5) -> None:
        super().__init__()
        knots = (torch.arange(-3, intervals + 4) * 2 / intervals - 1) * 3
        self.register_buffer("knots", knots.expand(inputs, -1).contiguous())
        self.base, self.curves = (
            nn.Linear(inputs, outputs),
            nn.Linear(inputs * (intervals + 3), outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        knots, x1 = self.knots, x.unsqueeze(-1)
        assert isinstance(knots, Tensor)
        bases = ((x1 >= knots[:, :-1]) & (x1 < knots[:, 1:])).to(x.dtype)
        for k in range(1, 4):
            up = (x1 - knots[:, : -(k + 1)]) / (knots[:, k:-1] - knots[:, : -(k + 1)])
            down = (knots[:, k + 1 :] - x1) / (knots[:, k + 1 :] - knots[:, 1:-k])
            bases = up * bases[:, :, :-1] + down * bases[:, :, 1:]
        return self.base(nn.functional.silu(x)) + self.curves(bases.flatten(1))
