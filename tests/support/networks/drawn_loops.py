# SPDX-License-Identifier: Apache-2.0
"""Drawn recurrences written as Python loops, scans and streams, with states of odd widths, and
drawn convolutions: for engines and memories that make tiles small."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from tests.support.networks.layers import Rng

WIDTHS = (1, 2, 3, 5, 7, 8, 9, 12, 17, 24, 33)
States = tuple[Tensor, Tensor]
T = TypeVar("T")


def pick(rng: Rng, *values: T) -> T:
    return values[int(rng.integers(len(values)))]


class Cell(nn.Module):
    """The parameters of all recurrences of a width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.past, self.both = nn.Linear(width, width), nn.Linear(2 * width, width)
        self.gate, self.norm = nn.Linear(2 * width, width), nn.LayerNorm(width)
        self.lstm, self.gru = nn.LSTMCell(width, width), nn.GRUCell(width, width)


def mixed(cell: Cell, u: Tensor, h: Tensor, c: Tensor) -> States:
    z = torch.sigmoid(cell.gate(torch.cat([h, u], 1)))
    return z * h + (1 - z) * torch.tanh(cell.both(torch.cat([u, h * z], 1))), h - c


def spike(cell: Cell, u: Tensor, h: Tensor, c: Tensor) -> States:
    h = h * 0.9 + u
    fired = (h > 0.8).to(u.dtype)
    return h - fired * 0.8, c + fired


def attended(cell: Cell, u: Tensor, h: Tensor, c: Tensor) -> States:
    share = torch.softmax(cell.gate(torch.cat([h, u], 1)), -1)
    return h * (1 - share) + share * u, h


Step = Callable[[Cell, Tensor, Tensor, Tensor], States]
STEPS: dict[str, Step] = {
    "gate": mixed,
    "spike": spike,
    "attention": attended,
    "swap": lambda cell, u, h, c: (c * 0.9, torch.tanh(u + cell.past(h))),
    "sum": lambda cell, u, h, c: (h + torch.tanh(u) * 0.1, c + h * 0.05),
    "largest": lambda cell, u, h, c: (torch.maximum(h * 0.9, u), h),
    "decay": lambda cell, u, h, c: (h * 0.9 + u * 0.1, c),
    "linear": lambda cell, u, h, c: (torch.tanh(u + cell.past(h)), h - c),
    "outer": lambda cell, u, h, c: (torch.tanh(cell.past(h) * u) + h * 0.5, c),
    "norm": lambda cell, u, h, c: (cell.norm(cell.past(h) + u), c),
    "softmax": lambda cell, u, h, c: (torch.softmax(u + cell.past(h), -1), c),
    "lstm": lambda cell, u, h, c: cell.lstm(u, (h, c)),
    "gru": lambda cell, u, h, c: (cell.gru(u, h), c),
}


class Loop(nn.Module):
    """A recurrence over the rows of [1, T, C], forwards or backwards, from 0 or a parameter."""

    def __init__(self, rng: Rng, c: int, step: str) -> None:
        super().__init__()
        width = pick(rng, *WIDTHS)
        self.cell, self.enter, self.width = Cell(width), nn.Linear(c, width), width
        self.step, self.first = STEPS[step], nn.Parameter(torch.randn(1, width))
        self.starts, self.backwards = bool(rng.integers(2)), bool(rng.integers(2))
        self.leave = nn.Linear(width, pick(rng, 1, 3, 5, 8))
        self.all_states = bool(rng.integers(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor] | Tensor:
        h = self.first + 0 if self.starts else x.new_zeros(1, self.width)
        c, found = x.new_zeros(1, self.width), []
        for row in reversed(x.unbind(1)) if self.backwards else x.unbind(1):
            h, c = self.step(self.cell, self.enter(row), h, c)
            found.append(torch.tanh(self.leave(h)))
        rows = torch.stack(found, 1)
        return (rows, h) if self.all_states else rows


class Front(nn.Module):
    """Convolutions before a loop."""

    def __init__(self, rng: Rng, c: int, step: str) -> None:
        super().__init__()
        k = pick(rng, 8, 16, 24)
        self.convs = nn.Sequential(
            nn.Conv1d(c, k, 5, padding=2), nn.ReLU(), nn.Conv1d(k, k, 3, 2, 1)
        )
        self.loop = Loop(rng, k, step)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor] | Tensor:
        return self.loop(self.convs(x.mT).mT)  # type: ignore[no-any-return]


class Scan(nn.Module):
    """torch's scan over the rows of [1, T, C]."""

    def __init__(self, rng: Rng, c: int) -> None:
        super().__init__()
        width = pick(rng, *WIDTHS)
        self.enter, self.past = nn.Linear(c, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rows = self.enter(x).transpose(0, 1).contiguous()
        weight, bias = self.past.weight, self.past.bias

        def step(h: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
            h = torch.tanh(nn.functional.linear(h, weight, bias) + u)
            return h, h * 2

        state, found = scan(step, torch.zeros_like(rows[0]), rows)
        return found, state


class Frames(nn.Module):
    """Causal convolutions and a recurrent layer of [1, C, T]: what a stream can compute."""

    def __init__(self, rng: Rng, c: int) -> None:
        super().__init__()
        self.taps, width = pick(rng, 2, 3, 4), pick(rng, 4, 7, 16)
        self.conv = nn.Conv1d(c, width, self.taps)
        self.steps = pick(rng, nn.GRU, nn.LSTM)(width, 9, batch_first=True)
        self.head = nn.Linear(9, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv(nn.functional.pad(x, (self.taps - 1, 0))))
        return self.head(self.steps(y.mT)[0])  # type: ignore[no-any-return]


def images(rng: Rng) -> tuple[nn.Module, tuple[int, ...]]:
    """Convolutions of an image or a signal, in groups or depthwise, with residuals of any width."""
    rank, c = pick(rng, 1, 2), pick(rng, 1, 3, 8, 16, 33)
    kind, layers, first = (nn.Conv1d, nn.Conv2d)[rank - 1], [], c
    for _ in range(pick(rng, 2, 3, 4)):
        taps, own = pick(rng, 1, 3, 5), rng.random() < 0.3
        k = c if own else pick(rng, 8, 17, 24, 33)
        layers += [kind(c, k, taps, pick(rng, 1, 1, 2), taps // 2, groups=c if own else 1)]
        layers += [pick(rng, nn.ReLU, nn.GELU, nn.Identity)()]
        c = k
    sizes = (
        tuple(int(n) for n in rng.integers(9, 25, rank))
        if rank == 2
        else (int(rng.integers(33, 160)),)
    )
    return nn.Sequential(*layers), (1, first, *sizes)


@dataclass(frozen=True)
class Drawn:
    """A network, its input's shape, and options and myoedge.toml of its build."""

    model: nn.Module
    shape: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    toml: str = ""


WIDE = (
    "",
    "",
    '[quant]\n"*" = { activations = 16, weights = 16 }\n',
    '[quant]\n"*" = { weights = 16 }\n',
    '[quant]\n"*" = { activations = 16 }\n',
)


def rows(rng: Rng) -> tuple[nn.Module, tuple[int, ...]]:
    """A linear layer, or two, over few rows, most of which end inside a word."""
    c, k = pick(rng, 1, 2, 3, 5, 7, 9, 17), pick(rng, *WIDTHS)
    one, two = nn.Linear(c, 8 + k), nn.Sequential(nn.Linear(c, k), nn.ReLU(), nn.Linear(k, 24))
    return pick(rng, one, one, two), (int(rng.integers(1, 8)), c)


def drawn(seed: int) -> Drawn:
    """The network of a seed: loops with each step in turn, now and then something else."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    c, t, step = pick(rng, 1, 2, 3, 6, 8, 9), pick(rng, 3, 5, 8, 12), [*STEPS][seed % len(STEPS)]
    engine, l1 = pick(rng, "auto", "ne16", "ne16"), pick(rng, "14KiB", "16KiB", "20KiB", "128KiB")
    options, toml = {"engine": engine, "l1": l1}, pick(rng, *WIDE)
    frames = f"[stream]\naxis = 2\nframes = {pick(rng, 1, 2, 3)}\n"
    families: tuple[Callable[[], Drawn], ...] = (
        lambda: Drawn(Loop(rng, c, step), (1, t, c), options, toml),
        lambda: Drawn(Front(rng, c, step), (1, 2 * t, c), options, toml),
        lambda: Drawn(*images(rng), options, toml),
        lambda: Drawn(Scan(rng, c), (1, t, c), options, toml),
        lambda: Drawn(Frames(rng, c), (1, c, 24), {**options, "stream": True}, toml + frames),
        lambda: Drawn(*rows(rng), {**options, "engine": "ne16"}),
    )
    return families[seed % len(families)]()
