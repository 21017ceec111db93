# SPDX-License-Identifier: Apache-2.0
"""Time-domain features as people write them are found, joined and scaled, and mean the same."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch

from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.operators.features.factors import (
    autocorrelations,
    features_of,
    groups_of,
    predictor_in_integers,
)
from myoedge.operators.graph_builder import GraphBuilder, slice_axis
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from tests.support.networks.small import Function

Tensor = torch.Tensor


def steps(x: Tensor) -> Tensor:
    return x[..., 1:] - x[..., :-1]


def lag(x: Tensor, k: int) -> Tensor:
    return (x[..., : x.shape[-1] - k] * x[..., k:]).sum(-1)


def turns(x: Tensor) -> Tensor:
    d = steps(x)
    large = (d[..., :-1].abs() >= 0.1) | (d[..., 1:].abs() >= 0.1)
    return ((d[..., :-1] * d[..., 1:] < 0) & large).float().sum(-1)


def columns(x: Tensor) -> Tensor:
    return (x[:, 1:] - x[:, :-1]).abs()


TESTS: dict[str, Callable[[Tensor], Tensor]] = {
    "zero crossings": lambda x: (
        ((x[..., :-1] * x[..., 1:] < 0) & (steps(x).abs() >= 0.1)).sum(-1).float()
    ),
    "slope sign changes": turns,
    "as one product": lambda x: (
        ((x[..., 1:-1] - x[..., :-2]) * (x[..., 1:-1] - x[..., 2:]) > 0.04).float().sum(-1)
    ),
    "jumps": lambda x: (steps(x).abs() > 0.5).float().mean(-1),
    "along another axis": lambda x: (columns(x.transpose(1, 2)) > 0.5).float().sum(1),
}
SUMS: dict[str, Callable[[Tensor], Tensor]] = {
    "waveform length": lambda x: steps(x).abs().sum(-1),
    "by torch.diff": lambda x: torch.diff(x, dim=-1).abs().mean(-1),
    "autocorrelation": lambda x: lag(x, 3),
    "squares of steps": lambda x: steps(x).square().sum(-1),
    "of samples without mean": lambda x: steps(x - x.mean(-1, keepdim=True)).abs().sum(-1),
    "along another axis": lambda x: columns(x.transpose(1, 2)).sum(1),
    "side by side": lambda x: torch.cat([steps(x).abs().sum(-1), lag(x, 1), x.mean(-1)], -1),
}
X = torch.tensor(np.random.default_rng(0).normal(size=(1, 3, 40)).astype(np.float32))


def prepared(module: torch.nn.Module, x: Tensor = X) -> Graph:
    """The graph after the passes, which has torch's values."""
    graph = prepare(from_exported(torch.export.export(module.eval(), (x,))))
    (output,) = graph.outputs
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[output]
    np.testing.assert_allclose(found, module(x).detach().numpy(), rtol=1e-4, atol=1e-4)
    return graph


@pytest.mark.parametrize("name", TESTS)
def test_counts_of_tests_are_found(name: str) -> None:
    ops = [node.op for node in prepared(Function(TESTS[name])).nodes]
    assert ops.count("features") == 1
    assert not {*ops} & {"sum", "table", "slice", "maximum"}


@pytest.mark.parametrize("name", SUMS)
def test_sums_without_tests_are_chains(name: str) -> None:
    assert "features" not in {node.op for node in prepared(Function(SUMS[name])).nodes}


def all_of(x: Tensor) -> list[Tensor]:
    names = ("zero crossings", "slope sign changes", "jumps")
    tests = [TESTS[name](x) for name in names]
    return [x.abs().mean(-1), SUMS["waveform length"](x), *tests, x.square().mean(-1)]


@pytest.mark.parametrize("axis", [-1, 1])
def test_features_side_by_side_are_one_operator(axis: int) -> None:
    """That of samples themselves among them."""
    graph = prepared(Function(lambda x: torch.cat(all_of(x), axis)))
    assert next(node.op for node in graph.nodes if node.op != "reshape") == "features"
    assert len([node for node in graph.nodes if node.op == "features"]) == 1


@pytest.mark.parametrize("axis", [1, 2])
def test_stacked_features(axis: int) -> None:
    def two(x: Tensor) -> Tensor:
        return torch.stack([SUMS["waveform length"](x), turns(x)], axis)

    ops = [node.op for node in prepared(Function(two)).nodes]
    assert ops.count("features") == 1
    assert "concat" not in ops


class Scaled(torch.nn.Module):
    """A scaler behind features, and behind what is none."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("mean", torch.randn(12, generator=generator))
        self.register_buffer("deviation", torch.rand(12, generator=generator) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        parts = [x.abs().mean(-1), SUMS["waveform length"](x), turns(x), x.std(-1)]
        return (torch.cat(parts, -1) - self.mean) / self.deviation


def test_a_scaler_goes_into_features() -> None:
    ops = [node.op for node in prepared(Scaled()).nodes]
    assert ops.count("features") == 1
    assert ops.count("affine") <= 1  # that of the deviation


def test_sums_of_other_things_stay() -> None:
    for function in (
        lambda x: x.abs().sum(-1),
        lambda x: (x[..., :-1] / (1 + x[..., 1:].abs())).sum(-1),
        lambda x: (x[:, 1:] - x[:, :-1]).abs().sum(-1),
        lambda x: x[..., 1:].mean(-1),
        lambda x: torch.cat([x[..., 1:].mean(-1), x.mean(-1)], -1),
    ):
        assert "features" not in {node.op for node in prepared(Function(function)).nodes}


def test_long_products_are_left_alone() -> None:
    """None is too deep for the pass; by turns of two operators in a drawn order, it is no loop."""
    d, rng = GraphBuilder(), random.Random(0)
    x = d.input("x", (1, 3, 40))
    before, after = (slice_axis(d, x, 2, start, start + 39) for start in (0, 1))
    y = after
    for _ in range(800):
        y = d.add("mul", y, before) if rng.random() < 0.5 else d.add("maximum", y, after)
    graph = d.build([d.add("sum", y, axes=(2,), keepdim=False)], ["y"])
    made = prepare(graph)
    assert not {"features", "loop_next"} & {node.op for node in made.nodes}
    given = {"x": 0.1 * X.numpy()}
    found, wanted = (run_float(each, given)[each.outputs[0]] for each in (made, graph))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def bins(x: Tensor) -> list[Tensor]:
    """A histogram of ten bins, the last one open."""
    edges = [-3 + 0.6 * i for i in range(10)]
    tests = [(x >= low) & (x < end) for low, end in itertools.pairwise(edges)]
    return [test.float().sum(-1) for test in [*tests, x >= edges[-1]]]


def test_bins_are_counted_in_one_pass() -> None:
    graph = prepared(Function(lambda x: torch.cat(bins(x), -1)))
    node = next(node for node in graph.nodes if node.op == "features")
    features = [tuple(f.in_steps(0.01) for f in own) for own in features_of(node.attrs)]
    (group,) = groups_of(features)
    assert len(group.edges) == 15  # ten limits, and what fills 2^n - 1


def recursion(r: list[Tensor]) -> list[Tensor]:
    """Levinson's, written out."""
    energy, a = r[0], list[Tensor]()
    for i in range(1, len(r)):
        rest = r[i] - sum(x * r[i - 1 - j] for j, x in enumerate(a))
        ratio = rest / energy
        a = [*(x - ratio * y for x, y in zip(a, a[::-1], strict=True)), ratio]
        energy = energy * (1 - ratio * ratio)
    return a


def lags(x: Tensor, order: int, energy: float = 0.0) -> list[Tensor]:
    return [x.square().sum(-1) + energy, *(lag(x, k) for k in range(1, order + 1))]


def of_two(x: Tensor) -> list[Tensor]:
    """Cramer's rule."""
    a, b, c = lags(x, 2)
    whole = a * a - b * b
    return [(b * a - c * b) / whole, (a * c - b * b) / whole]


PREDICTORS: dict[str, Callable[[Tensor], list[Tensor]]] = {
    "of order four": lambda x: recursion(lags(x, 4)),
    "of order eight": lambda x: recursion(lags(x, 8)),
    "with more energy": lambda x: recursion(lags(x, 3, 20.0)),
    "of means": lambda x: recursion([r / 40 for r in lags(x, 3)]),
    "by Cramer's rule": of_two,
    "of the other sign": lambda x: [-a for a in recursion(lags(x, 4))],
    "beside others": lambda x: [steps(x).abs().sum(-1), *recursion(lags(x, 4)), turns(x)],
    "beside bins": lambda x: [*bins(x), *recursion(lags(x, 4))],
}


@pytest.mark.parametrize("name", PREDICTORS)
def test_ar_coefficients_are_one_operator(name: str) -> None:
    ops = [
        node.op for node in prepared(Function(lambda x: torch.cat(PREDICTORS[name](x), -1))).nodes
    ]
    assert {*ops} == {"features", "reshape"}
    assert ops.count("features") == 1


OTHERS: dict[str, Callable[[Tensor], list[Tensor]]] = {
    "of samples that are further apart": lambda x: recursion([lag(x, 2 * k) for k in range(3)]),
    "of unlike means": lambda x: recursion([lag(x, k) / (40 - k) for k in range(3)]),
    "of two windows": lambda x: recursion([*lags(x, 1), lag(x + 1, 2)]),
    "ratios": lambda x: [r / (1 + x.square().sum(-1)) for r in lags(x, 3)],
    "of another order": lambda x: [a + 1e-2 * lag(x, 3) for a in recursion(lags(x, 2))],
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_formulas_stay(name: str) -> None:
    graph = prepared(Function(lambda x: torch.cat(OTHERS[name](x), -1)))
    found = [
        f for n in graph.nodes if n.op == "features" for own in features_of(n.attrs) for f in own
    ]
    assert "ar" not in {f.form for f in found if f.a[0] > 1}


@pytest.mark.parametrize("order", [1, 4, 8])
def test_the_integer_recursion_solves_the_equations(order: int) -> None:
    """Of noise, of a slow sine with little noise, and of a window of zeros."""
    rng, t = np.random.default_rng(order), np.arange(200)
    sine = 2e4 * np.sin(t / 9) + rng.normal(size=200) * 300
    x = np.stack([rng.normal(size=200) * 90, sine, 0 * sine]).astype(np.int64)
    r = autocorrelations(x, order)
    found = predictor_in_integers(r) / 2.0**24
    at = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
    for channel in (0, 1):
        wanted = np.linalg.solve(r[at, channel].astype(float), r[1:, channel].astype(float))
        np.testing.assert_allclose(found[:, channel], wanted, atol=3e-4)
    assert not found[:, 2].any()
