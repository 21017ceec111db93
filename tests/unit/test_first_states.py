# SPDX-License-Identifier: Apache-2.0
"""Written loops that begin with constant states are one loop from the first step on.

torch runs over a recording, and keeps the states that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.building.config_tables import StreamTable
from myoedge.building.stream_rate import check_stream
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph
from myoedge.operators.interpreter import run_float
from myoedge.operators.turns import loop_spans
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.sqnr import quantized_inputs
from myoedge.streaming.causal import causal_stream
from myoedge.streaming.convert import infer_time_axes
from tests.support.networks.causal import push_all
from tests.support.networks.filters import BEGINNINGS, CHANNELS, FORMS, Filter, Step
from tests.unit.test_streaming import check, prepared

STEPS, FRAMES = 16, 48
TABLE = [
    pytest.param(step, beginning, id=f"{step.__name__}-{beginning}")
    for step in FORMS
    for beginning in BEGINNINGS
]


def signal(frames: int, seed: int) -> np.ndarray:
    shape = (1, frames, CHANNELS)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def steps_of(graph: Graph) -> set[int]:
    """Steps of loops, or of sequences where a network needs no loop."""
    spans = {span.steps for span in loop_spans(graph.nodes)}
    return spans or {graph.shape(graph.outputs[0])[1]}


@pytest.mark.parametrize(("step", "beginning"), TABLE)
def test_all_steps_are_of_one_loop(step: Step, beginning: str) -> None:
    """As many layers for any number of steps, and none for the first step alone."""
    counts = set()
    for steps in (STEPS, STEPS + 5):
        network = Filter(step, beginning).eval()
        graph, x = prepared(network, 1, steps, CHANNELS), signal(steps, 0)
        assert steps_of(graph) == {steps}
        found = run_float(graph, {graph.inputs[0]: x})[graph.outputs[0]]
        with torch.no_grad():
            wanted = network(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
        counts.add(len(graph.nodes))
    assert len(counts) == 1


@pytest.mark.parametrize(("step", "beginning"), TABLE)
def test_a_stream_is_torch_over_the_recording(step: Step, beginning: str) -> None:
    """Over three times as many frames as were exported; and the integers of the whole network."""
    network = Filter(step, beginning).eval()
    graph = check_stream(prepared(network, 1, STEPS, CHANNELS), StreamTable(axis=1))
    name, x = graph.inputs[0], signal(FRAMES, 1)
    samples = 1.5 * np.stack([signal(STEPS, seed) for seed in range(2, 8)])
    wide = frozenset((name, *(node.name for node in graph.nodes)))
    ranges = calibrate(graph, {name: samples}, Observer("minmax"), "noise")
    q = quantize_graph(graph, ranges, int16=wide)
    check(q, quantized_inputs(q, {name: samples[0]}), 1, 1, STEPS)
    check(q, quantized_inputs(q, {name: samples[1]}), 1, 3, STEPS - 3)
    stream = causal_stream(q, infer_time_axes(q.graph, 1), 1)
    (got,) = push_all(stream, {name: stream.network.input_port(name).integers(x)})
    real = stream.network.output_port(stream.outputs[0].name).real(got)
    with torch.no_grad():
        wanted = network(torch.from_numpy(x)).numpy()
    assert real.shape == wanted.shape
    assert 10 * np.log10(np.sum(wanted**2) / np.sum((wanted - real) ** 2)) > 20


class Kalman(nn.Module):
    """A filter of a random walk, with gains that were computed before; a number or a tensor each.

    gains   how each frame reads its own
    """

    def __init__(self, gains: Callable[[Tensor, int], Tensor | float], *, bounded: bool) -> None:
        super().__init__()
        self.gains, self.bounded = gains, bounded
        self.register_buffer("table", 1 / torch.arange(2.0, STEPS + 2)[:, None].repeat(1, CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        m, found = torch.zeros(1, CHANNELS), []
        for t, row in enumerate(x.unbind(1)):
            m = m + self.gains(self.table, t) * (row - m)
            m = torch.tanh(m) if self.bounded else m
            found.append(m)
        return torch.stack(found, 1)


GAINS: Mapping[str, Callable[[Tensor, int], Tensor | float]] = {
    "Python's numbers": lambda table, t: 1 / (t + 2),
    "tensors": lambda table, t: torch.full((1, CHANNELS), 1 / (t + 2)),
    "rows of a buffer": lambda table, t: table[t],
}


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("gains", GAINS)
def test_constants_of_each_frame_are_named(gains: str, bounded: bool) -> None:
    """A stream has no last frame; the constant to which they converge streams."""
    network = Kalman(GAINS[gains], bounded=bounded).eval()
    with pytest.raises(MyoedgeError, match="constants that change from frame to frame") as caught:
        check_stream(prepared(network, 1, STEPS, CHANNELS), StreamTable(axis=1))
    assert caught.value.code == "E131"
    assert caught.value.notice.tries[0] == "the constants to which they converge"
    converged = Kalman(lambda table, t: 0.1, bounded=bounded).eval()
    assert check_stream(prepared(converged, 1, STEPS, CHANNELS), StreamTable(axis=1))


class Images(nn.Module):
    """A recurrence over images: a convolution of each image and the state."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h, found = torch.zeros(1, 2, 6, 6), []
        for image in x.unbind(1):
            h = torch.tanh(self.conv(torch.cat([image, h], 1)))
            found.append(h)
        return torch.stack(found, 1)


def test_no_step_transposes() -> None:
    """Images are put in the order of channels once, before the loop, not in each step."""
    graph = prepared(Images().eval(), 1, STEPS, 2, 6, 6)
    (span,) = loop_spans(graph.nodes)
    assert span.steps == STEPS
    body = graph.nodes[span.first : span.end]
    assert all(node.op != "transpose" for node in body)
