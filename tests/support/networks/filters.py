# SPDX-License-Identifier: Apache-2.0
"""Filters and trackers written as Python loops over time, which begin with any constant states."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

CHANNELS = 3
States = tuple[Tensor | float, ...]
Step = Callable[[Tensor, States], tuple[Tensor, States]]


def power(x: Tensor, s: States) -> tuple[Tensor, States]:
    a = 0.9 * s[0] + x * x
    return a, (a,)


def bounded(x: Tensor, s: States) -> tuple[Tensor, States]:
    h = torch.tanh(0.9 * s[0] + x)
    return h, (h,)


def without_mean(x: Tensor, s: States) -> tuple[Tensor, States]:
    m = 0.99 * s[0] + 0.01 * x
    return x - m, (m,)


def without_mean_before(x: Tensor, s: States) -> tuple[Tensor, States]:
    """The mean is updated by the result."""
    y = x - s[0]
    return y, (s[0] + 0.05 * y,)


def resonator(x: Tensor, s: States) -> tuple[Tensor, States]:
    y = 0.2 * x + 1.5 * s[0] - 0.7 * s[1]
    return y, (y, s[0])


def transposed_form(x: Tensor, s: States) -> tuple[Tensor, States]:
    """A biquad whose states are sums of earlier values."""
    y = 0.2 * x + s[0]
    return y, (1.5 * y + s[1] + 0.1 * x, 0.2 * x - 0.7 * y)


def outer(x: Tensor, s: States) -> tuple[Tensor, States]:
    m = 0.9 * s[0] + x.unsqueeze(2) * x.unsqueeze(1)
    return m, (m,)


def emphasis(x: Tensor, s: States) -> tuple[Tensor, States]:
    return x - 0.97 * s[0], (x,)


def dc_blocker(x: Tensor, s: States) -> tuple[Tensor, States]:
    y = x - s[0] + 0.9 * s[1]
    return y, (x, y)


def leak_per_channel(x: Tensor, s: States) -> tuple[Tensor, States]:
    h = torch.tensor([0.5, 0.7, 0.9]) * s[0] + x
    return h, (h,)


def gated(x: Tensor, s: States) -> tuple[Tensor, States]:
    g = torch.sigmoid(x)
    h = g * s[0] + (1 - g) * torch.tanh(x)
    return h, (h,)


def envelope(x: Tensor, s: States) -> tuple[Tensor, States]:
    h = torch.maximum(0.9 * torch.as_tensor(s[0]), x.abs())
    return h, (h,)


def normalised(x: Tensor, s: States) -> tuple[Tensor, States]:
    m = 0.9 * s[0] + 0.1 * x
    v = 0.9 * s[1] + 0.1 * (x - m) ** 2
    return (x - m) / torch.sqrt(v + 0.1), (m, v)


FORMS: dict[Step, int] = {  # step -> number of its states
    power: 1,
    bounded: 1,
    without_mean: 1,
    without_mean_before: 1,
    resonator: 2,
    transposed_form: 2,
    outer: 1,
    emphasis: 1,
    dc_blocker: 2,
    leak_per_channel: 1,
    gated: 1,
    envelope: 1,
    normalised: 2,
}
BEGINNINGS = ("zeros", "number", "vector", "parameter", "Python's zero", "Python's number")


class Filter(nn.Module):
    """A step over the rows of [1, T, 3], with a row of results for each."""

    def __init__(self, step: Step, beginning: str) -> None:
        super().__init__()
        self.step, self.beginning = step, beginning
        self.learnt = nn.Parameter(torch.tensor([[0.3, -0.2, 0.6]]).abs())

    def first(self) -> Tensor | float:
        shape = (1, *(CHANNELS,) * (1 + (self.step is outer)))
        made: dict[str, Callable[[], Tensor | float]] = {
            "zeros": lambda: torch.zeros(shape),
            "number": lambda: torch.full(shape, 0.5),
            "vector": lambda: torch.tensor([0.1, 0.4, 0.2]).expand(shape).clone(),
            "parameter": lambda: self.learnt.expand(shape),
            "Python's zero": lambda: 0.0,
            "Python's number": lambda: 0.5,
        }
        return made[self.beginning]()

    def forward(self, x: Tensor) -> Tensor:
        states: States = (self.first(),) * FORMS[self.step]
        found = []
        for row in x.unbind(1):
            y, states = self.step(row, states)
            found.append(y)
        return torch.stack(found, 1)
