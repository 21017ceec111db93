# SPDX-License-Identifier: Apache-2.0
"""Loops that export has written out: recurrences become one operator, steps are joined."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.frontend.torch.export import from_exported
from myoedge.operators.interpreter import run_real
from myoedge.passes import prepare

STEPS, WIDTH, STATES = 6, 8, 4


class Selective(nn.Module):
    """A selective scan as Mamba has it: h = exp(dt A) h + dt B x, y = <C, h>."""

    def __init__(self, *, inside: bool, backwards: bool = False) -> None:
        super().__init__()
        self.inside, self.order = inside, range(STEPS)[:: -1 if backwards else 1]
        self.dt, self.bc = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * STATES)
        self.a = nn.Parameter(-torch.rand(WIDTH, STATES))

    def forward(self, x: Tensor) -> Tensor:
        dt = torch.sigmoid(self.dt(x))
        b, c = self.bc(x).split(STATES, -1)
        decay = torch.exp(dt[..., None] * self.a)
        term = dt[..., None] * b[:, :, None] * x[..., None]
        h, ys = torch.zeros(x.shape[0], WIDTH, STATES), []
        for t in self.order:
            factor = torch.exp(dt[:, t, :, None] * self.a) if self.inside else decay[:, t]
            h = factor * h + term[:, t]
            ys.append((h * c[:, t, None]).sum(-1))
        return torch.stack(ys, 1)


class Decaying(nn.Module):
    """States that one factor a channel decays."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.rand(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x, h, states = torch.tanh(x), torch.zeros(1, WIDTH), []
        for t in range(STEPS):
            h = x[:, t] + h * self.a
            states.append(h)
        return torch.stack(states, 1)


NETWORKS = {
    "outside": lambda: Selective(inside=False),
    "inside": lambda: Selective(inside=True),
    "backwards": lambda: Selective(inside=False, backwards=True),
    "decaying": Decaying,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loop_of_states_is_one_scan(name: str) -> None:
    torch.manual_seed(0)
    network: nn.Module = NETWORKS[name]().eval()
    x = torch.randn(1, STEPS, WIDTH)
    graph = prepare(from_exported(torch.export.export(network, (x,))))
    found = run_real(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, network(x).detach().numpy(), rtol=1e-5, atol=1e-5)
    ops = Counter(node.op for node in graph.nodes)
    assert ops["scan"] + ops["selective_scan"] == 1
    assert len(graph.nodes) < 25


def test_a_loop_may_begin_with_its_first_state() -> None:
    class Begun(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h = x[:, 0] - 0.5
            states = [h]
            for t in range(1, STEPS):
                h = h * x[:, t] + x[:, t]
                states.append(h)
            return torch.stack(states, 1)

    x = torch.rand(1, STEPS, WIDTH)
    graph = prepare(from_exported(torch.export.export(Begun().eval(), (x,))))
    found = run_real(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, Begun()(x).numpy(), rtol=1e-5, atol=1e-5)
    assert [node.op for node in graph.nodes].count("scan") == 1


def test_states_of_another_loop_are_no_scan() -> None:
    class Bounded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h, states = torch.zeros(1, WIDTH), []
            for t in range(STEPS):
                h = torch.tanh(h * x[:, t]) + x[:, t]
                states.append(h)
            return torch.stack(states, 1)

    x = torch.rand(1, STEPS, WIDTH)
    graph = prepare(from_exported(torch.export.export(Bounded().eval(), (x,))))
    found = run_real(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, Bounded()(x).numpy(), rtol=1e-5, atol=1e-5)
    assert all(node.op != "scan" for node in graph.nodes)
