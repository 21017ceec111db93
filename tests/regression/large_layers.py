# SPDX-License-Identifier: Apache-2.0
"""Drawn layers too large for L1: what a planner makes of them, with less L1 and with less L2 too.

python -m tests.regression.large_layers --models DIR --out FILE    arguments as of
                                                                   tests.regression.record
A simulation that takes longer than a minute is given up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.regression.networks import Entry, Made, noise
from tests.regression.record import main
from tests.support.networks.layers import Function, Layer, Rng, Steps, pick

SECONDS = 60.0  # that a simulation may take
SIZES: Mapping[str, Mapping[str, str]] = {
    "": {},
    ", 32 KiB of L1": {"l1": "32KiB"},
    ", 96 KiB of L2": {"l2": "96KiB"},
}

# --- recurrent ------------------------------------------------------------------------------------


def _recurrent(kind: type[nn.RNNBase], least: int, rng: Rng) -> Layer:
    units, features = int(rng.integers(least, 340)), pick(rng, 8, 30, 100, 256)
    steps, batch, both = pick(rng, 1, 2, 3), pick(rng, 1, 1, 2), rng.random() < 0.25
    return Layer(Steps(kind(features, units, bidirectional=both)), ((steps, batch, features),))


# --- convolutions ---------------------------------------------------------------------------------


def _kernel(rng: Rng) -> Layer:
    """An image hardly larger than the kernel."""
    c, k, h = pick(rng, 2, 3, 4, 6, 8), pick(rng, 3, 5, 8), int(rng.integers(9, 24))
    w = int(rng.integers(14_000, 22_000)) // (c * h)
    return Layer(nn.Conv2d(c, k, (h, w)), ((1, c, h + pick(rng, 0, 1, 2), w + pick(rng, 0, 3)),))


def _channels(rng: Rng) -> Layer:
    c, k, size, h = pick(rng, 400, 512, 700), pick(rng, 4, 10), pick(rng, 5, 7), pick(rng, 5, 6)
    return Layer(nn.Conv2d(c, k, size, pick(rng, 1, 2), size // 2), ((1, c, h, h),))


def _sequence(rng: Rng) -> Layer:
    c, k = pick(rng, 12, 32, 64), pick(rng, 4, 8, 9)
    size = int(rng.integers(9000, 24000)) // c
    return Layer(nn.Conv1d(c, k, size), ((1, c, size + int(rng.integers(0, 6))),))


def _dilated(rng: Rng) -> Layer:
    c, k, size = pick(rng, 32, 64, 100), pick(rng, 8, 16), pick(rng, 5, 9)
    dilation = int(rng.integers(130_000, 260_000)) // (c * (size - 1))
    frames = dilation * (size - 1) + 1 + int(rng.integers(0, 8))
    return Layer(nn.Conv1d(c, k, size, dilation=dilation), ((1, c, frames),))


def _depthwise(rng: Rng) -> Layer:
    c, size = pick(rng, 8, 16, 30), pick(rng, 61, 81, 101)
    h = size + pick(rng, 0, 1, 2)
    return Layer(nn.Conv2d(c, c, size, groups=c), ((1, c, h, h),))


# --- products -------------------------------------------------------------------------------------


def _linear(rng: Rng) -> Layer:
    c, k, rows = int(rng.integers(16_000, 60_000)), pick(rng, 4, 7, 10), pick(rng, 1, 1, 3)
    return Layer(nn.Linear(c, k), ((rows, c),))


def _product(rng: Rng) -> Layer:
    m, c, k = pick(rng, 2, 5, 8), int(rng.integers(16_000, 40_000)), pick(rng, 3, 4, 9)
    return Layer(Function(torch.matmul), ((1, m, c), (1, c, k)))


def _attention(rng: Rng) -> Layer:
    heads, rows, width = pick(rng, 1, 2), pick(rng, 4, 7), pick(rng, 8, 10, 16)
    keys = int(rng.integers(3_000, 4_700))
    shapes = ((1, heads, n, width) for n in (rows, keys, keys))
    return Layer(Function(F.scaled_dot_product_attention), tuple(shapes))


# --- rows and windows -----------------------------------------------------------------------------


def _softmax(rng: Rng) -> Layer:
    shape = (pick(rng, 1, 1, 2), int(rng.integers(29_000, 32_768)))
    return Layer(nn.Softmax(1) if rng.random() < 0.6 else nn.LogSoftmax(1), (shape,))


def _pool(rng: Rng) -> Layer:
    c, size = pick(rng, 2, 4, 8), int(rng.integers(190, 300))
    kind = nn.MaxPool2d if rng.random() < 0.5 else nn.AvgPool2d
    return Layer(kind(size, 1 + size // 2), ((1, c, size, size + pick(rng, 0, 1 + size // 2)),))


def _reduced(rng: Rng) -> Layer:
    shape = (int(rng.integers(120_000, 300_000)),)
    functions: tuple[Callable[[Tensor], Tensor], ...] = (
        lambda x: x.mean(0, keepdim=True),
        lambda x: x.sum(0, keepdim=True),
        lambda x: x.argmax(0, keepdim=True),
    )
    return Layer(Function(functions[int(rng.integers(3))]), (shape,))


def _each(rng: Rng) -> Layer:
    c = int(rng.integers(30_000, 40_000))
    return Layer(nn.PReLU(c), ((1, c, 2),))


def _moved(rng: Rng) -> Layer:
    shape = (pick(rng, 3, 5), int(rng.integers(100, 300)), int(rng.integers(100, 300)))
    order = [(2, 1, 0), (1, 0, 2), (2, 0, 1)][int(rng.integers(3))]
    return Layer(Function(lambda x: x.permute(order).contiguous()), (shape,))


class Spectrum(nn.Module):
    """Magnitudes of a long transform."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.register_buffer("window", torch.hann_window(length))

    def forward(self, x: Tensor) -> Tensor:
        n = self.length
        return torch.stft(x, n, n // 2, window=self.window, center=False, return_complex=True).abs()


def _spectrum(rng: Rng) -> Layer:
    length = pick(rng, 512, 1024)
    return Layer(Spectrum(length), ((1, length + pick(rng, 0, 1) * length // 2),))


# --- the table ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """Layers of a kind, and how many of them there are."""

    draw: Callable[[Rng], Layer]
    count: int


FAMILIES: Mapping[str, Family] = {
    "lstm": Family(partial(_recurrent, nn.LSTM, 176), 12),
    "gru": Family(partial(_recurrent, nn.GRU, 204), 10),
    "kernel": Family(_kernel, 10),
    "channels": Family(_channels, 8),
    "sequence": Family(_sequence, 8),
    "dilated": Family(_dilated, 7),
    "depthwise": Family(_depthwise, 6),
    "linear": Family(_linear, 8),
    "product": Family(_product, 8),
    "attention": Family(_attention, 4),
    "softmax": Family(_softmax, 5),
    "pool": Family(_pool, 7),
    "reduced": Family(_reduced, 6),
    "each channel": Family(_each, 2),
    "moved": Family(_moved, 3),
    "spectrum": Family(_spectrum, 3),
}


def made(family: str, index: int) -> Made:
    rng = np.random.default_rng((index, [*FAMILIES].index(family)))
    torch.manual_seed(index)
    layer = FAMILIES[family].draw(rng)
    samples = [noise(shape, 2, index + at) for at, shape in enumerate(layer.shapes)]
    return Made(layer.module.eval(), samples)


def _layers() -> Iterator[tuple[str, Entry]]:
    for family, of_it in FAMILIES.items():
        for index in range(of_it.count):
            name = f"{family} {index}"
            yield name, Entry(f"large {name}", partial(made, family, index))


@cache
def large_layers() -> Mapping[str, Entry]:
    pairs = [(name, entry, size) for name, entry in _layers() for size in SIZES]
    return {
        f"{name}{size}": Entry(entry.model, entry.make, **SIZES[size])
        for name, entry, size in pairs
    }


if __name__ == "__main__":
    sys.exit(main(large_layers, SECONDS))
