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

import myoedge
from myoedge.backends import host
from myoedge.backends.equivalence import cases, first_difference
from myoedge.backends.runner import runner_of
from myoedge.backends.samples import golden_sample
from myoedge.codegen.formulas import formulas
from myoedge.codegen.library import brought
from myoedge.codegen.names import heading
from myoedge.codegen.project import make_sources
from myoedge.nest.formula_parts import side_by_side
from myoedge.numerics.pointwise import FUNCTIONS
from myoedge.operators.interpreter import run_int
from myoedge.operators.layer_names import chain_name
from myoedge.plan.l1.layer_kernels import candidates
from myoedge.plan.schedule import make_plan
from myoedge.targets import find_chip
from tests.conftest import save_exported
from tests.e2e.test_less_l2 import quantized
from tests.ops.test_chains import Chain, drawn_chains
from tests.support.networks.loops import ClosedForm
from tests.support.networks.small import Function
from tests.unit.test_stream_loops import CHANNELS, quantized_over

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


# --- order of statements --------------------------------------------------------------------------


def test_of_many_arrays_values_are_loaded_where_they_are_read() -> None:
    """In the order of memory, each array's elements next to each other, and all before a result is
    written: it may be in the place of an operand."""

    def column(name: str) -> tuple[list[str], list[str]]:
        loads = [f"const int32_t {name}{n} = me_next_b(&x{n});" for n in range(6)]
        first = f"const int32_t {name}6 = {name}4 + {name}1;"
        return loads, [
            first,
            f"const int32_t {name}7 = {name}6 + {name}0;",
            f"me_put_b(&y, {name}7);",
        ]

    lines = side_by_side([column("v"), column("w")])
    defined = [line.split()[2] for line in lines if " = " in line]
    assert defined[:6] == ["v4", "w4", "v1", "w1", "v6", "w6"]
    assert defined[6:10] == ["v0", "w0", "v7", "w7"]
    assert defined[10:] == ["v2", "w2", "v3", "w3", "v5", "w5"]
    assert lines[-2:] == ["me_put_b(&y, v7);", "me_put_b(&y, w7);"]


# --- groups of layers -----------------------------------------------------------------------------


class Chained(nn.Module):
    """Element-wise layers of one group."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(torch.randn(CHANNELS)) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(x * torch.sigmoid(x) + self.a) * self.b + x
        return torch.maximum(y, self.c * x)


@pytest.mark.parametrize(("network", "most"), [(Chained, 4), (ClosedForm, 6)])
def test_stored_intermediates_equal_numpy(
    network: type[nn.Module], most: int, tmp_path: Path
) -> None:
    """After the last iteration of a loop, too."""
    torch.manual_seed(1)
    q, sample = quantized_over(network())
    plan = make_plan(q.traced, find_chip("gap9"))
    assert max(len(step.results) for step in plan.steps) >= most
    for path, text in make_sources(plan, "traced").files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    library = host.load_library(tmp_path, options=host.CompileOptions(defines=("ME_TRACE",)))
    specs = [(q.graph.shape(name), q.dtype(name)) for name in q.graph.outputs]
    with library.lock, host.traced(library) as written:
        host.run(library, [sample[name] for name in q.graph.inputs], specs)
    wanted = run_int(q.steps, q.constants, sample)
    results = [result.node.name for _, result in plan.results]
    assert len(written) >= most
    for number, data in written.items():
        name = results[number]
        found = np.frombuffer(data, q.dtype(name)).reshape(q.graph.shape(name))
        np.testing.assert_array_equal(found, wanted[name], name)


def test_validate_compares_what_a_traced_build_stores(tmp_path: Path) -> None:
    """The same network has one layer in its default build."""
    torch.manual_seed(1)
    x = torch.randn(1, 40, CHANNELS)
    model = save_exported(Chained().eval(), (x,), tmp_path / "model.pt2")
    np.savez(tmp_path / "calib.npz", x=np.concatenate([x.numpy()] * 4))
    given = {"calib": tmp_path / "calib.npz", "simulate": False}
    default, traced = (
        myoedge.build(model, output=tmp_path / str(is_traced), traced=is_traced, **given)
        for is_traced in (False, True)
    )
    assert len(default.results) < 3 <= len(traced.results)
    runs = cases(traced.network, None, [golden_sample(traced)])
    ((_, (layers, _)),) = runner_of("host").pairs(traced, runs)
    assert layers.keys() == {name for _, name in traced.results}
    assert first_difference(traced, [golden_sample(traced)]) == (1, None)
    assert first_difference(traced, [golden_sample(traced)], "simulator") == (1, None)
