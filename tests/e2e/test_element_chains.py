# SPDX-License-Identifier: Apache-2.0
"""Chains of element-wise operators in whole networks: one layer, exact, in few cycles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from tests.conftest import save_exported


class Function(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *x: Tensor) -> Tensor:
        return self.function(*x)


def five(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return torch.tanh(x * y + z) * z + x


def ten(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    a = x * y + z
    b = a * x - y
    c = torch.maximum(b, z) * y + x
    return (c * z + b) * a


def built(function: Callable[..., Tensor], count: int, folder: Path) -> myoedge.Build:
    shapes = [(1, count)] * 3
    example = tuple(torch.zeros(shape) for shape in shapes)
    model = save_exported(Function(function).eval(), example, folder / "m.pt2")
    rng = np.random.default_rng(3)
    draw = [rng.standard_normal((8, *shape)).astype(np.float32) for shape in shapes]
    calib = dict(zip(("x_0", "x_1", "x_2"), draw, strict=True))
    return myoedge.build(model, calib=calib, output=folder / "out", simulate=True)


@pytest.mark.parametrize(
    ("function", "count", "cycles_max"),
    [
        (ten, 64, 3_000),  # 8,970 as ten layers
        pytest.param(ten, 4096, 40_000, marks=pytest.mark.slow),  # 68,004
        pytest.param(five, 64, 2_000, marks=pytest.mark.slow),  # 5,294
        pytest.param(five, 4096, 20_000, marks=pytest.mark.slow),  # 23,508
    ],
)
def test_a_chain_is_one_layer_of_few_cycles(
    function: Callable[..., Tensor], count: int, cycles_max: int, tmp_path: Path
) -> None:
    build = built(function, count, tmp_path)
    (layer,) = build.report["layers"]
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert len(layer["members"]) >= 4
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference
    assert layer["cycles"] <= cycles_max


class Carried(nn.Module):
    """A loop that reads its state early and late, with the next state in between."""

    def __init__(self) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.rand(16) * 0.5)
        self.gain = nn.Parameter(torch.rand(16))
        self.next = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        state, results = x.new_zeros(1, 16), []
        for row in x.unbind(1):
            early = state * self.decay + row
            state = torch.tanh(self.next(state) + row)
            results.append(early * state + state * self.gain)
        return torch.stack(results, 1)


def test_a_chain_does_not_read_a_state_after_its_next_value(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = save_exported(Carried().eval(), (torch.zeros(1, 20, 16),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((6, 1, 20, 16)).astype(np.float32)
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", simulate=False)
    assert build.report["exact"]["host"]
    assert any(len(row["members"]) > 1 for row in build.report["layers"])
