# SPDX-License-Identifier: Apache-2.0
"""Calls that write into tensors, as torch computes them; torch traces only what shares bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.frontend.torch.export import from_exported
from myoedge.operators.interpreter import run_float

Net = Callable[[Tensor], Tensor]


class Calls(nn.Module):
    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def chain(x: Tensor) -> Tensor:
    """Each call writes into the result of the one before, the last is read twice."""
    y = x * 2.0
    y.add_(x).relu_().mul_(y.tanh())
    return y + y


def read_before(x: Tensor) -> Tensor:
    y = x * 2.0
    old = y.sin() if y.dim() > 9 else y.tanh()
    y += 1.0
    return y * old


def behind_layers(x: Tensor) -> Tensor:
    return nn.functional.relu(nn.functional.layer_norm(x, (8,)), inplace=True).clamp_(max=1.0)


def with_view(x: Tensor) -> Tensor:
    """The view is read when its tensor has changed."""
    y = x * 2.0
    turned = y.transpose(1, 2)
    y += 1.0
    return turned * 3.0


def of_view(x: Tensor) -> Tensor:
    """The view changes, its tensor is read."""
    y = x * 2.0
    y[:, 0].add_(1.0)
    return y * 3.0


def of_dropout(x: Tensor) -> Tensor:
    """A dropout that drops nothing gives its own input."""
    y = x * 2.0
    dropped = nn.functional.dropout(y, 0.5, training=False)
    dropped += 1.0
    return y * 3.0


def of_input(x: Tensor) -> Tensor:
    x = x.contiguous()
    x += 1.0
    return x * 2.0


def exported(net: Net) -> Any:
    return torch.export.export(Calls(net).eval(), (torch.ones(2, 3, 8),))


@pytest.mark.parametrize(
    "net", [chain, read_before, behind_layers, with_view, of_view, of_dropout, of_input]
)
def test_what_is_written_is_read_as_torch_reads_it(net: Net) -> None:
    given = np.random.default_rng(0).standard_normal((2, 3, 8), np.float32)
    graph = from_exported(exported(net))
    found = run_float(graph, {"x": given})[graph.outputs[0]]
    np.testing.assert_allclose(found, net(torch.tensor(given)).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("net", [chain, read_before, behind_layers])
def test_calls_that_write_into_bytes_of_one_tensor_are_not_traced(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = exported(net)
    assert any(node.target._schema.is_mutable for node in program.graph.nodes if node.op[0] == "c")
    trace = "torch.export.ExportedProgram.run_decompositions"
    monkeypatch.setattr(trace, lambda *given: pytest.fail("tens of calls for each"))
    from_exported(program)
