# SPDX-License-Identifier: Apache-2.0
"""Stacks of cells that run step by step: each layer reads the one before it in the same step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

INPUTS, WIDTH = 8, 36
States = tuple[Tensor, Tensor]


def fired(product: Tensor, h: Tensor, c: Tensor) -> States:
    """A leaky neuron: c is its potential, h its events."""
    c = 0.9 * c - 0.7 * h + product
    return (c > 0.7).to(c.dtype), c


def mixed(product: Tensor, h: Tensor, c: Tensor) -> States:
    """A gated unit."""
    gate = torch.sigmoid(product + c)
    return torch.tanh(gate * h + (1 - gate) * product), 0.5 * c + 0.1 * h


def summed(product: Tensor, h: Tensor, c: Tensor) -> States:
    """A leaky sum, which is linear in its states."""
    return 0.6 * h + 0.3 * product, c


def delayed(product: Tensor, h: Tensor, c: Tensor) -> States:
    """A unit that reads its result of two steps before."""
    return torch.tanh(product + 0.5 * c), h


CELLS: dict[str, Callable[[Tensor, Tensor, Tensor], States]] = {
    "fired": fired,
    "mixed": mixed,
    "summed": summed,
    "delayed": delayed,
}


class Stack(nn.Module):
    """Layers of cells over rows [1, T, INPUTS]: a row for each step, or the last layer's states.

    cells   name of each layer's cell
    own     layers with a second product, of their own result
    skips   layers that read the step's row beside the layer before
    back    whether the first layer reads the last layer's result of the step before
    last    whether only the final state is a result
    """

    def __init__(
        self,
        cells: Sequence[str],
        *,
        own: Sequence[int] = (),
        skips: Sequence[int] = (),
        back: bool = False,
        last: bool = False,
    ) -> None:
        super().__init__()
        self.cells, self.own, self.skips, self.back, self.last = cells, own, skips, back, last
        ins = [INPUTS + WIDTH * back, *[WIDTH] * (len(cells) - 1)]
        self.layers = nn.ModuleList(
            nn.Linear(n + INPUTS * (at in skips), WIDTH) for at, n in enumerate(ins)
        )
        self.recurrent = nn.ModuleDict({f"{at}": nn.Linear(WIDTH, WIDTH) for at in own})

    def forward(self, x: Tensor) -> Tensor:
        states = [(x.new_zeros(1, WIDTH), x.new_zeros(1, WIDTH)) for _ in self.cells]
        rows = []
        for row in x.unbind(1):
            h = torch.cat([row, states[-1][0]], 1) if self.back else row
            for at, (cell, layer) in enumerate(zip(self.cells, self.layers, strict=True)):
                y = layer(torch.cat([h, row], 1) if at in self.skips else h)
                y = y + self.recurrent[f"{at}"](states[at][0]) if at in self.own else y
                states[at] = CELLS[cell](y, *states[at])
                h = states[at][0]
            rows.append(h)
        return torch.cat(states[-1], 1) if self.last else torch.stack(rows, 1)
