# SPDX-License-Identifier: Apache-2.0
"""Recurrences written as loops over time, frame by frame: each pass goes on with the last states of
the one before it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from myoedge.building.config_tables import StreamTable
from myoedge.building.stream_rate import check_stream
from myoedge.errors import MyoedgeError
from myoedge.operators.turns import has_loops
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.sqnr import quantized_inputs
from myoedge.streaming.causal import causal_stream
from myoedge.streaming.convert import infer_time_axes
from myoedge.streaming.stream import Stream
from tests.support.networks.causal import push_all
from tests.support.networks.loops import (
    ClosedForm,
    Decayed,
    LiquidTime,
    MinimalGated,
    OverTime,
    Selective,
)
from tests.unit.test_streaming import check, prepared

STEPS, CHANNELS = 24, 8


class Leaky(OverTime):
    """A leaky integrator: its first step has no state to read."""

    width = CHANNELS

    def step(self, row: Tensor, state: Tensor) -> Tensor:
        return 0.9 * state + 0.1 * torch.tanh(row)


class Spiking(nn.Module):
    """Leaky neurons that fire, with two states: potential and spikes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(CHANNELS, 6)

    def forward(self, x: Tensor) -> Tensor:
        potential, spikes, fired = x.new_zeros(1, 6), x.new_zeros(1, 6), []
        for row in x.unbind(1):
            potential = 0.8 * potential + self.layer(row) - spikes
            spikes = (potential > 1).float()
            fired.append(spikes)
        return torch.stack(fired, 1)


class WithoutSkip(Selective):
    """Without a term for x itself."""

    def skipped(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class BehindConvolution(nn.Module):
    """A loop whose sequence is late, between layers that look back, and a second loop."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv1d(CHANNELS, CHANNELS, 3), nn.Conv1d(6, 4, 2)
        self.cell, self.second = MinimalGated(), Leaky()
        self.cell.head = nn.Linear(6, CHANNELS)
        self.out = nn.Linear(CHANNELS, 6)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.first(x.transpose(1, 2)).transpose(1, 2)
        y = self.out(self.second(self.cell(rows)))
        return self.last(nn.functional.pad(y.transpose(1, 2), (1, 0)))


class Spread(nn.Module):
    """The mean of each row times a tensor that each step makes for itself."""

    def factors(self, at: int) -> Tensor:
        return torch.full((1, 6), 0.7)

    def forward(self, x: Tensor) -> Tensor:
        state, states = torch.zeros(1, 6), []
        for at in range(STEPS):
            state = torch.tanh(0.5 * state + x[:, at].mean() * self.factors(at))
            states.append(state)
        return torch.stack(states, 1)


class Changing(Spread):
    def factors(self, at: int) -> Tensor:
        return torch.full((1, 6), 0.1 * at)


CELLS = [MinimalGated, Leaky, Spiking, ClosedForm, LiquidTime, BehindConvolution, Spread]


def quantized_over(
    network: nn.Module, *, int16: bool = False
) -> tuple[QuantGraph, dict[str, np.ndarray]]:
    graph = check_stream(prepared(network, 1, STEPS, CHANNELS), StreamTable(axis=1))
    x = np.random.default_rng(0).normal(size=(12, 1, STEPS, CHANNELS)).astype(np.float32)
    samples = {graph.inputs[0]: x}
    wide = frozenset((*graph.inputs, *(n.name for n in graph.nodes))) if int16 else frozenset()
    ranges = calibrate(graph, samples, Observer("minmax"), "noise")
    q = quantize_graph(graph, ranges, int16=wide)
    return q, quantized_inputs(q, {graph.inputs[0]: x[0]})


@pytest.mark.parametrize("cell", CELLS)
def test_passes_go_on_where_the_loop_was(cell: type[nn.Module]) -> None:
    torch.manual_seed(1)
    q, sample = quantized_over(cell())
    assert has_loops(q.graph)
    late = 2 if cell is BehindConvolution else 0
    for frames in (1, 3):
        check(q, sample, 1, frames, STEPS - late - 2 * frames)
    stream = causal_stream(q, infer_time_axes(q.graph, 1), 1)
    assert stream.warmup == late, "no later than the valid convolution in front"


@pytest.mark.parametrize("int16", [False, True])
@pytest.mark.parametrize(
    ("cell", "op", "kinds"),
    [
        (Decayed, "scan", ("int32", "int64")),
        (Selective, "selective_scan", ("int32", "int32")),
        (WithoutSkip, "selective_scan", ("int32", "int32")),
    ],
)
def test_a_scan_goes_on_with_its_state(
    cell: type[nn.Module], op: str, kinds: tuple[str, str], int16: bool
) -> None:
    """In its own steps, of which those of int16 operands are finer."""
    torch.manual_seed(1)
    graph = check_stream(prepared(cell(), 1, STEPS, CHANNELS), StreamTable(axis=1))
    assert [node.op for node in graph.nodes].count(op) == 1
    x = np.random.default_rng(0).normal(size=(12, 1, STEPS, CHANNELS)).astype(np.float32)
    samples = {graph.inputs[0]: x}
    ranges = calibrate(graph, samples, Observer("minmax"), "noise")
    wide = frozenset(n.name for n in graph.nodes) if int16 else frozenset()
    q = quantize_graph(graph, ranges, int16=wide)
    sample = quantized_inputs(q, {graph.inputs[0]: x[0]})
    for frames in (1, 3):
        check(q, sample, 1, frames, STEPS - 2 * frames)
    (state,) = causal_stream(q, infer_time_axes(q.graph, 1), 2).states
    stream = causal_stream(q, infer_time_axes(q.graph, 1), 2)
    assert stream.network.dtype(state.input) == kinds[int16]


class Headed(nn.Module):
    """A cell of torch, called step by step, with layers on the state of every step."""

    def __init__(self, cell: type[nn.RNNCellBase], dim: int, *, each: bool = False) -> None:
        super().__init__()
        self.cell, self.dim, self.each = cell(CHANNELS, 6), dim, each
        self.heads = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
            for _ in range(STEPS if each else 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(1, 6)
        made = []
        for t in range(x.shape[1]):
            if isinstance(self.cell, nn.LSTMCell):
                h, c = self.cell(x[:, t], (h, c))
            else:
                h = self.cell(x[:, t], h)
            made.append(self.heads[t * self.each](h))
        return torch.stack(made, self.dim)


def check_longer(network: nn.Module, stream: Stream, seed: int) -> None:
    """The stream's frames are torch's outputs for three times as many frames as were exported."""
    x = np.random.default_rng(seed).normal(size=(1, 3 * STEPS, CHANNELS)).astype(np.float32)
    name = stream.inputs[0].name
    (got,) = push_all(stream, {name: stream.network.input_port(name).integers(x)})
    real = stream.network.output_port(stream.outputs[0].name).real(got)
    with torch.no_grad():
        wanted = network(torch.from_numpy(x)).numpy()
    assert real.shape == wanted.shape
    assert 10 * np.log10(np.sum(wanted**2) / np.sum((wanted - real) ** 2)) > 22


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_layers_on_every_state_give_a_frame_for_a_frame(
    cell: type[nn.RNNCellBase], dim: int
) -> None:
    """Output t comes with frame t, along the axis on which torch stacks them."""
    torch.manual_seed(1)
    network = Headed(cell, dim).eval()
    q, sample = quantized_over(network)
    assert [node.op for node in q.graph.nodes].count("linear") == 2
    check(q, sample, 1, 1, STEPS)
    check(q, sample, 1, 3, STEPS)
    stream = causal_stream(q, infer_time_axes(q.graph, 1), 1)
    assert (stream.warmup, stream.outputs[0].axis) == (0, dim)
    check_longer(network, stream, 0)


def test_another_layer_for_every_state_is_refused() -> None:
    """Which of the axes of one element is time, the graph does not tell."""
    with pytest.raises(MyoedgeError, match="joins frames one by one") as caught:
        quantized_over(Headed(nn.GRUCell, 1, each=True))
    assert caught.value.code == "E131"
    assert caught.value.notice.tries[0].startswith("apply a layer to all frames at once")


@pytest.mark.parametrize("cell", [MinimalGated, Leaky, ClosedForm, Decayed, Selective])
def test_a_recording_longer_than_the_export(cell: type[nn.Module]) -> None:
    """torch runs over three times as many frames; the stream, one by one."""
    torch.manual_seed(1)
    network = cell().eval()
    q, _ = quantized_over(network)
    check_longer(network, causal_stream(q, infer_time_axes(q.graph, 1), 1), 7)


class LastState(nn.Module):
    """A written loop of which the state after the last row is read, by a layer."""

    def __init__(self, cell: type[OverTime]) -> None:
        super().__init__()
        self.cell = cell()
        self.head = nn.Linear(self.cell.width, 4)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(1, self.cell.width)
        for row in x.unbind(1):
            state = self.cell.step(row, state)
        return self.head(state)


class TwoLast(nn.Module):
    """torch's scan with two states, of which the last values are read, in the other order."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.head = nn.Linear(CHANNELS + 6, 6), nn.Linear(6, 4)

    def step(self, states: tuple[Tensor, Tensor], row: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        fast = torch.tanh(self.own(torch.cat([row, states[0]], 1)))
        return (fast, 0.8 * states[1] + 0.2 * fast), fast.clone()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        zeros = x.new_zeros(1, 6)
        (fast, slow), _ = scan(self.step, (zeros, zeros.clone()), x.transpose(0, 1))
        return torch.relu(slow), self.head(fast)


@pytest.mark.parametrize("cell", [Leaky, Decayed, MinimalGated, ClosedForm, LiquidTime, None])
def test_the_last_state_is_on_a_stream_that_of_each_frame(cell: type[OverTime] | None) -> None:
    """torch runs over the frames up to this one, from the export's number on, as for a GRU."""
    torch.manual_seed(1)
    network = (TwoLast() if cell is None else LastState(cell)).eval()
    q, sample = quantized_over(network, int16=True)
    check(q, sample, 1, 1, 1)
    stream = causal_stream(q, infer_time_axes(q.graph, 1), 1)
    x = np.random.default_rng(3).normal(size=(1, 2 * STEPS, CHANNELS)).astype(np.float32)
    got = push_all(stream, {stream.inputs[0].name: stream.network.input_port("x").integers(x)})
    with torch.no_grad():
        prefixes = [torch.from_numpy(x[:, :n]) for n in range(STEPS, 2 * STEPS + 1)]
        wanted = [network(part) for part in prefixes]
    for at, port in enumerate(stream.outputs):
        real = stream.network.output_port(port.name).real(got[at])
        each = [y[at] if cell is None else y for y in wanted]
        expected = torch.cat(each).numpy()
        assert real.shape == expected.shape
        assert 10 * np.log10(np.sum(expected**2) / np.sum((expected - real) ** 2)) > 25


def test_constants_that_change_from_step_to_step_are_refused() -> None:
    with pytest.raises(MyoedgeError) as caught:
        quantized_over(Changing())
    assert caught.value.code == "E131"


def test_a_state_that_the_first_frame_gives_is_refused() -> None:
    """No constant gives the same first iteration."""

    class FromFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2 * CHANNELS, CHANNELS)

        def forward(self, x: Tensor) -> Tensor:
            h = x[:, 0]
            states = [h]
            for row in range(1, x.shape[1]):
                h = torch.tanh(self.inner(torch.cat([x[:, row], h], 1)))
                states.append(h)
            return torch.stack(states, 1)

    with pytest.raises(MyoedgeError) as caught:
        quantized_over(FromFirst())
    assert caught.value.code == "E131"
    assert "begins with a state that it computes from the first frames" in str(caught.value)
