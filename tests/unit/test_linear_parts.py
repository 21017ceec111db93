# SPDX-License-Identifier: Apache-2.0
"""Small sums and differences of one tensor's elements become one linear layer."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch

from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from tests.support.networks.small import Function

Tensor = torch.Tensor
CLASSES = 4
PAIRS = [*itertools.combinations(range(CLASSES), 2)]
X = torch.randn(2, len(PAIRS), generator=torch.Generator().manual_seed(0))


def votes(x: Tensor) -> Tensor:
    """Sums of pairs' scores: of i as they are, of j negated; one of them plus a constant."""
    sums = []
    for c in range(CLASSES):
        parts = [
            x[:, k : k + 1] * (1 if i == c else -1) for k, (i, j) in enumerate(PAIRS) if c in (i, j)
        ]
        sums.append(sum(parts[1:], parts[0]))
    return torch.cat([*sums[1:], 2.0 * sums[0] + 0.5], 1)


def prepared(function: Callable[[Tensor], Tensor]) -> Graph:
    module = Function(lambda x: function(torch.tanh(x))).eval()
    graph = prepare(from_exported(torch.export.export(module, (X,))))
    values = run_float(graph, {graph.inputs[0]: X.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(values, module(X).numpy(), rtol=1e-5, atol=1e-6)
    return graph


def test_sums_of_pairs_are_one_layer() -> None:
    ops = {node.op for node in prepared(votes).nodes}
    assert ops == {"table", "linear", "reshape"}


def test_few_sums_stay() -> None:
    graph = prepared(lambda x: torch.cat([x[:, 1:] - x[:, :-1], x], 1))
    assert "linear" not in {node.op for node in graph.nodes}


def test_long_chains_of_sums_are_left_alone() -> None:
    """As unrolled recurrences have them: none is too deep for the pass."""

    def chain(x: Tensor) -> Tensor:
        y = x[:, :2]
        for _ in range(400):
            y = y + x[:, 1:3]
        return torch.cat([y, x], 1)

    prepared(chain)
