# SPDX-License-Identifier: Apache-2.0
"""A rewrite whose new nodes a shape rule refuses does not match: the network stays as it was."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge.operators.graph_builder
import myoedge.passes
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph, Node
from myoedge.graph.rewrite import Rewrite, RewritePattern
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.interpreter import run_float
from myoedge.operators.queries import output_of
from myoedge.passes import GraphPass, prepare
from tests.support.networks.loops import ClosedForm
from tests.support.oracles.torch import Net, agrees

CELLS: tuple[tuple[type[nn.RNNCellBase], bool], ...] = (
    (nn.LSTMCell, True),
    (nn.GRUCell, False),
    (nn.RNNCell, False),
)
INPUTS: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "input": lambda net, x: x,
    "layer": lambda net, x: net.a(x),
    "function": lambda net, x: torch.relu(net.a(x)),
    "sum": lambda net, x: net.a(x) + torch.tanh(net.b(x)),
    "sum with a constant": lambda net, x: torch.tanh(net.a(x)) + 1.5,
    "product": lambda net, x: net.a(x) * torch.sigmoid(net.b(x)),
}


def over_steps(cell: type[nn.RNNCellBase], has_c: bool, every_step: str) -> Net:
    """Five calls of a cell that reads the same tensor in every step."""

    def run(net: Net, x: Tensor) -> Tensor:
        state, read, states = x.new_zeros(1, 4), INPUTS[every_step](net, x), []
        pair = (state, state)
        for _ in range(5):
            if has_c:
                pair = net.cell(read, pair)
                state = pair[0]
            else:
                state = net.cell(read, state)
            states.append(state)
        return torch.stack(states, 1)

    return Net(run, cell=cell(4, 4), a=nn.Linear(4, 4), b=nn.Linear(4, 4))


@pytest.mark.parametrize("every_step", INPUTS)
@pytest.mark.parametrize(("cell", "has_c"), CELLS)
def test_cells_that_read_the_same_tensor_in_every_step_become_one_layer(
    cell: type[nn.RNNCellBase], has_c: bool, every_step: str
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        graph = agrees(over_steps(cell, has_c, every_step), torch.randn(1, 4))
    assert sum(node.op in ("lstm", "gru", "rnn_tanh") for node in graph.nodes) == 1


# ---- rewrites that are made to fail


def attention(net: Net, x: Tensor) -> Tensor:
    q, k, v = net.qkv(net.norm(x)).chunk(3, -1)
    y = ((q @ k.mT) * 0.5).softmax(-1) @ v
    return torch.nn.functional.gelu(net.out(y + x)).mean(1)


def convolutions(net: Net, x: Tensor) -> Tensor:
    y = torch.relu(net.norm(net.conv(x.mT * 0.5 + 0.1)))
    return net.out(torch.cat([y, y[:, :, ::2].repeat(1, 1, 2)], 1).mT.flatten(1))


def decayed(net: Net, x: Tensor) -> Tensor:
    state = torch.zeros(1, 6)
    for row in net.a(x).unbind(1):
        state = 0.9 * state + row
    return state


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "attention": lambda: Net(
        attention, norm=nn.LayerNorm(6), qkv=nn.Linear(6, 18), out=nn.Linear(6, 6)
    ),
    "convolutions": lambda: Net(
        convolutions,
        conv=nn.Conv1d(6, 5, 3, padding=1),
        norm=nn.BatchNorm1d(5),
        out=nn.Linear(80, 3),
    ),
    "scan": lambda: Net(decayed, a=nn.Linear(6, 6)),
    "loop": lambda: ClosedForm(),
    "cells": lambda: over_steps(nn.LSTMCell, True, "sum"),
}
SHAPES = {"loop": (1, 6, 8), "cells": (1, 4)}  # of the inputs; of the others 1, 8, 6


@cache
def imported(network: str) -> Graph:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x = NETWORKS[network]().eval(), torch.randn(SHAPES.get(network, (1, 8, 6)))
        return from_exported(torch.export.export(model, (x,)))


def assert_computes_the_same(graph: Graph, after: Graph) -> None:
    rng = np.random.default_rng(0)
    inputs = {name: rng.normal(size=graph.shape(name)).astype(np.float32) for name in graph.inputs}
    old, new = run_float(graph, inputs), run_float(after, inputs)
    for a, b in zip(graph.outputs, after.outputs, strict=True):
        np.testing.assert_allclose(new[b], old[a], rtol=1e-4, atol=1e-5)


def refused(graph: Graph, node: Node) -> Rewrite:
    """A rewrite whose shape rule refuses every node: elements get lost."""
    return GraphBuilder(graph, node).last("reshape", node.inputs[0], shape=(7, 11, 13))


def refused_whole(graph: Graph) -> Graph:
    refused(graph, graph.nodes[0])
    raise AssertionError("the shape rule accepts everything")


def tables() -> Iterator[tuple[str, str, object, object]]:
    """Every optional pass of `prepare`: (table, name, the table with it failing, without it)."""
    stages = myoedge.passes.STAGES
    for at, (stage, rules) in enumerate(stages):
        for index, rule in enumerate(rules):
            failing = RewritePattern(refused, rule.ops, rule.beside)
            broken = (stage, (*rules[:index], failing, *rules[index + 1 :]))
            without = (stage, (*rules[:index], *rules[index + 1 :]))
            name = f"{stage}: {getattr(rule.rewrite, '__name__', index)}"
            yield "STAGES", name, *((*stages[:at], x, *stages[at + 1 :]) for x in (broken, without))
    rolled = myoedge.passes.ROLLED
    for at, (name, _) in enumerate(rolled):
        around = rolled[:at], rolled[at + 1 :]
        yield (
            "ROLLED",
            name,
            (*around[0], (name, GraphPass(refused_whole)), *around[1]),
            sum(around, ()),
        )
    after = myoedge.passes.AFTER_STAGE
    for name in after:
        left = {stage: further for stage, further in after.items() if stage != name}
        yield "AFTER_STAGE", name, {**after, name: (GraphPass(refused_whole),)}, left


@pytest.mark.parametrize("network", ["attention", "loop"])
def test_a_pass_that_fails_is_a_pass_that_does_not_match(
    network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, passes = imported(network), [*tables()]
    assert len(passes) > 100
    for table, name, broken, without in passes:
        made = []
        for entries in (broken, without):
            with monkeypatch.context() as patched:
                patched.setattr(myoedge.passes, table, entries)
                try:
                    made.append(prepare(graph).digest)
                except myoedge.MyoedgeError as error:  # what only this pass lowers
                    made.append(str(error))
        assert made[0] == made[1], name


@pytest.mark.parametrize("network", NETWORKS)
def test_a_shape_rule_that_refuses_anywhere_leaves_the_results(
    network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, calls, refused_calls = imported(network), itertools.count(), set[int]()

    def counted(node: Node, *shapes: object) -> object:
        if next(calls) in refused_calls:
            raise IndexError("tuple index out of range")
        return output_of(node, *shapes)  # type: ignore[arg-type]

    monkeypatch.setattr(myoedge.operators.graph_builder, "output_of", counted)
    prepare(graph)
    count = next(calls)
    assert count > 5
    for call in range(0, count, max(count // 12, 1)):
        calls, refused_calls = itertools.count(), {call}
        assert_computes_the_same(graph, prepare(graph))
