# SPDX-License-Identifier: Apache-2.0
"""stream.json from elsewhere: what its network does not have is refused, field by field."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from myoedge.frontend.torch.export import from_exported
from myoedge.operators.interpreter import run_int
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from myoedge.reports.streams import measured_on, stream_report
from myoedge.streaming.causal import causal_stream
from myoedge.streaming.convert import infer_time_axes
from myoedge.streaming.loops import with_sequences_of_states, with_skip_factors
from myoedge.streaming.stream import Port, State, Stream, passes
from myoedge.streaming.stream_json import from_json, to_json
from tests.unit.test_streaming import recurrent

VALUES = (-1, 1000, 2**31, 2**63, 0.5, "x", None, True, [], [-(2**31)], [0] * 5000, [0.5], ["0"])


@functools.cache
def stream() -> Stream:
    q, _ = recurrent(nn.GRU)
    return causal_stream(q, infer_time_axes(q.graph, 2), 2)


def edited(change: Callable[[dict[str, Any]], None]) -> Stream:
    document = json.loads(json.dumps(to_json(stream())))
    change(document)
    return from_json(document, stream().network)


FREE = (("begins", 1000), ("fill", -1))  # other streams have these
ROWS = {"inputs": Port, "outputs": Port, "states": State}
FIELDS = [(name, key) for name, row in ROWS.items() for key in row.__slots__]


@pytest.mark.parametrize(("name", "key"), FIELDS)
def test_a_field_that_the_network_does_not_have_is_refused(name: str, key: str) -> None:
    for value in VALUES:
        if (key, value) not in FREE:
            with pytest.raises((ValueError, TypeError)):
                edited(lambda document, value=value: document[name][0].update({key: value}))


@pytest.mark.parametrize("name", ["early", "warmup", "future"])
def test_a_number_of_frames_that_no_stream_has_is_refused(name: str) -> None:
    for value in (-1, 2**31, 0.5, "x", None, True, []):
        with pytest.raises((ValueError, TypeError), match=f"{name}="):
            edited(lambda document, value=value: document.update({name: value}))


@pytest.mark.parametrize("name", ["inputs", "outputs", "states"])
@pytest.mark.parametrize("times", [0, 2])
def test_rows_that_are_missing_or_twice_are_refused(name: str, times: int) -> None:
    with pytest.raises(ValueError, match="states are not the"):
        edited(lambda document: document.update({name: document[name][1:] * times}))


def test_states_of_other_tensors_are_refused() -> None:
    """States whose sizes differ would be written past their end."""

    def turned(document: dict[str, Any]) -> None:
        first, last = document["states"][0], document["states"][-1]
        first["output"], last["output"] = last["output"], first["output"]

    with pytest.raises(ValueError, match="states are not the outputs"):
        edited(turned)


# --- samples --------------------------------------------------------------------------------------


FRAMES, CHANNELS = 12, 4


class Ended(nn.Module):
    """One output per window: that of its last frame; of a loop's states, all outputs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.out = layer, nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        rows = y[0] if isinstance(y, tuple) else y
        return self.out(rows if isinstance(self.layer, Written) else rows[:, -1:])


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(CHANNELS, 6, 3), nn.Conv1d(6, 6, 3, dilation=2)

    def forward(self, x: Tensor) -> Tensor:
        y = F.pad(torch.relu(self.a(F.pad(x.transpose(1, 2), (2, 0)))), (4, 0))
        return self.b(y).transpose(1, 2)


class Pooled(Convolutions):
    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool1d(super().forward(x).transpose(1, 2), 4, 1).transpose(1, 2)


class Written(nn.Module):
    """A cell of its own in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(CHANNELS, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        h, states = torch.zeros(1, 6), []
        for t in range(FRAMES):
            h = torch.tanh(self.x(x[:, t]) + self.h(h))
            states.append(h)
        return torch.stack(states, 1)


class Decaying(Written):
    """A linear recurrence."""

    def forward(self, x: Tensor) -> Tensor:
        a, u = torch.sigmoid(2.0 + self.h(self.x(x))), torch.tanh(self.x(x))
        h, states = torch.zeros(1, 6), []
        for t in range(FRAMES):
            h = a[:, t] * h + u[:, t]
            states.append(h)
        return torch.stack(states, 1)


LAYERS: dict[str, Any] = {
    "convolutions": Convolutions,
    "pool": Pooled,
    "gru": lambda: nn.GRU(CHANNELS, 6, batch_first=True),
    "lstm": lambda: nn.LSTM(CHANNELS, 6, batch_first=True),
    "rnn": lambda: nn.RNN(CHANNELS, 6, batch_first=True),
    "loop": Written,
    "scan": Decaying,
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_report_names_states_if_samples_behind_others_give_other_integers(name: str) -> None:
    torch.manual_seed(0)
    network = Ended(LAYERS[name]()).eval()
    with torch.no_grad():
        for row in (
            p for n, p in network.named_parameters() if "weight_hh" in n or "h.weight" in n
        ):
            row *= 4.0  # states that remember frames of earlier samples
        graph = prepare(from_exported(torch.export.export(network, (torch.zeros(1, FRAMES, 4),))))
    rng = np.random.default_rng(0)
    (source,) = graph.inputs
    windows = {source: rng.normal(size=(8, *graph.shape(source))).astype(np.float32)}
    graph = with_sequences_of_states(with_skip_factors(graph))
    q = quantize_graph(graph, calibrate(graph, windows, Observer("minmax"), "noise"))
    stream = causal_stream(q, infer_time_axes(graph, 1), 1)
    axis = stream.inputs[0].axis
    x = q.input_port(source).integers(np.concatenate(windows[source][:3], axis))
    runs = passes(stream, {stream.inputs[0].name: x})
    pushed = np.concatenate([run.ready[0] for run in runs], stream.outputs[0].axis)
    samples = [
        run_int(q.steps, q.constants, {source: part})[graph.outputs[0]]
        for part in np.split(x, 3, axis)
    ]
    at = stream.outputs[0].axis
    first = 3 * FRAMES - pushed.shape[at]  # frame of the first output
    found = pushed.take([FRAMES * (n + 1) - 1 - first for n in range(3)], at)
    expected = np.concatenate([y.take([-1], at) for y in samples], at)
    assert (found.take(0, at) == expected.take(0, at)).all()
    report: Any = {
        "stream": stream_report(stream, None, None, {}, sample_frames=stream.sample_frames(graph))
    }
    lines = measured_on(report)
    assert bool(lines) == (found != expected).any()
    assert all(f"samples of {FRAMES} frames" in line for line in lines)
    assert all(state in "".join(lines) for state in stream.endless_states)
