# SPDX-License-Identifier: Apache-2.0
"""Time-domain features as people write them are found, joined and scaled, and mean the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from tests.networks import Function

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
    return (x[:, 1:] - x[:, :-1]).abs().sum(1)


FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "waveform length": lambda x: steps(x).abs().sum(-1),
    "by torch.diff": lambda x: torch.diff(x, dim=-1).abs().mean(-1),
    "zero crossings": lambda x: (
        ((x[..., :-1] * x[..., 1:] < 0) & (steps(x).abs() >= 0.1)).sum(-1).float()
    ),
    "slope sign changes": turns,
    "as one product": lambda x: (
        ((x[..., 1:-1] - x[..., :-2]) * (x[..., 1:-1] - x[..., 2:]) > 0.04).float().sum(-1)
    ),
    "jumps": lambda x: (steps(x).abs() > 0.5).float().mean(-1),
    "autocorrelation": lambda x: lag(x, 3),
    "squares of steps": lambda x: steps(x).square().sum(-1),
    "of samples without mean": lambda x: steps(x - x.mean(-1, keepdim=True)).abs().sum(-1),
    "along another axis": lambda x: columns(x.transpose(1, 2)),
}
X = torch.tensor(np.random.default_rng(0).normal(size=(1, 3, 40)).astype(np.float32))


def prepared(module: torch.nn.Module, x: Tensor = X) -> Graph:
    """The graph after the passes, which has torch's values."""
    graph = prepare(from_exported(torch.export.export(module.eval(), (x,))))
    (output,) = graph.outputs
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[output]
    np.testing.assert_allclose(found, module(x).detach().numpy(), rtol=1e-4, atol=1e-4)
    return graph


@pytest.mark.parametrize("name", FORMS)
def test_a_feature_is_found(name: str) -> None:
    ops = [node.op for node in prepared(Function(FORMS[name])).nodes]
    assert ops.count("features") == 1
    assert not {*ops} & {"sum", "table", "slice", "maximum"}


def all_of(x: Tensor) -> list[Tensor]:
    names = ("waveform length", "zero crossings", "slope sign changes", "jumps")
    return [x.abs().mean(-1), *(FORMS[name](x) for name in names), x.square().mean(-1)]


@pytest.mark.parametrize("axis", [-1, 1])
def test_features_side_by_side_are_one_operator(axis: int) -> None:
    """That of samples themselves among them."""
    graph = prepared(Function(lambda x: torch.cat(all_of(x), axis)))
    assert next(node.op for node in graph.nodes if node.op != "reshape") == "features"
    assert len([node for node in graph.nodes if node.op == "features"]) == 1


@pytest.mark.parametrize("axis", [1, 2])
def test_stacked_features(axis: int) -> None:
    def two(x: Tensor) -> Tensor:
        return torch.stack([FORMS["waveform length"](x), turns(x)], axis)

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
        parts = [x.abs().mean(-1), FORMS["waveform length"](x), turns(x), x.std(-1)]
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
    """None is too deep for the pass."""

    def product(x: Tensor) -> Tensor:
        y = x[..., 1:]
        for _ in range(400):
            y = torch.maximum(y * x[..., :-1], x[..., 1:])
        return y.sum(-1)

    prepared(Function(product), 0.1 * X)
