# SPDX-License-Identifier: Apache-2.0
"""Comments of generated functions: what they compute, as formulas of their arrays."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.codegen.constants import heading
from myoedge.codegen.library import brought
from myoedge.numerics.pointwise import FUNCTIONS
from myoedge.operators.layer_names import chain_name
from myoedge.plan.schedule import make_plan
from myoedge.targets import find_chip
from tests.e2e.test_less_l2 import quantized
from tests.support.networks.small import Function

Network = Callable[[Tensor], Tensor]


def comments(function: Network) -> list[str]:
    x = torch.zeros(1, 4, 40)
    calib = np.random.default_rng(0).standard_normal((4, *x.shape), np.float32)
    network = quantized(torch.export.export(Function(function).eval(), (x,)), calib)
    texts = brought(make_plan(network, find_chip("gap9"))).items()
    sources = (text for name, text in texts if name.endswith(".c"))
    return [text.split("/* Layers")[1].split(" */")[0] for text in sources]


@pytest.mark.parametrize(
    ("function", "lines"),
    [
        (
            lambda x: torch.tanh((x - x.mean(2, keepdim=True)) * x),
            ["y = mean(x0)", "y = tanh(mul(sub(x0, x1), x0))"],
        ),
        (
            lambda x: (a := torch.softmax(x, 1))[..., 1:] * 2.0 - a[..., :-1],
            ["y = softmax(x0)", "y = sub(affine(2, 0)(x0|x1[:, :, 1:40]), x0|x1[:, :, 0:39])"],
        ),
        (
            lambda x: (d := x - x.mean(1, keepdim=True)) * torch.relu(d * x) + d.abs(),
            ["y = mean(x0)", "a = sub(x0, x1)", "y = add(mul(a, relu(mul(a, x0))), abs(a))"],
        ),
    ],
    ids=["one", "parts of one tensor", "read twice"],
)
def test_the_layers_are_formulas_of_arrays(function: Network, lines: list[str]) -> None:
    texts = comments(function)
    assert [line[2:].strip() for text in texts for line in text.splitlines()[1:]] == lines


JOINING = [name for name, f in FUNCTIONS.items() if "second" in inspect.signature(f).parameters]


@pytest.mark.parametrize("name", JOINING)
def test_chains_in_a_function_have_names(name: str) -> None:
    inner = (("affine", 2.0, 0.0), ("abs",))
    assert chain_name(((name, inner, ()),), " + ") == f"{name}(affine(2, 0) then abs, x)"


class Branches(nn.Module):
    """Two modules and a product, each on a line of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Softmax(-1), nn.LayerNorm(40)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        second = self.second(x)
        return first * second


def test_the_comment_of_a_layer_has_the_line_of_each_module() -> None:
    x = torch.zeros(1, 4, 40)
    calib = np.random.default_rng(0).standard_normal((4, *x.shape), np.float32)
    network = quantized(torch.export.export(Branches().eval(), (x,)), calib)
    (step,) = make_plan(network, find_chip("gap9")).steps
    lines = Path(__file__).read_text().splitlines()
    places = re.findall(r"(\w+) \(test_formulas_in_c\.py:(\d+)\)", heading(step))
    assert [path for path, _ in places] == ["first", "second"]
    for path, number in places:
        assert f"self.{path}(" in lines[int(number) - 1]
    (number,) = re.findall(r"\+ test_formulas_in_c\.py:(\d+)$", heading(step))
    assert "first * second" in lines[int(number) - 1]
