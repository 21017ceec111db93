# SPDX-License-Identifier: Apache-2.0
"""Written loops that begin with constant states are one loop from the first step on.

torch runs over a recording, and keeps the states that it has.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from myoedge.building.config_tables import StreamTable
from myoedge.building.stream_rate import check_stream
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
