# SPDX-License-Identifier: Apache-2.0
"""Attention whose scores have a factor of any sign: one operator, near torch in integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from myoedge.graph.ir import Graph
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from tests.support.oracles.torch import Net, agrees, evaluated, seeded
from tests.unit.test_cell_steps import decibels

Q, K = (1, 2, 5, 8), (1, 2, 9, 8)
FORMS: dict[str, Callable[[float], Callable[..., Tensor]]] = {
    "scale": lambda c: lambda net, q, k, v: F.scaled_dot_product_attention(q, k, v, scale=c),
    "factor": lambda c: lambda net, q, k, v: (q @ k.mT * c).softmax(-1) @ v,
    "softmin": lambda c: lambda net, q, k, v: F.softmin(q @ k.mT * -c, -1) @ v,
    "masked": lambda c: lambda net, q, k, v: (q @ k.mT * c + hidden()).softmax(-1) @ v,
    "queries": lambda c: lambda net, q, k, v: ((q * c) @ k.mT).softmax(-1) @ v,
}


def hidden() -> Tensor:
    return torch.full((5, 9), -torch.inf).triu(2)


def steps_near_floats(graph: Graph) -> list[float]:
    """SQNR of the int8 network on the samples that it is calibrated with."""
    rng = np.random.default_rng(0)
    samples = {x: rng.normal(size=(16, *graph.shape(x))).astype(np.float32) for x in graph.inputs}
    wanted = [evaluated(graph, [samples[x][at] for x in graph.inputs])[0] for at in range(16)]
    network = quantize_graph(graph, calibrate(graph, samples, Observer(), ""))
    return decibels(network, samples, [np.array(wanted)])


@pytest.mark.parametrize(
    ("form", "scale"),
    [(form, scale) for form in FORMS for scale in (-2.0, -0.3, -1e-30, 0.0, 1e-45, 1e-6, 0.3)],
)
def test_scores_may_have_any_factor(form: str, scale: float) -> None:
    model = Net(FORMS[form](scale))
    graph = agrees(model, seeded(*Q), seeded(*K, seed=1), seeded(*K, seed=2))
    assert min(steps_near_floats(graph)) > 25.0
    for node in graph.nodes:
        assert node.op != "attention" or node.attrs["scale"] > 0.0


def test_a_learned_negative_temperature() -> None:
    def run(net: Net, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return ((q @ k.mT) * net.t).softmax(-1) @ v

    model = Net(run)
    model.t = torch.nn.Parameter(torch.tensor(-1.7))
    graph = agrees(model, seeded(*Q), seeded(*K, seed=1), seeded(*K, seed=2))
    assert [node.op for node in graph.nodes].count("attention") == 1
    assert min(steps_near_floats(graph)) > 25.0
