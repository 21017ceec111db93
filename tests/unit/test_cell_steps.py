# SPDX-License-Identifier: Apache-2.0
"""LSTMs whose c or gates leave the usual range or use little of it: against torch, and between
frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_int
from myoedge.operators.recurrent.calibrated import Reach, step_attrs
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.cell_steps import with_cell_steps
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.sqnr import quantized_inputs, real_values
from tests.support.networks.causal import Recurrent
from tests.unit.test_recurrent import Whole, imported
from tests.unit.test_streaming import check, prepared

UNITS = 8


def counting() -> tuple[nn.LSTM, Tensor]:
    """Gates stay open: c of every unit runs to 40 and back, and h changes its sign then."""
    layer = nn.LSTM(1, UNITS)
    with torch.no_grad():
        layer.weight_hh_l0 *= 0.1
        layer.weight_ih_l0.zero_()
        layer.weight_ih_l0[2 * UNITS : 3 * UNITS] = torch.linspace(1.5, 2.0, UNITS)[:, None]
        layer.bias_hh_l0.zero_()
        layer.bias_ih_l0 += torch.tensor([4.0, 9.0, 0.0, 0.0]).repeat_interleave(UNITS)
    up = torch.cat([torch.ones(44), -torch.ones(60)])
    return layer, torch.stack([up, -up]).reshape(2, -1, 1, 1)


def faint() -> tuple[nn.LSTM, Tensor]:
    """c stays at about 0.01."""
    layer = nn.LSTM(4, UNITS)
    with torch.no_grad():
        for weight in layer.parameters():
            weight *= 0.02
    return layer, torch.randn(4, 60, 1, 4)


def opposed() -> tuple[nn.LSTM, Tensor]:
    """The first unit's h is 3/4, and takes from the other units' gates the 60 that biases give
    them."""
    layer = nn.LSTM(4, UNITS)
    others = torch.arange(4 * UNITS) % UNITS > 0
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
        layer.weight_hh_l0[others, 0] = -80.0
        layer.bias_hh_l0.zero_()
        layer.bias_ih_l0[others] = 60.0
        g = float(np.arctanh(np.arctanh(0.75)))
        layer.bias_ih_l0[~others] = torch.tensor([30.0, -30.0, g, 30.0])  # i, f, g, o
        layer.weight_ih_l0[~others] = 0.0
    return layer, torch.randn(4, 60, 1, 4)


class Speaker(nn.Module):
    """Two layers of long memory, whose last h counts. In the first, c runs far beyond the usual
    range and comes back; in the second, one unit counts up for ever and the others add little."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.far, _ = counting()
        self.long = nn.LSTM(UNITS, UNITS)
        new = slice(2 * UNITS, 3 * UNITS)
        with torch.no_grad():
            self.long.weight_ih_l0[new] *= 0.1
            self.long.weight_hh_l0[new] = 0.0
            self.long.bias_ih_l0[new] *= 0.1
            self.long.bias_hh_l0[new] *= 0.1
            self.long.bias_ih_l0[UNITS : 2 * UNITS] += 6.0
            for gate in range(3):  # i, f, g of the first unit
                self.long.bias_ih_l0[gate * UNITS] = 30.0

    def forward(self, x: Tensor) -> Tensor:
        steps: Tensor = self.long(self.far(x)[0])[0]
        return steps[-1]


@pytest.mark.filterwarnings("ignore:The tensor attributes")
def test_each_layer_has_the_steps_of_c_with_the_least_noise() -> None:
    """Those of its range in the first layer; the usual ones, which cut the counter off, in the
    second. By ranges alone 9 dB are left, with the usual steps in both 22."""
    network, (_, x) = Speaker(), counting()
    x = torch.cat([x, x, x], 1)
    graph = prepare(imported(network, x[0]))
    samples = {graph.inputs[0]: x.numpy()}
    with torch.no_grad():
        wanted = torch.stack([network(one) for one in x]).numpy()
    graph = with_cell_steps(graph, samples)
    (found,) = decibels(quantized(graph, samples, int16=False), samples, [wanted])
    assert found > 40.0
    kept = [node.attrs.get("cell_bits") for node in graph.nodes if node.op == "lstm"]
    assert kept == [9, None]


def quantized(graph: Graph, samples: dict[str, Array], int16: bool) -> QuantGraph:
    calibration = calibrate(graph, samples, Observer(), "")
    names = frozenset(calibration.ranges if int16 else ())
    return quantize_graph(graph, calibration, int16=names)


def decibels(network: QuantGraph, samples: dict[str, Array], wanted: list[Array]) -> list[float]:
    """SQNR of each output over all samples."""
    noise = np.zeros(len(wanted))
    for at in range(len(wanted[0])):
        inputs = quantized_inputs(network, {name: x[at] for name, x in samples.items()})
        found = run_int(network.steps, network.constants, inputs)
        for i, name in enumerate(network.graph.outputs):
            noise[i] += np.sum((real_values(network, name, found[name]) - wanted[i][at]) ** 2)
    powers = np.array([np.sum(x**2) for x in wanted])
    return [float(db) for db in 10 * np.log10(powers / noise)]


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize(
    ("make", "int16", "usual", "own"),
    [
        (counting, False, (1.0, 20.0), (40.0, 45.0)),
        (counting, True, (1.0, 20.0), (45.0, 50.0)),
        (faint, False, (32.0, 32.0), (38.0, 40.0)),
        (faint, True, (32.0, 32.0), (50.0, 50.0)),
        (opposed, False, (10.0, 10.0), (40.0, 40.0)),
        (opposed, True, (10.0, 10.0), (32.0, 28.0)),
    ],
)
def test_an_lstm_keeps_what_torch_has(
    make: Callable[[], tuple[nn.LSTM, Tensor]],
    int16: bool,
    usual: tuple[float, float],
    own: tuple[float, float],
) -> None:
    """dB of h of all steps, and of the last c: below `usual` with the usual steps of c and gates,
    above `own` with those by the range."""
    torch.manual_seed(0)
    layer, x = make()
    graph = prepare(imported(Whole(layer), x[0]))
    samples = {graph.inputs[0]: x.numpy()}
    with torch.no_grad():
        runs = [Whole(layer.double())(one.double()) for one in x]
    wanted = [torch.stack(found).numpy() for found in zip(*runs, strict=True)]
    for g, is_right in ((graph, np.less), (with_cell_steps(graph, samples), np.greater)):
        h, _, c = decibels(quantized(g, samples, int16), samples, wanted)
        limits = usual if g is graph else own
        assert np.all(is_right((h, c), limits)), (h, c)


def test_usual_ranges_change_nothing() -> None:
    torch.manual_seed(0)
    graph, x = prepare(imported(nn.LSTM(3, 5), torch.zeros(9, 1, 3))), np.ones((2, 9, 1, 3))
    assert with_cell_steps(graph, {graph.inputs[0]: x.astype(np.float32)}) is graph


@pytest.mark.parametrize(
    ("reach", "bits"),
    [
        (Reach(31.0, 15.9, 1.0), {}),
        (Reach(8.0, 16.0, 1.0), {"cell_bits": 10}),
        (Reach(8.0, 40.0, 1.0), {"cell_bits": 9}),
        (Reach(8.0, 60.0, 1.0), {"cell_bits": 8}),
        (Reach(8.0, 1e9, 1.0), {"cell_bits": 5}),
        (Reach(0.6, 0.3, 0.3), {}),
        (Reach(0.5, 0.25, 0.2), {"gate_bits": 14, "cell_bits": 15, "hidden_bits": 9}),
        (Reach(0.0, 0.0, 0.0), {}),
    ],
)
def test_steps_are_powers_of_two_by_the_range(reach: Reach, bits: dict[str, int]) -> None:
    assert step_attrs(reach) == bits


@pytest.mark.parametrize("frames", [1, 3])
def test_a_stream_carries_states_in_their_own_steps(frames: int) -> None:
    torch.manual_seed(0)
    network = Recurrent(4)
    with torch.no_grad():
        for weight in network.parameters():
            weight *= 0.02
    graph = prepared(network, 1, 4, 30)
    x = np.random.default_rng(0).normal(size=(2, 1, 4, 30)).astype(np.float32)
    samples = {graph.inputs[0]: x}
    graph = with_cell_steps(graph, samples)
    (lstm,) = (node for node in graph.nodes if node.op == "lstm")
    assert {"gate_bits": 14, "cell_bits": 15}.items() <= lstm.attrs.items()
    for int16 in (False, True):
        q = quantized(graph, samples, int16)
        check(q, quantized_inputs(q, {graph.inputs[0]: x[0]}), 2, frames, 20)
