# SPDX-License-Identifier: Apache-2.0
"""Published networks of states: Mamba, S4, spiking neurons; sources in published.py."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.upstream.femba import Mamba


class MambaRegressor(nn.Module):
    """[n, 200, 12] -> 10 joint angles: five residual Mamba layers of one norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(12, 256, 3, padding=1)
        self.layers = nn.ModuleList(Mamba(256, 2) for _ in range(5))
        self.norm, self.angles = nn.LayerNorm(256), nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.conv(x.transpose(1, 2)).transpose(1, 2)
        for layer in self.layers:
            steps = self.norm(steps + layer(steps))
        y: Tensor = self.angles(steps.mean(1))
        return y


class DiagonalStates(nn.Module):
    """S4D in both directions as a convolution over all `steps`: [n, width, steps], same out."""

    def __init__(self, width: int, steps: int, states: int = 32) -> None:
        super().__init__()
        self.steps = steps
        self.log_step = nn.Parameter(torch.empty(width, 1, 1).uniform_(-6.9, -2.3))
        self.log_decay = nn.Parameter(torch.full((width, states, 1), math.log(0.5)))
        self.rate = nn.Parameter(math.pi * torch.arange(states)[:, None].repeat(width, 1, 1))
        self.c = nn.Parameter(torch.randn(2, 2, width, states, 1) / states)
        self.d = nn.Parameter(torch.randn(width, 1))
        self.out = nn.Sequential(nn.GELU(), nn.Conv1d(width, 2 * width, 1), nn.GLU(1))

    def _kernel(self) -> Tensor:
        time = torch.arange(self.steps) * self.log_step.exp()
        size, angle = torch.exp(-self.log_decay.exp() * time), self.rate * time
        real, imaginary = self.c.unbind(0)
        ahead, back = ((angle.cos() * real - angle.sin() * imaginary) * size).sum(2)
        return torch.cat([ahead.flip(1), back], 1)[:, None]

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (self.steps - 1, self.steps))
        y: Tensor = self.out(F.conv1d(padded, self._kernel(), groups=x.shape[1]) + self.d * x)
        return y


class StateSpeech(nn.Module):
    """[n, 256, 8] of 1 kHz -> scores [n, 32, 38] of characters: six S4 layers, three halved."""

    def __init__(self, width: int = 768, steps: int = 256) -> None:
        super().__init__()
        self.start = nn.Sequential(nn.Linear(8, width), nn.Softsign(), nn.Linear(width, width))
        lengths = [steps >> min(layer, 3) for layer in range(6)]
        self.states = nn.ModuleList(DiagonalStates(width, length) for length in lengths)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in lengths)
        self.classes = nn.Linear(width, 38)

    def forward(self, x: Tensor) -> Tensor:
        x = self.start(x)
        for number, (states, norm) in enumerate(zip(self.states, self.norms, strict=True)):
            x = norm(states(x.transpose(1, 2)).transpose(1, 2) + x)
            x = x[:, ::2] if number < 3 else x
        y: Tensor = self.classes(x)
        return y


class Spiking(nn.Module):
    """Events [n, steps, widths[0]] -> output [n, widths[-1]] by leaky integrate-and-fire neurons.

    leak, current   what remains of potential and of current from a step to the next
    threshold       at which a neuron fires; it then falls to zero, or by so much if `subtracts`
    fires           whether outputs are mean rates; else potentials of the last step
    """

    def __init__(
        self,
        *widths: int,
        leak: float,
        threshold: float,
        current: float = 0.0,
        subtracts: bool = False,
        fires: bool = True,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(widths))
        for layer, ins in zip(self.layers, widths, strict=False):  # so that neurons fire
            nn.init.normal_(layer.weight, std=2 * threshold / math.sqrt(ins))
        self.leak, self.current, self.threshold = leak, current, threshold
        self.subtracts, self.fires = subtracts, fires

    def _after(self, potential: Tensor, events: Tensor) -> Tensor:
        """The potential behind an event: what is subtracted counts whole in the next step."""
        if self.subtracts:
            return potential - events * (self.threshold / self.leak)
        return potential * (1 - events)

    def forward(self, x: Tensor) -> Tensor:
        potentials = [x.new_zeros(len(x), layer.out_features) for layer in self.layers]
        currents = list(potentials)
        rates = potentials[-1]
        for step in range(x.shape[1]):
            events = x[:, step]
            for number, layer in enumerate(self.layers):
                currents[number] = self.current * currents[number] + layer(events)
                potential = self.leak * potentials[number] + currents[number]
                events = (potential >= self.threshold).to(x.dtype)
                keeps = number == len(self.layers) - 1 and not self.fires
                potentials[number] = potential if keeps else self._after(potential, events)
            rates = rates + events
        return rates / x.shape[1] if self.fires else potentials[-1]
