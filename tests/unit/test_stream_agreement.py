# SPDX-License-Identifier: Apache-2.0
"""Streams read and give what the float network reads and gives, and every build checks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from myoedge.building.budget import Budget
from myoedge.building.config_tables import StreamTable
from myoedge.building.golden_sample import check_agreement
from myoedge.building.plan_within import plan_within
from myoedge.codegen.known_answer import sample_run
from myoedge.codegen.project import make_sources
from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.graph.ir import Tensor as GraphTensor
from myoedge.numerics.arrays import Array
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.streaming.causal import causal_stream
from myoedge.streaming.convert import (
    explicit_state_stream,
    infer_time_axes,
    window_axes,
    windowed_stream,
    without_states,
)
from myoedge.streaming.pass_builder import PassBuilder
from myoedge.streaming.stream import Stream, passes
from myoedge.targets.gap9.chip import GAP9

CHANNELS, FRAMES, NEW = 4, 24, 6
MEAN, SPREAD = np.array([1.0, -2.0, 0.5, 3.0]), np.array([2.0, 0.5, 1.0, 3.0])
Before = Callable[[Tensor], Tensor]


def column(values: Array) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None]


def batch_norm() -> Before:
    norm = nn.BatchNorm1d(CHANNELS)
    norm.running_mean, norm.running_var = column(MEAN)[:, 0], column(SPREAD)[:, 0] ** 2
    return norm.eval()


BEFORE: dict[str, Before] = {
    "batch norm": batch_norm(),
    "z-score": lambda x: (x - column(MEAN)) / column(SPREAD),
    "gains": lambda x: x / column(SPREAD),
    "one offset": lambda x: x + 3.5,
    "one factor": lambda x: x * 0.01,
}


class Causal(nn.Module):
    def __init__(self, before: Before) -> None:
        super().__init__()
        self.before, self.layer = before, nn.Conv1d(CHANNELS, 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(F.pad(self.before(x), (2, 0)))


class Both(Causal):
    """Layers that need two frames of the future."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(F.pad(self.before(x), (1, 1)))


class Step(nn.Module):
    """One chunk per step, with its state as input and output."""

    def __init__(self, before: Before) -> None:
        super().__init__()
        self.before, self.layer = before, nn.GRU(CHANNELS, 6, batch_first=True)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y, next_h = self.layer(self.before(x).transpose(1, 2), h)
        return y, next_h


@dataclass(frozen=True)
class Case:
    graph: Graph
    q: QuantGraph
    stream: Stream
    table: StreamTable
    sample: dict[str, Array]

    def check(self, stream: Stream) -> None:
        run = sample_run(stream, self.sample)
        check_agreement(stream, run, (self.graph, self.q), self.table, self.sample)


def case(kind: str, before: Before) -> Case:
    torch.manual_seed(0)
    network = {"causal": Causal, "windows": Both, "states": Step}[kind](before).eval()
    x = torch.zeros(1, CHANNELS, FRAMES if kind != "states" else 1)
    example = (x, torch.zeros(1, 1, 6)) if kind == "states" else (x,)
    with torch.no_grad():
        graph = prepare(from_exported(torch.export.export(network, example)))
    rng = np.random.default_rng(1)
    rows = {n: rng.normal(size=(8, *graph.shape(n))).astype(np.float32) for n in graph.inputs}
    name = graph.inputs[0]
    rows[name] = (rows[name] * SPREAD[:, None] + MEAN[:, None]).astype(np.float32)
    table = StreamTable()
    if kind == "states":
        states = {graph.inputs[1]: graph.output_names[1]}
        table, graph = StreamTable(states=states), without_states(graph, states)
    if kind == "windows":
        table = StreamTable(past=FRAMES - NEW - 2, future=2)
    q = quantize_graph(graph, calibrate(graph, rows, Observer("minmax"), "noise"))
    return Case(graph, q, stream_of(q, table), table, {n: x[0] for n, x in rows.items()})


def stream_of(q: QuantGraph, table: StreamTable) -> Stream:
    if table.states:
        return explicit_state_stream(q, table.states)
    if table.past is not None:
        return windowed_stream(q, window_axes(q.graph, 2), FRAMES - NEW - 2, 2)
    return causal_stream(q, infer_time_axes(q.graph, 2), NEW)


KINDS = ["causal", "windows", "states"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("before", BEFORE)
def test_ports_of_a_stream_mean_what_those_of_the_network_mean(kind: str, before: str) -> None:
    made = case(kind, BEFORE[before])
    whole, stream = made.q, made.stream
    for port in stream.inputs:
        found = stream.network.input_port(port.name)
        assert found.normalization is not None
        assert found.means_the_same(whole.input_port(port.name))
    for name, port in zip(whole.graph.outputs, stream.outputs, strict=True):
        assert stream.network.output_port(port.name).means_the_same(whole.output_port(name))
    made.check(stream)


@pytest.mark.parametrize("before", BEFORE)
def test_pushed_reals_give_what_torch_gives(before: str) -> None:
    """Frames as they are recorded, through the ports of the stream."""
    made = case("causal", BEFORE[before])
    torch.manual_seed(0)
    (x,) = made.sample.values()
    with torch.no_grad():
        wanted = Causal(BEFORE[before]).eval()(torch.from_numpy(x)).numpy()
    stream, (name,) = made.stream, made.sample
    frames = {name: stream.network.input_port(name).integers(x)}
    integers = np.concatenate([run.ready[0] for run in passes(stream, frames)], 2)
    got = stream.network.output_port(stream.outputs[0].name).real(integers)
    assert got.shape == wanted.shape
    assert np.sum(wanted**2) > 1e3 * np.sum((wanted - got) ** 2)


def without_normalization(stream: Stream) -> Stream:
    tensors = stream.network.graph.tensors
    bare = {name: replace(t, input_normalization=None) for name, t in tensors.items()}
    graph = replace(stream.network.graph, tensors=bare)
    return replace(stream, network=replace(stream.network, graph=graph))


def other_scale(stream: Stream) -> Stream:
    """The scale of the output, as a user would decode it, is wrong by a half."""
    network, (port, *_) = stream.network, stream.outputs
    params = network.params[port.name]
    halved = {**network.params, port.name: replace(params, scale=params.scale / 2)}
    return replace(stream, network=replace(network, params=halved))


def later(stream: Stream) -> Stream:
    """The first frame that is ready is lost."""
    return replace(stream, warmup=stream.warmup + 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("broken", [without_normalization, other_scale])
def test_a_stream_that_loses_a_part_of_a_port_is_no_build(
    kind: str, broken: Callable[[Stream], Stream]
) -> None:
    made = case(kind, BEFORE["z-score"])
    with pytest.raises(MyoedgeError) as caught:
        made.check(broken(made.stream))
    assert caught.value.code == "E402"


def test_a_stream_that_comes_late_is_no_build() -> None:
    made = case("causal", BEFORE["z-score"])
    with pytest.raises(MyoedgeError) as caught:
        made.check(later(made.stream))
    assert caught.value.code == "E402"


def test_a_pass_whose_input_lost_its_factors_is_illegal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the builder of passes once made them: of name, shape and type alone."""

    def add_input(builder: PassBuilder, name: str, shape: tuple[int, ...]) -> None:
        builder.tensors[name] = GraphTensor(name, shape)
        builder.like[name] = name

    monkeypatch.setattr(PassBuilder, "add_input", add_input)
    with pytest.raises(MyoedgeError) as caught:
        case("causal", BEFORE["gains"])
    assert caught.value.code == "E920"


@pytest.mark.parametrize("kind", KINDS)
def test_the_header_of_a_stream_has_the_factors_of_the_window_build(kind: str) -> None:
    made = case(kind, BEFORE["z-score"])
    plans = (made.q, None), (made.stream.network, made.stream)
    headers = [
        make_sources(plan_within(q, GAP9, Budget()), "net", stream=stream).files["net.h"]
        for q, stream in plans
    ]
    whole, frames = (
        [line for line in header.splitlines() if "INPUT0_" in line and "BYTES" not in line]
        for header in headers
    )
    assert whole == frames
    assert any("NET_INPUT0_FACTORS" in line for line in frames)
    assert any("NET_INPUT0_OFFSETS" in line for line in frames)
