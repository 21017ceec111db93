# SPDX-License-Identifier: Apache-2.0
"""Remedies of warnings about a network alone: each is applied to the input that the warning is
about, and the warning is gone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.numerics.arrays import Array
from tests.conftest import myoedge as command
from tests.conftest import save_exported
from tests.support.warning_rules import applies
from tests.unit.test_stated_widths import Small, settings


class Rectified(nn.Module):
    """A layer of positive weights, whose results are 0 for negative values."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        with torch.no_grad():
            self.layer.weight.fill_(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.layer(x))


class Filled(nn.Module):
    """Values of a layer, two of them hidden by a fill, and what reads them."""

    def __init__(self, fill: Callable[[Tensor], Tensor], end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.fill, self.end = nn.Linear(4, 4), fill, end
        self.register_buffer("hidden", torch.tensor([True, True, False, False]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        return self.end(torch.where(self.hidden, self.fill(x), x))


def warned(folder: Path, net: nn.Module, x: Array, code: str) -> list[tuple[str, ...]]:
    """Remedies of the warnings with this code."""
    example = (torch.from_numpy(x[0]),)
    model = save_exported(net, example, folder / "m.pt2")
    found = myoedge.quantize(model, calib={"x": x}).warnings
    return [warning.tries for warning in found if warning.code == code]


def drawn(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@applies("W101", "calibrate with", "look for")
def test_samples_of_every_class(tmp_path: Path) -> None:
    torch.manual_seed(0)
    positive = 2.0 + np.abs(drawn(40, 1, 4))
    (tries,) = warned(tmp_path, Rectified(), -positive, "W101")
    assert tries == ("calibrate with samples of every class", "look for a dying ReLU in training")
    both = np.concatenate([positive, -positive])
    assert not warned(tmp_path, Rectified(), both, "W101")
    dying = Rectified()
    with torch.no_grad():
        dying.layer.bias.fill_(-1e3)
    assert warned(tmp_path, dying, both, "W101")


@applies("W103", "fill with", "such a fill")
def test_a_fill_of_the_values_of_the_tensor(tmp_path: Path) -> None:
    """Also a softmax hides it."""
    torch.manual_seed(0)
    x, far = drawn(40, 1, 4), lambda y: torch.full_like(y, -1e9)
    (tries,) = warned(tmp_path, Filled(far, torch.sigmoid), x, "W103")
    assert tries[0].startswith("fill with a value of the tensor: torch.where(mask, x.amin(), x)")
    assert not warned(tmp_path, Filled(lambda y: y.amin(), torch.sigmoid), x, "W103")
    assert "only a softmax reads" in tries[1]
    assert not warned(tmp_path, Filled(far, lambda y: y.softmax(-1)), x, "W103")


@applies("W107", "patterns for")
def test_a_pattern_for_other_layers(tmp_path: Path) -> None:
    model = save_exported(Small().eval(), (torch.zeros(1, 4, 20),), tmp_path / "m.pt2")

    def tries(pattern: str) -> list[tuple[str, ...]]:
        rules = settings(tmp_path, f'"{pattern}" = {{ activations = 16 }}')
        found = myoedge.quantize(model, calib={"x": drawn(16, 1, 4, 20)}, config=rules)
        return [warning.tries for warning in found.warnings if warning.code == "W107"]

    ((line,),) = tries("*")
    shown = re.search(r"`myoedge (.*)`", line)
    assert shown is not None
    assert "16" in command(*shown[1].split(), cwd=tmp_path).out
    assert not tries("head*")


class Gated(nn.Module):
    """A written cell whose first state, zeros, meets a gate before a layer reads the product."""

    def __init__(self, *, is_memory: bool) -> None:
        super().__init__()
        self.gates, self.update = nn.Linear(4, 18), nn.Linear(6, 6, bias=False)
        self.is_memory = is_memory

    def forward(self, x: Tensor) -> Tensor:
        h, memory = torch.zeros(1, 1, 6), torch.zeros(1, 6, 6)
        for t in range(8):
            r, z, n = self.gates(x[:, t : t + 1]).chunk(3, -1)
            if self.is_memory:
                memory = memory + r.mT @ (z - n @ memory)
                h = n @ memory
            else:
                z = z.sigmoid()
                h = (1 - z) * (n + self.update(r.sigmoid() * h)).tanh() + z * h
        return h[:, 0]


@pytest.mark.parametrize("is_memory", [False, True], ids=["gate", "memory"])
def test_first_states_of_zeros_leave_no_dead_layers(tmp_path: Path, is_memory: bool) -> None:
    torch.manual_seed(0)
    assert not warned(tmp_path, Gated(is_memory=is_memory), drawn(40, 1, 8, 4), "W101")


class Silent(nn.Module):
    """An output that is a product with zeros, which no rewrite may turn into a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return (self.layer(x) * torch.zeros(1, 3)).tanh()


def test_outputs_that_are_always_zero_are_quantised(tmp_path: Path) -> None:
    assert not warned(tmp_path, Silent(), drawn(40, 1, 4), "W101")
