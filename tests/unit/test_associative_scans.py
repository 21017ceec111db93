# SPDX-License-Identifier: Apache-2.0
"""torch's associative_scan, which export writes out in slices, is rolled where it is a recurrence;
any other builds as these slices."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch.nn.functional import softplus

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from tests.conftest import save_exported

WIDTH, STATES = 3, 2
Pair = tuple[Tensor, Tensor]


def linear(before: Pair, now: Pair) -> Pair:
    return before[0] * now[0], now[0] * before[1] + now[1]


def turned(before: Pair, now: Pair) -> Pair:
    """The same sums and products, the other way round."""
    return now[0] * before[0], now[1] + before[1] * now[0]


class Scanned(nn.Module):
    """Steps of an input along an axis, combined; `reverse` from the last one on."""

    def __init__(
        self,
        operands: Callable[[Tensor], Tensor | Pair],
        combine: Callable[..., Tensor | Pair],
        *,
        reverse: bool = False,
    ) -> None:
        super().__init__()
        self.operands, self.combine, self.reverse = operands, combine, reverse

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor | Pair = associative_scan(
            self.combine, self.operands(x), dim=1, combine_mode="generic", reverse=self.reverse
        )
        return found if isinstance(found, Tensor) else found[1]


def decayed(x: Tensor) -> Pair:
    return torch.sigmoid(x), x


def selective(x: Tensor) -> Pair:
    """Terms of two states for each factor."""
    return torch.sigmoid(x)[..., None], x[..., None] * torch.tanh(x[..., None, :STATES])


def constant(x: Tensor) -> Pair:
    """Factors that do not depend on the input."""
    return torch.linspace(0.1, 0.9, x.shape[1] * WIDTH).reshape(1, -1, WIDTH), x


def whole(x: Tensor) -> Tensor:
    return x


CASES = {
    "linear": (Scanned(decayed, linear), "scan"),
    "turned": (Scanned(decayed, turned), "scan"),
    "selective": (Scanned(selective, linear), "scan"),
    "constant": (Scanned(constant, linear), "scan"),
    "reverse": (Scanned(decayed, linear, reverse=True), "scan"),
    "product": (Scanned(whole, torch.mul), "scan"),
    "sum": (Scanned(whole, torch.add), "cumsum"),
}


def bounded(before: Tensor, now: Tensor) -> Tensor:
    return torch.tanh(before + now)


def of_other_factors(before: Pair, now: Pair) -> Pair:
    return before[0] * now[0], before[0] * before[1] + now[1]


def of_sums(before: Pair, now: Pair) -> Pair:
    return before[0] + now[0], now[0] * before[1] + now[1]


class Mamba(nn.Module):
    """A selective scan, the states of all steps at once."""

    def __init__(self) -> None:
        super().__init__()
        self.dt, self.bc = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * STATES)
        self.a_log = nn.Parameter(torch.randn(WIDTH, STATES))

    def forward(self, x: Tensor) -> Tensor:
        delta, (b, c) = softplus(self.dt(x))[..., None], self.bc(x).split(STATES, -1)
        decays = torch.exp(delta * -torch.exp(self.a_log))
        terms = delta * b[:, :, None] * x[..., None]
        found: Any = associative_scan(linear, (decays, terms), dim=1, combine_mode="generic")
        y: Tensor = (found[1] * c[:, :, None]).sum(-1)
        return y


OTHERS = {
    "largest": Scanned(whole, torch.maximum),
    "bounded": Scanned(whole, bounded),
    "other factors": Scanned(decayed, of_other_factors),
    "sums of factors": Scanned(decayed, of_sums),
    "constant sums of factors": Scanned(constant, of_sums),
}


def prepared(network: nn.Module, steps: int) -> Graph:
    """The network's graph, which computes what torch does."""
    x = torch.rand(1, steps, WIDTH, generator=torch.Generator().manual_seed(0)) + 0.5
    graph = prepare(from_exported(torch.export.export(network.eval(), (x,))))
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, network(x).detach().numpy(), rtol=1e-5, atol=1e-5)
    return graph


STEPS = [8, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 5, 6, 7, 13))]


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("name", CASES)
def test_an_associative_scan_is_one_operator(name: str, steps: int) -> None:
    network, op = CASES[name]
    ops = [node.op for node in prepared(network, steps).nodes]
    assert ops.count(op) == 1
    assert "mul" not in ops or name == "selective"  # whose terms are products


def test_states_of_all_steps_at_once_are_a_selective_scan() -> None:
    torch.manual_seed(0)
    ops = [node.op for node in prepared(Mamba(), 8).nodes]
    assert (ops.count("selective_scan"), ops.count("scan"), ops.count("mul")) == (1, 0, 0)


@pytest.mark.parametrize("steps", [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (5, 8))])
@pytest.mark.parametrize("name", OTHERS)
def test_any_other_is_its_slices(name: str, steps: int) -> None:
    graph = prepared(OTHERS[name], steps)
    behind = graph.producer[graph.outputs[0]]
    while behind.op in ("reshape", "transpose", "slice"):
        behind = graph.producer[behind.inputs[0]]
    assert behind.op == "concat"


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps_are_their_slices(steps: int) -> None:
    assert all(node.op != "scan" for node in prepared(CASES["linear"][0], steps).nodes)


def test_a_vmap_that_does_not_end_is_not_left_behind() -> None:
    program = torch.export.export(CASES["linear"][0].eval(), (torch.zeros(1, 4, WIDTH),))
    ends = [n for n in program.graph.nodes if "_decrement_nesting" in n.name]
    program.graph.erase_node(ends[-1])
    with suppress(MyoedgeError):
        from_exported(program)
    assert torch._C._functorch.get_dynamic_layer_stack_depth() == 0


def test_an_associative_scan_builds_from_an_archive(tmp_path: Path) -> None:
    x = torch.zeros(1, 9, WIDTH)
    save_exported(Scanned(selective, linear), (x,), tmp_path / "model.pt2")
    samples = np.random.default_rng(0).standard_normal((4, *x.shape)).astype(np.float32)
    build = myoedge.build(tmp_path / "model.pt2", calib=samples, output=tmp_path / "out")
    assert [layer["op"] for layer in build.report["layers"]].count("scan") == 1
    assert myoedge.validate(build, on=("host",)).exact["host"]


def test_what_is_interleaved_may_lose_an_axis() -> None:
    """Two halves that are no scan, read as fewer axes than they have."""

    class Interleaved(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x, x.sin()], 3).flatten()

    x = torch.randn(1, 3, 4)
    graph = prepare(from_exported(torch.export.export(Interleaved(), (x,))))
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, Interleaved()(x).numpy(), rtol=1e-6)
