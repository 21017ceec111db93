# SPDX-License-Identifier: Apache-2.0
"""Comments of generated functions: what they compute, as formulas of their arrays."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.codegen.formulas import formulas
from myoedge.codegen.library import brought
from myoedge.codegen.names import heading
from myoedge.numerics.pointwise import FUNCTIONS
from myoedge.operators.layer_names import chain_name
from myoedge.plan.l1.layer_kernels import candidates
from myoedge.plan.schedule import make_plan
from myoedge.targets import find_chip
from tests.e2e.test_less_l2 import quantized
from tests.ops.test_chains import Chain, drawn_chains
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
            ["y = mean(x0, axes=(2,), keepdim=True)", "y = tanh(mul(sub(x0, x1), x0))"],
        ),
        (
            lambda x: (a := torch.softmax(x, 1))[..., 1:] * 2.0 - a[..., :-1],
            [
                "y = softmax(x0, axis=1)",
                "x0, x1 = in0[:, :, 1:40], in0[:, :, 0:39]",
                "y = sub(affine(2, 0)(x0), x1)",
            ],
        ),
        (
            lambda x: (d := x - x.mean(1, keepdim=True)) * torch.relu(d * x) + d.abs(),
            [
                "y = mean(x0, axes=(1,), keepdim=True)",
                "a = sub(x0, x1)",
                "y = add(mul(a, relu(mul(a, x0))), abs(a))",
            ],
        ),
        (
            lambda x: torch.tanh(x[..., 1:40:3]) * x[..., :13],
            ["x0, x1 = in0[:, :, 1:38:3], in0[:, :, 0:13]", "y = mul(tanh(x0), x1)"],
        ),
        (
            lambda x: torch.tanh(x[..., 8:]) + 0.5,
            ["x0 = in0[:, :, 8:40]", "y = affine(1, 0.5)(tanh(x0))"],
        ),
    ],
    ids=["one", "parts of one tensor", "read twice", "in steps", "one part"],
)
def test_the_layers_are_formulas_of_arrays(function: Network, lines: list[str]) -> None:
    texts = comments(function)
    assert [line[2:].strip() for text in texts for line in text.splitlines()[1:]] == lines


def stated_parts(chain: Chain) -> list[dict[int, np.ndarray]]:
    """Which elements of operands a chain's comment states as read: operand -> truth values."""
    (kernel,) = candidates(chain.step, find_chip("gap9"))
    found: dict[int, np.ndarray] = {}
    for line in (line for line in formulas(chain.step, kernel) if line.startswith("x")):
        for number, cuts in re.findall(r"in(\d+)(?:\[([^]]*)\])?", line.rpartition(" = ")[2]):
            part = found.setdefault(int(number), np.zeros(chain.data[int(number)].shape, bool))
            indices = [[int(x) if x else None for x in cut.split(":")] for cut in cuts.split(", ")]
            part[tuple(slice(*cut) for cut in indices) if cuts else ...] = True
    return [found] if found else []


def test_only_stated_parts_of_an_operand_are_read() -> None:
    chains = [(chain, parts) for chain in drawn_chains(500) for parts in stated_parts(chain)]
    assert len(chains) > 20
    for chain, parts in chains:
        others = list(chain.data)
        for number, part in parts.items():
            assert not part.all()
            others[number] = np.where(part, others[number], ~others[number])
        for found, wanted in zip(
            replace(chain, data=tuple(others)).one_by_one(), chain.one_by_one(), strict=True
        ):
            np.testing.assert_array_equal(found, wanted)


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
