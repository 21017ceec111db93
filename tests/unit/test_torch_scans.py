# SPDX-License-Identifier: Apache-2.0
"""torch's scan: its body runs step by step, and recurrences in it are rolled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch import scans
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare

STEPS, WIDTH = 6, 4
Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Scanned(nn.Module):
    def __init__(self, step: Step, *, last: bool = False) -> None:
        super().__init__()
        self.step, self.result = step, 0 if last else 1

    def forward(self, x: Tensor) -> Tensor:
        found: list[Tensor] = scan(self.step, torch.zeros(1, WIDTH), x.transpose(0, 1))
        return found[self.result]


def linear(h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    h = torch.sigmoid(x) * h + x
    return h, h.clone()


def bounded(h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    h = torch.tanh(0.5 * h + x)
    return h, h * 2.0


def weighted(h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """A body that makes a tensor of nothing."""
    h = torch.tanh(h * torch.full((WIDTH,), 0.25) + x)
    return h, h.clone()


def nested(h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """A body with a scan of its own."""
    inner: list[Tensor] = scan(bounded, h, x.reshape(1, 1, WIDTH))
    return inner[0], inner[0].clone()


def prepared(network: nn.Module) -> Graph:
    """The network's graph, which computes what torch does."""
    x = torch.randn(1, STEPS, WIDTH)
    graph = prepare(from_exported(torch.export.export(network.eval(), (x,))))
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, network(x).numpy(), rtol=1e-5, atol=1e-5)
    return graph


def test_a_linear_recurrence_in_torchs_scan_is_one_operator() -> None:
    torch.manual_seed(0)
    assert [node.op for node in prepared(Scanned(linear)).nodes].count("scan") == 1


@pytest.mark.parametrize("last", [False, True])
def test_any_other_body_runs_step_by_step(last: bool) -> None:
    torch.manual_seed(0)
    prepared(Scanned(bounded, last=last))


def test_a_body_may_make_tensors() -> None:
    torch.manual_seed(0)
    prepared(Scanned(weighted))


def test_a_scan_in_a_scan_is_refused() -> None:
    with pytest.raises(MyoedgeError, match="holds another scan") as refused:
        prepared(Scanned(nested))
    assert refused.value.code == "E111"


def test_too_many_steps_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "MOST_CALLS", 10)
    with pytest.raises(MyoedgeError, match="too long to be written out") as refused:
        prepared(Scanned(linear))
    assert refused.value.code == "E111"
