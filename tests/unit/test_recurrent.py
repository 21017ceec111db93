# SPDX-License-Identifier: Apache-2.0
"""LSTM, GRU and RNN: kept whole at import, torch's meaning, what int8 costs, what is refused."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.building.pipeline import run_quantize
from myoedge.building.pipeline_options import Options
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.constants import TensorQuant
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float
from myoedge.operators.layer_names import node_rows, unique_names
from myoedge.operators.recurrent.cells import (
    HIDDEN_PARAMS,
    SIGMOID_REACH,
    SIGMOID_STEP,
    TANH_REACH,
    TANH_STEP,
    interpolated,
    table,
)
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.sqnr import measure
from myoedge.quantization.stated_widths import matches
from tests.conftest import save_exported, thinned
from tests.support.warning_rules import applies, network_warnings


class Relu(nn.RNN):
    """A plain layer with relu; its states grow."""

    def __init__(self, *sizes: int, **options: Any) -> None:
        super().__init__(*sizes, nonlinearity="relu", **options)


KINDS = (nn.LSTM, nn.GRU, nn.RNN, Relu)
WAYS = [*itertools.product(KINDS, (1, 2), (False, True), (False, True), (False, True))]


class Whole(nn.Module):
    """A recurrent layer with everything it gives, and first states that may be inputs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, *first: Tensor) -> tuple[Tensor, ...]:
        given: tuple[Any, ...] = (first,) if len(first) == 2 else first
        y, last = self.layer(x, *given)
        return (y, *(last if isinstance(last, tuple) else (last,)))


class Cells(nn.Module):
    """Cells in a loop; the last one's input has no batch axis."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.lstm, self.gru = nn.LSTMCell(3, 4, bias), nn.GRUCell(4, 5, bias)
        self.tanh, self.relu = nn.RNNCell(5, 2, bias), nn.RNNCell(5, 2, bias, "relu")

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        state, y = (h, torch.zeros(2, 4)), torch.zeros(2, 5)
        for step in x.unbind(1):
            state = self.lstm(step, state)
            y = self.gru(state[0], y)
        return state[1], y, self.tanh(y), self.relu(y[0])


def imported(network: nn.Module, *inputs: Tensor) -> Graph:
    return from_exported(torch.export.export(network.eval(), inputs))


def values(graph: Graph, *inputs: Tensor) -> list[Array]:
    named = {n: x.numpy() for n, x in zip(graph.inputs, inputs, strict=True)}
    found = run_float(graph, named)
    return [found[name] for name in graph.outputs]


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize(("kind", "layers", "both", "batch_first", "given"), thinned(WAYS, 3))
def test_it_means_what_torch_says(
    kind: type[nn.LSTM | nn.GRU | nn.RNN], layers: int, both: bool, batch_first: bool, given: bool
) -> None:
    torch.manual_seed(0)
    shape = {"bidirectional": both, "batch_first": batch_first, "bias": not both or given}
    network, x = Whole(kind(5, 6, layers, **shape)), torch.randn(2, 7, 5)
    batch, states = x.shape[0 if batch_first else 1], 2 if kind is nn.LSTM else 1
    first = [torch.rand(layers * (1 + both), batch, 6) - 0.5 for _ in range(states * given)]
    graph = imported(network, x, *first)
    for found in (graph, prepare(graph)):
        assert len(found.nodes) < 45 * layers
        for mine, theirs in zip(values(found, x, *first), network(x, *first), strict=True):
            np.testing.assert_allclose(mine, theirs.detach().numpy(), atol=2e-6)


@pytest.mark.filterwarnings("ignore:The tensor attributes")
def test_steps_are_no_nodes() -> None:
    graph = prepare(imported(Whole(nn.LSTM(8, 8)), torch.zeros(100, 1, 8)))
    assert [n.op for n in graph.nodes].count("lstm") == 1
    assert len(graph.nodes) < 10


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 5))]
)
@pytest.mark.parametrize("kind", thinned(KINDS))
def test_what_int8_costs(kind: type[nn.LSTM | nn.GRU | nn.RNN], seed: int) -> None:
    """60 steps in both directions, weights as PyTorch draws them."""
    torch.manual_seed(seed)
    network = kind(24, 32, bidirectional=True)
    x = torch.randn(9, 60, 1, 24).cumsum(1) / 4
    graph = prepare(imported(network, x[0]))
    samples = {graph.inputs[0]: x.numpy()}
    found = measure(quantize_graph(graph, calibrate(graph, samples, Observer(), "")), samples)
    pairs = [
        (x.ravel(), y.ravel())
        for outputs in zip(found.real, found.integer, strict=True)
        for x, y in zip(*outputs, strict=True)
    ]
    real, integer = (np.concatenate(values).astype(float) for values in zip(*pairs, strict=True))
    assert 10 * np.log10((real**2).sum() / ((real - integer) ** 2).sum()) > 36.0


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize(("kind", "least"), [(nn.LSTM, 58.0), (nn.GRU, 62.0), (nn.RNN, 57.0)])
def test_what_16_bits_keep(kind: type[nn.LSTM | nn.GRU | nn.RNN], least: float) -> None:
    """As above with h, weights, inputs in 16 bits, where 8 keep 36 to 42 dB."""
    torch.manual_seed(0)
    x = torch.randn(5, 60, 1, 24).cumsum(1) / 4
    graph = prepare(imported(kind(24, 32), x[0]))
    samples = {graph.inputs[0]: x.numpy()}
    calibration = calibrate(graph, samples, Observer(), "")
    network = quantize_graph(graph, calibration, int16=frozenset(calibration.ranges))
    found = measure(network, samples)
    assert min(output.db for output in found.outputs.values() if output.db is not None) > least


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize(("kind", "eight_db"), [(nn.LSTM, (25.0, 30.0)), (nn.GRU, (0.0, 10.0))])
def test_small_states_have_steps_of_their_own(
    kind: type[nn.LSTM | nn.GRU], eight_db: tuple[float, float]
) -> None:
    """States of about 1/200, of which steps of 1/128 leave nothing; an LSTM's have finer ones."""
    torch.manual_seed(0)
    layer, x = kind(24, 32, bias=False), torch.randn(5, 20, 1, 24)
    with torch.no_grad():
        for weight in layer.parameters():
            weight *= 0.02
    graph = prepare(imported(layer, x[0]))
    samples = {graph.inputs[0]: x.numpy()}
    calibration = calibrate(graph, samples, Observer(), "")
    eight, sixteen = (
        measure(quantize_graph(graph, calibration, int16=frozenset(names)), samples)
        for names in ((), calibration.ranges)
    )
    name = graph.outputs[0]
    found = [x.outputs[name].db or 0.0 for x in (eight, sixteen)]
    assert eight_db[0] < found[0] < eight_db[1]
    assert found[1] > 25.0


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_first_state_beyond_1_makes_its_layer_int16(kind: type[nn.RNNBase], bias: bool) -> None:
    """Whatever the search measures: without a bias, a GRU's int8 h, of 1, was all that it saw."""
    torch.manual_seed(0)
    first = [torch.full((1, 1, 8), 3.0), torch.zeros(1, 1, 8)][: 2 if kind is nn.LSTM else 1]
    graph = prepare(imported(Whole(kind(4, 8, bias=bias)), torch.randn(3, 1, 4), *first))
    samples = {
        name: np.stack([x.numpy()] * 4)
        for name, x in zip(graph.inputs, (torch.randn(3, 1, 4), *first), strict=True)
    }
    network = quantize_graph(graph, calibrate(graph, samples, Observer(), ""))
    (layer,) = (node.name for node in graph.nodes if node.op in ("lstm", "gru", "rnn_tanh"))
    assert layer in network.int16
    assert "W106" not in {warning.code for warning in network_warnings(network)}
    assert (measure(network, samples).worst_db or 0.0) > 30.0


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@applies("W106", "start from")
def test_a_first_state_beyond_the_int8_range_of_a_file_is_told() -> None:
    """The file's own parameters of h are kept."""
    torch.manual_seed(0)
    x, first = torch.randn(3, 1, 4), torch.full((1, 1, 8), 3.0)
    graph = prepare(imported(Whole(nn.GRU(4, 8)), x, first))
    (layer,) = (node.name for node in graph.nodes if node.op == "gru")
    given = zip(graph.inputs, (x, first), strict=True)
    samples = {name: np.stack([value.numpy()] * 4) for name, value in given}
    of_floats = quantize_graph(graph, calibrate(graph, samples, Observer(), ""))
    stated = replace(graph.tensors[layer], q=TensorQuant(HIDDEN_PARAMS))
    graph = replace(graph, tensors={**graph.tensors, layer: stated})
    cut = quantize_graph(graph, calibrate(graph, samples, Observer(), ""))
    (told,) = [warning for warning in network_warnings(cut) if warning.code == "W106"]
    assert told.tries == ("start from the float network: this layer then becomes int16",)
    assert layer not in cut.int16
    assert layer in of_floats.int16
    assert "W106" not in {warning.code for warning in network_warnings(of_floats)}


@pytest.mark.filterwarnings("ignore:The tensor attributes")
def test_the_range_of_a_relu_layer_covers_its_first_state() -> None:
    torch.manual_seed(0)
    first, x = torch.full((1, 1, 8), 30.0), torch.randn(3, 1, 4)
    model = Whole(nn.RNN(4, 8, nonlinearity="relu", bias=False))
    with torch.no_grad():  # outputs stay near 1: the state is the largest value
        model.layer.weight_hh_l0.fill_(1 / 256)
    graph = prepare(imported(model, x, first))
    given = zip(graph.inputs, (x, first), strict=True)
    samples = {name: np.stack([value.numpy()] * 4) for name, value in given}
    network = quantize_graph(graph, calibrate(graph, samples, Observer(), ""))
    (q,) = (network.params[n.name] for n in network.graph.nodes if n.op == "rnn_relu")
    assert (q.high - q.zero_point) * q.scale >= 30.0
    assert "W106" not in {warning.code for warning in network_warnings(network)}


@pytest.mark.parametrize(
    ("name", "reach", "bits", "off"),
    [
        ("sigmoid", SIGMOID_REACH, SIGMOID_STEP, 2.0**-13.8),
        ("tanh", TANH_REACH, TANH_STEP, 2.0**-13),
    ],
)
def test_functions_between_entries(name: str, reach: float, bits: int, off: float) -> None:
    x = np.arange(-40_000, 40_000)
    real = torch.as_tensor(x / 1024.0)
    wanted = (torch.sigmoid(real) if name == "sigmoid" else torch.tanh(real)).numpy()
    y = interpolated(table(name), x, bits) / 2.0**15
    assert np.abs(y - wanted).max() <= off
    assert (np.diff(y) >= 0).all()
    assert len(np.unique(y[x >= reach * 1024])) == 1


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize(("layers", "both", "given"), [(1, False, True), (2, True, False)])
def test_projections(layers: int, both: bool, given: bool) -> None:
    """First states of h that are given are those of an LSTM: rows of the projection's image."""
    torch.manual_seed(0)
    network = Whole(nn.LSTM(4, 6, layers, bidirectional=both, bias=given, proj_size=3))
    x, runs = torch.randn(5, 2, 4), layers * (1 + both)
    first = [torch.rand(runs, 2, units) / 4 for units in (3, 6)] if given else []
    graph = imported(network, x, *first)
    assert [node.op for node in graph.nodes].count("lstm") == runs
    for mine, theirs in zip(values(graph, x, *first), network(x, *first), strict=True):
        np.testing.assert_allclose(mine, theirs.detach().numpy(), atol=2e-6)


@pytest.mark.parametrize("bias", [False, True])
def test_cells_are_layers_of_one_step(bias: bool) -> None:
    torch.manual_seed(0)
    network, given = Cells(bias), (torch.randn(2, 3, 3), torch.randn(2, 4))
    graph = imported(network, *given)
    real = run_float(graph, dict(zip(graph.inputs, (x.numpy() for x in given), strict=True)))
    for name, wanted in zip(graph.outputs, network(*given), strict=True):
        np.testing.assert_allclose(real[name], wanted.detach().numpy(), atol=1e-5)
    assert {"lstm", "lstm_cell", "gru", "rnn_tanh", "rnn_relu"} <= {n.op for n in graph.nodes}


def test_layers_and_directions_of_one_module_have_names_of_their_own() -> None:
    """As torch names their weights; rules match the module, or one of its layers."""
    net = Whole(nn.LSTM(3, 4, num_layers=2, bidirectional=True))
    graph = from_exported(torch.export.export(net, (torch.zeros(5, 1, 3),)))
    steps = [node for node in graph.nodes if node.op == "lstm"]
    names = [f"layer.{part}" for part in ("l0", "l0_reverse", "l1", "l1_reverse")]
    assert [node.label for node in steps] == unique_names(node_rows(steps)) == names
    assert [node.attrs["reverse"] for node in steps] == [False, True, False, True]
    assert all(matches("layer", node) for node in steps)
    assert [matches("layer.*_reverse", node) for node in steps] == [False, True, False, True]


@pytest.mark.filterwarnings("ignore:The tensor attributes")
def test_a_first_state_that_16_bits_hold_is_not_warned_of(tmp_path: Path) -> None:
    """The warning is of the network that is built, not of its first try in 8 bits."""
    torch.manual_seed(0)
    drawn = np.random.default_rng(0)
    x = drawn.standard_normal((32, 3, 1, 4)).astype(np.float32)
    first = 8 * drawn.standard_normal((32, 1, 1, 8)).astype(np.float32)
    examples = (torch.zeros(3, 1, 4), torch.zeros(1, 1, 8))
    model = save_exported(Whole(nn.GRU(4, 8)), examples, tmp_path / "model.pt2")
    found = run_quantize(Options(model, {"x": x, "first_0": first}))
    (state,) = (s.node.name for s in found.network.steps if s.node.op == "gru")
    assert state in found.network.int16
    assert "W106" not in {warning.code for warning in found.warnings}


def test_gates_beyond_their_reach_lose_nothing(tmp_path: Path) -> None:
    """Sums of hundreds are cut off at 32, where no function of a gate changes any more."""
    torch.manual_seed(0)
    model = Whole(nn.LSTM(4, 8)).eval()
    x = (100 * np.random.default_rng(0).standard_normal((32, 3, 1, 4))).astype(np.float32)
    weights = torch.cat([model.layer.weight_ih_l0, model.layer.bias_ih_l0[:, None]], 1)
    sums = torch.from_numpy(np.pad(x, [(0, 0)] * 3 + [(0, 1)], constant_values=1.0)) @ weights.T
    assert float(sums.detach().abs().max()) > 64.0
    found = run_quantize(
        Options(save_exported(model, (torch.zeros(3, 1, 4),), tmp_path / "model.pt2"), x)
    )
    (gates,) = (s.node.name for s in found.network.steps if s.node.op == "gates")
    local_db = found.fidelity.local[gates]
    assert local_db is not None
    assert local_db > 30.0
    assert "W102" not in {warning.code for warning in found.warnings}
