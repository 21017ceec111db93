# SPDX-License-Identifier: Apache-2.0
"""torch's scan: a loop whose body is imported once, or one operator over all of its steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.operators.interpreter import run_float
from myoedge.operators.turns import IN_LOOPS
from myoedge.passes import prepare
from tests.conftest import thinned

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


def read_before(h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """A body that returns a view of the state that it read."""
    return torch.tanh(0.5 * h + x), h.reshape(WIDTH, 1).clone()


def read_row(h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """A body whose state is the row of the step before."""
    return x.clone(), h + x


def filtered(h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """A linear recurrence whose result a convolution of one step reads."""
    h = torch.sigmoid(x) * h + x
    return h, nn.functional.conv1d(h[None], torch.ones(1, 1, 3) / 4, padding=1)


def nested(h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """A body with a scan of its own."""
    inner: list[Tensor] = scan(bounded, h, x.reshape(1, 1, WIDTH))
    return inner[0], inner[0].clone()


State = tuple[Tensor, Tensor]
TwoStates = Callable[[State, Tensor], tuple[State, Tensor]]


class Several(nn.Module):
    """A scan with two states, which begin as rows of x."""

    def __init__(self, step: TwoStates) -> None:
        super().__init__()
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        found = scan(self.step, (0.5 * x[:, 0], 2.0 * x[:, 1]), x.transpose(0, 1))
        return torch.cat([found[0][0], found[0][1], found[1].flatten(0, 1)])


def delayed(states: State, x: Tensor) -> tuple[State, Tensor]:
    """A second state that is the first of the step before."""
    new = torch.tanh(0.5 * states[0] + 0.25 * states[1] + x)
    return (new, states[0].clone()), new * 2.0


def independent(states: State, x: Tensor) -> tuple[State, Tensor]:
    """A linear recurrence that begins with x, and another state that reads it."""
    a = torch.sigmoid(x) * states[0] + x
    return (a, torch.tanh(states[1] + states[0])), a - states[1]


def exchanged(states: State, x: Tensor) -> tuple[State, Tensor]:
    return (states[1].clone(), states[0].clone()), states[0] + x


class Cells(nn.Module):
    """Calls of a recurrent cell by a scan."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        def step(states: list[Tensor], row: Tensor) -> tuple[list[Tensor], Tensor]:
            one = not isinstance(self.cell, nn.LSTMCell)
            new = [self.cell(row, states[0])] if one else [*self.cell(row, (states[0], states[1]))]
            return new, new[0].clone()

        first = [x[:, i] * 0.5 for i in range(1 + isinstance(self.cell, nn.LSTMCell))]
        last, rows = scan(step, first, x.transpose(0, 1))
        return torch.cat([*last, rows.flatten(0, 1)])


class Selective(nn.Module):
    """A selective scan as Mamba's, row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rates = nn.Parameter(torch.rand(WIDTH, 3))
        self.read = nn.Linear(WIDTH, 6)

    def forward(self, x: Tensor) -> Tensor:
        decay, (b, c) = -torch.exp(self.rates), self.read(x).chunk(2, -1)

        def step(h: Tensor, row: list[Tensor]) -> tuple[Tensor, Tensor]:
            delta, x, b, c = row
            term = (delta * x)[..., None] * b[:, None]
            h = torch.exp(delta[..., None] * decay) * h + term
            return h, (h * c[:, None]).sum(-1)

        rows = [y.transpose(0, 1) for y in (nn.functional.softplus(x), x, b, c)]
        found: list[Tensor] = scan(step, torch.zeros(1, WIDTH, 3), rows)
        return found[1].transpose(0, 1)


def prepared(network: nn.Module, steps: int = STEPS) -> Graph:
    """The network's graph, which computes what torch does."""
    x = torch.randn(1, steps, WIDTH)
    with torch.no_grad():
        graph = prepare(from_exported(torch.export.export(network.eval(), (x,))))
        found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
        np.testing.assert_allclose(found, network(x).numpy(), rtol=1e-5, atol=1e-5)
    return graph


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def test_a_linear_recurrence_in_torchs_scan_is_one_operator() -> None:
    torch.manual_seed(0)
    found = ops(prepared(Scanned(linear)))
    assert found.count("scan") == 1
    assert IN_LOOPS.isdisjoint(found)


@pytest.mark.parametrize("last", thinned([False, True]))
@pytest.mark.parametrize("step", [bounded, weighted, read_before, read_row, filtered])
def test_the_body_stands_once(step: Step, last: bool) -> None:
    torch.manual_seed(0)
    few, many = (ops(prepared(Scanned(step, last=last), steps)) for steps in (STEPS, 50))
    assert few == many


@pytest.mark.parametrize("step", [delayed, independent])
def test_states_may_read_each_other(step: TwoStates) -> None:
    torch.manual_seed(0)
    prepared(Several(step))


def test_a_linear_recurrence_may_stand_beside_other_states() -> None:
    torch.manual_seed(0)
    found = ops(prepared(Several(independent)))
    assert (found.count("scan"), found.count("loop_state")) == (1, 1)


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_a_recurrent_cell_is_a_layer_of_all_steps(cell: type[nn.Module]) -> None:
    torch.manual_seed(0)
    found = ops(prepared(Cells(cell(WIDTH, WIDTH))))
    assert {"lstm", "gru", "rnn_tanh"}.intersection(found)
    assert IN_LOOPS.isdisjoint(found)


def test_a_selective_scan_is_one_operator() -> None:
    torch.manual_seed(0)
    found = ops(prepared(Selective()))
    assert found.count("selective_scan") == 1
    assert "scan" not in found


def test_a_scan_in_a_scan_is_refused() -> None:
    with pytest.raises(MyoedgeError, match="holds another scan") as refused:
        prepared(Scanned(nested))
    assert refused.value.code == "E111"


def test_states_that_change_places_are_refused() -> None:
    with pytest.raises(MyoedgeError, match="change places") as refused:
        prepared(Several(exchanged))
    assert refused.value.code == "E111"
