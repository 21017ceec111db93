# SPDX-License-Identifier: Apache-2.0
"""Published networks over time: causal convolutions, decoders; sources in published.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from myoedge.extensions.zoo.emg2qwerty import TDSConv2dBlock, TDSFullyConnectedBlock
from tests.upstream.semg.blocks import Causal, Concatenated, Flip, Mean, Permuted, Sum, mlp


class Weighed(nn.Module):
    """[n, width, steps] -> [n, width]: steps by their share, of a learned context."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width, bias=False)
        self.context = nn.Linear(width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        steps = x.transpose(1, 2)
        shares = self.context(torch.tanh(self.linear(steps))).softmax(1)
        return (shares * steps).sum(1)


def tcc_net(blocks: Sequence[Sequence[int]], *, attention: bool) -> nn.Module:
    """[n, 10, steps] -> scores of 53 gestures: residual blocks, each layer twice as dilated."""
    layers: list[nn.Module] = []
    ins, dilation = 10, 1
    for widths in blocks:
        body: list[nn.Module] = []
        for before, after in pairwise((ins, *widths)):
            body += [Causal(before, after, 3, dilation), nn.ReLU()]
            dilation *= 2
        layers.append(Sum(nn.Conv1d(ins, widths[-1], 1), nn.Sequential(*body)))
        ins = widths[-1]
    return nn.Sequential(*layers, Weighed(ins) if attention else Mean(2), nn.Linear(ins, 53))


def temponet() -> nn.Module:
    """[n, 14, 300] -> scores of 8 gestures."""
    layers: list[nn.Module] = []
    for (ins, width, outs), dilation, stride, pad in (
        *(((14, 32, 64), 2, 1, 2), ((64, 64, 128), 4, 2, 2), ((128, 128, 128), 8, 4, 4)),
    ):
        for before in (ins, width):
            conv = nn.Conv1d(before, width, 3, padding=dilation, dilation=dilation)
            layers += [conv, nn.ReLU(), nn.BatchNorm1d(width)]
        layers += [nn.Conv1d(width, outs, 5, stride, pad), nn.AvgPool1d(2)]
        layers += [nn.BatchNorm1d(outs), nn.ReLU()]
    layers.append(nn.Flatten())
    for ins, outs in ((640, 256), (256, 128)):
        layers += [nn.Linear(ins, outs), nn.ReLU(), nn.BatchNorm1d(outs)]
    return nn.Sequential(*layers, nn.Linear(128, 8))


def tadann() -> nn.Module:
    """[n, 1, 10, 150] -> scores of 11 gestures: causal in time, narrower over electrodes."""
    layers: list[nn.Module] = []
    for (ins, outs), dilation in zip(pairwise((1, 16, 32, 64)), (1, 2, 4), strict=True):
        conv = nn.Conv2d(ins, outs, (4, 10), dilation=(1, dilation))
        layers += [nn.ZeroPad2d((9 * dilation, 0, 0, 0)), conv]
        layers += [nn.BatchNorm2d(outs), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, Mean(2, 3), nn.Linear(64, 11))


def bitcn() -> nn.Module:
    """[n, 10, 20] -> scores of 52 gestures: the window, and the window reversed."""

    def path() -> list[nn.Module]:
        layers: list[nn.Module] = [nn.BatchNorm1d(10)]
        for (ins, outs), dilation in zip(pairwise((10, 16, 32, 64, 64)), (1, 1, 2, 2), strict=True):
            body = nn.Sequential(Causal(ins, outs, 3, dilation), nn.BatchNorm1d(outs), nn.ReLU())
            layers.append(Sum(body, nn.Identity() if ins == outs else nn.Conv1d(ins, outs, 1)))
        return [*layers, Mean(2)]

    both = Concatenated(nn.Sequential(*path()), nn.Sequential(Flip(2), *path()))
    return nn.Sequential(both, nn.Linear(128, 52))


def ed_tcn() -> nn.Module:
    """Features [n, 20 steps, 8] -> scores [n, 20, 3]: an encoder and a decoder over time."""
    layers: list[nn.Module] = [Permuted(0, 2, 1)]
    for ins, outs in ((8, 128), (128, 288)):
        layers += [nn.Conv1d(ins, outs, 25, padding=12), nn.ReLU(), nn.MaxPool1d(2)]
    for ins, outs in ((288, 288), (288, 128)):
        layers += [nn.Upsample(scale_factor=2), nn.Conv1d(ins, outs, 25, padding=12), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv1d(128, 3, 1), Permuted(0, 2, 1))


def _tcn(*widths: int) -> nn.Sequential:
    """Residual blocks of two causal convolutions (Bai et al., 2018)."""
    blocks: list[nn.Module] = []
    for number, (ins, outs) in enumerate(pairwise(widths)):
        convs = (Causal(before, outs, 3, 2**number) for before in (ins, outs))
        body = nn.Sequential(*(layer for conv in convs for layer in (conv, nn.ReLU())))
        skip = nn.Identity() if ins == outs else nn.Conv1d(ins, outs, 1)
        blocks += [Sum(body, skip), nn.ReLU()]
    return nn.Sequential(*blocks)


def kinematic_tcn() -> nn.Module:
    """[n, 200, 12] -> 10 joint angles."""
    tcn = _tcn(12, 32, 64, 64, 32, 10)
    return nn.Sequential(Permuted(0, 2, 1), tcn, nn.Flatten(), nn.Linear(2000, 10))


def _adapter() -> nn.Module:
    return Sum(nn.Identity(), nn.Sequential(*mlp(128, 64, 128)))


class LifelongNetwork(nn.Module):
    """[n, 12, 200] -> 10 joint angles: ten adapters, weighed by whom the sample resembles."""

    def __init__(self) -> None:
        super().__init__()
        self.general, self.personal = (_tcn(12, *[128] * 4) for _ in range(2))
        self.subjects = nn.ModuleList(_adapter() for _ in range(10))
        self.who = nn.Sequential(_adapter(), nn.Flatten(), nn.Linear(25600, 10), nn.Softmax(1))
        self.angles = nn.Sequential(_adapter(), nn.Flatten(), nn.Linear(25600, 10))

    def forward(self, x: Tensor) -> Tensor:
        steps = self.general(x).transpose(1, 2)
        shares = self.who(self.personal(x).transpose(1, 2))[:, :, None, None]
        each = torch.stack([subject(steps) for subject in self.subjects], 1)
        y: Tensor = self.angles((shares * each).sum(1))
        return y


class AttentiveBlock(nn.Module):
    """[n, ins, steps] -> [n, 25, steps]: attention, two causal convolutions, steps by share."""

    def __init__(self, ins: int, dilation: int) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(ins, 25), nn.Linear(ins, 25), nn.Linear(ins, ins)
        self.shortcut = nn.Conv1d(ins, 25, 1) if ins != 25 else nn.Identity()
        convs = [(Causal(n, 25, 15, dilation), nn.BatchNorm1d(25), nn.ReLU()) for n in (ins, 25)]
        self.convs = nn.Sequential(*(layer for conv in convs for layer in conv))

    def forward(self, x: Tensor) -> Tensor:
        steps = x.transpose(1, 2)
        later = torch.ones(x.shape[2], x.shape[2], dtype=torch.bool).triu(1)
        scores = (self.q(steps) @ self.k(steps).transpose(1, 2)).masked_fill(later, -math.inf)
        shares = (scores / 5).softmax(1)
        y = self.convs((shares @ self.v(steps)).transpose(1, 2))
        weighed = shares.sum(2).softmax(1)[:, None] * x
        return F.leaky_relu(y + self.shortcut(x) + self.shortcut(weighed))


class MultiFeatureTCN(nn.Module):
    """Two principal components of features, [n, 1, 100] each -> a joint's angle."""

    def __init__(self) -> None:
        super().__init__()
        paths = ((AttentiveBlock(n, by) for n, by in ((1, 1), (25, 2), (25, 4))) for _ in "ab")
        self.paths = nn.ModuleList(nn.Sequential(*path) for path in paths)
        self.ends = nn.ModuleList(nn.Linear(25, 1) for _ in "ab")
        self.angle = nn.Linear(2, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        pairs = zip(self.paths, self.ends, (first, second), strict=True)
        both = torch.cat([F.leaky_relu(end(path(x)[:, :, -1])) for path, end, x in pairs], 1)
        return F.leaky_relu(self.angle(both))


def _normed_conv(ins: int, taps: int, stride: int) -> list[nn.Module]:
    norm = (Permuted(0, 2, 1), nn.LayerNorm(256), Permuted(0, 2, 1))
    return [nn.Conv1d(ins, 256, taps, stride), nn.ReLU(), *norm]


def _time_depth(taps: int) -> list[nn.Module]:
    pairs = [(TDSConv2dBlock(16, 256, taps), TDSFullyConnectedBlock(256)) for _ in range(2)]
    return [Permuted(2, 0, 1), *(block for pair in pairs for block in pair), Permuted(1, 2, 0)]


class PoseTracking(nn.Module):
    """[n, 16, 2790] of 2 kHz and 20 joint angles before -> angles [n, 20, 25], 50 a second."""

    def __init__(self, steps: int = 25) -> None:
        super().__init__()
        self.steps = steps
        layers = [*_normed_conv(16, 11, 5), *_normed_conv(256, 5, 2), *_normed_conv(256, 17, 4)]
        layers += [*_time_depth(9), *_normed_conv(256, 9, 2), *_time_depth(5)]
        self.features = nn.Sequential(*layers, Permuted(0, 2, 1), nn.Linear(256, 64))
        decoder: list[nn.Module] = []
        for ins in (84, 512):
            decoder += [nn.Linear(ins, 512), nn.LayerNorm(512), nn.LeakyReLU()]
        self.decoder = nn.Sequential(*decoder, nn.Linear(512, 20))

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        frames = self.features(x).transpose(1, 2)
        frames = F.interpolate(frames, self.steps, mode="linear", align_corners=True)
        found = []
        for step in range(self.steps):
            angles = 0.01 * self.decoder(torch.cat([frames[:, :, step], angles], 1))
            found.append(angles)
        return torch.stack(found, 2)


class SplashNet(nn.Module):
    """Spectrograms [frames, n, 2 hands, 16, 6], normed over time -> log-probabilities of 99 keys.

    hidden     features of a hand
    channels   of the convolutions over 32 frames, a block each
    """

    def __init__(self, hidden: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(96, hidden), nn.ReLU())
        pairs = ((TDSConv2dBlock(c, hidden), TDSFullyConnectedBlock(hidden)) for c in channels)
        self.blocks = nn.Sequential(*(block for pair in pairs for block in pair))
        self.keys = nn.Linear(2 * hidden, 99)

    def forward(self, x: Tensor) -> Tensor:
        turned = torch.stack([x.roll(by, 3) for by in (-1, 0, 1)], 3).flatten(4)
        hands = self.blocks(self.mlp(turned).mean(3).flatten(1, 2))
        scores: Tensor = self.keys(hands.reshape(len(hands), x.shape[1], -1))
        return scores.log_softmax(-1)


def grasp_synergies() -> nn.Module:
    """Envelopes [n, 8] of a Myo -> 3 activations of a hand."""
    layers = (nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))
    return nn.Sequential(*layers, nn.ReLU(), nn.Linear(16, 3), nn.Sigmoid())
