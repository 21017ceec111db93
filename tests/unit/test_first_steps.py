# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers run the steps that are read; first steps from zeros multiply no h."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.graph.ir import Graph
from myoedge.passes import prepare, prepare_whole
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.formats import shared_scale_groups
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.sqnr import measure
from tests.unit.test_recurrent import Relu, imported, values

pytestmark = pytest.mark.filterwarnings("ignore:The tensor attributes")
STARTS = {nn.LSTM: "lstm_start", nn.GRU: "gru_start", nn.RNN: "rnn_tanh", Relu: "linear"}
STEPS = {nn.LSTM: "lstm", nn.GRU: "gru", nn.RNN: "rnn_tanh", Relu: "rnn_relu"}


class Part(nn.Module):
    """Some steps of a layer; first states that are not zeros, or zeros."""

    def __init__(self, layer: nn.Module, steps: Any, first: float | None = None) -> None:
        super().__init__()
        self.layer, self.steps, self.first = layer, steps, first

    def forward(self, x: Tensor) -> Tensor:
        if self.first is None:
            return self.layer(x)[0][:, self.steps]
        h = torch.full((1, x.shape[0], 6), self.first)
        return self.layer(x, h)[0][:, self.steps]


def prepared(network: nn.Module, x: Tensor) -> Graph:
    graph = prepare_whole(prepare(imported(network, x)))
    (mine,), theirs = values(graph, x), network(x)
    np.testing.assert_allclose(mine, theirs.detach().numpy(), atol=2e-6)
    return graph


def layer(kind: Any, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return kind(5, 6, batch_first=True, **options)


@pytest.mark.parametrize("kind", STARTS)
def test_backwards_the_last_h_is_that_of_one_step(kind: Any) -> None:
    graph = prepared(Part(layer(kind, bidirectional=True), -1), torch.randn(3, 7, 5))
    ops = Counter(node.op for node in graph.nodes)
    if kind is nn.RNN:
        assert ops[STEPS[kind]] == 2
    else:
        assert (ops[STEPS[kind]], ops[STARTS[kind]]) == (1, 1)
    shapes = sorted(graph.shape(n.name)[0] for n in graph.nodes if n.op in ("gates", "sums"))
    assert shapes in ([1, 7], [7])


@pytest.mark.parametrize(
    ("steps", "runs"),
    [(slice(0, 3), (3, 7)), (slice(2, 5), (5, 5)), (slice(1, 6, 2), (6, 6)), (4, (5, 3))],
)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_a_direction_runs_up_to_the_last_step_that_is_read(
    kind: Any, steps: Any, runs: tuple[int, int]
) -> None:
    graph = prepared(Part(layer(kind, bidirectional=True), steps), torch.randn(1, 7, 5))
    found = {n.attrs["reverse"]: graph.shape(n.name)[0] for n in graph.nodes if n.op == STEPS[kind]}
    assert found == dict(zip((False, True), runs, strict=True))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, Relu])
def test_one_step_from_zeros_is_a_function_of_its_gates(kind: Any) -> None:
    """Weights of h are gone, and an LSTM's forget gates."""
    graph = prepared(Part(layer(kind), slice(None)), torch.randn(9, 1, 5))
    assert [n.op for n in graph.nodes if n.op == STARTS[kind]] == [STARTS[kind]]
    sizes = [value.array.size for value in graph.constants.values()]
    gates = 1 if kind is Relu else 3
    assert sum(sizes) <= gates * 6 * (5 + 1) + 6


@pytest.mark.parametrize("first", [0.0, 0.5])
def test_steps_from_other_states_stay(first: float) -> None:
    graph = prepared(Part(layer(nn.GRU), slice(None), first), torch.randn(9, 1, 5))
    starts = sum(node.op == "gru_start" for node in graph.nodes)
    assert starts == (first == 0.0)


@pytest.mark.parametrize(("kind", "least"), [(nn.LSTM, (34.0, 61.0)), (nn.GRU, (37.0, 61.0))])
def test_what_integers_keep(kind: Any, least: tuple[float, float]) -> None:
    """As much as the steps that they replace: 34.3 and 62.2 dB, 37.6 and 61.7 dB."""
    torch.manual_seed(3)
    x = torch.randn(6, 40, 1, 5)
    graph = prepared(Part(layer(kind), slice(None)), x[0])
    samples = {graph.inputs[0]: x.numpy()}
    calibration = calibrate(graph, samples, Observer(), "")
    found = [
        measure(quantize_graph(graph, calibration, int16=names), samples).worst_db
        for names in (frozenset[str](), frozenset(calibration.ranges))
    ]
    assert np.greater(found, least).all()


class Decoder(nn.Module):
    """Steps of an LSTM one by one: each reads what the one before gave."""

    def __init__(self, steps: int, first: float) -> None:
        super().__init__()
        self.layer, self.steps, self.first = nn.LSTM(5, 6), steps, first

    def forward(self, x: Tensor) -> Tensor:
        y, found = x, []
        state = (torch.full((1, *x.shape[:1], 6), self.first),) * 2
        for _ in range(self.steps):
            h, state = self.layer(y[None], state)
            y = y + h[0, :, :5]
            found.append(y)
        return torch.stack(found)


@pytest.mark.parametrize("sequences", [1, 4])
@pytest.mark.parametrize("first", [0.0, 0.5])
def test_weights_of_h_are_read_once_a_step(first: float, sequences: int) -> None:
    """c is read by all steps but the last one, of which nothing reads it."""
    torch.manual_seed(0)
    graph = prepared(Decoder(3, first), torch.randn(sequences, 5))
    ops = Counter(node.op for node in graph.nodes)
    whole = 0 if first == 0.0 else 1  # a first h that is a constant, but not zero
    assert ops["lstm"] == whole + (sequences == 1)
    assert (ops["lstm_next"], ops["lstm_next_cell"]) == (3 - ops["lstm"], 2 - whole)
    products = sum(
        graph.shape(node.inputs[1]) == (24, 6) for node in graph.nodes if node.op == "gates"
    )
    assert products == 2 - (sequences == 1)


def test_what_streams_run_keeps_its_steps() -> None:
    graph = prepare(imported(Decoder(3, 0.0), torch.randn(1, 5)))
    assert not [node for node in graph.nodes if node.op.startswith("lstm_next")]


class LastState(nn.Module):
    """The last layer's h, which torch reads from the states of all layers."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.layer(x)[1]
        return h[-1]


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN])
def test_the_last_layer_s_state_is_not_joined_with_the_others(kind: Any) -> None:
    """Joined, the layers share one scale, and become int16 together or not at all."""
    graph = prepared(LastState(layer(kind, num_layers=3)), torch.randn(2, 4, 5))
    assert "concat" not in Counter(node.op for node in graph.nodes)
    names = {node.name for node in graph.nodes if node.op == STEPS[kind]}
    groups = [names.intersection(group) for group in shared_scale_groups(graph, graph.tensors)]
    assert max(map(len, groups)) == 1
