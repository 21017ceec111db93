# SPDX-License-Identifier: Apache-2.0
"""QuantGraph -> Stream for networks that are not causal: the whole network, a window a pass.

A window is the network's own length: frames that are known already, those that are new and whose
outputs are wanted, and some of the future, so that the outputs come that much later.
"""

from __future__ import annotations

from myoedge.graph.ir import Graph
from myoedge.quantization.scales import QuantGraph
from myoedge.streaming.pass_builder import Parts, network
from myoedge.streaming.stream import Stream
from myoedge.streaming.time_axis import Axes, alike, refused, several


def window_axes(graph: Graph, named: int | None = None) -> dict[str, int]:
    """The axis of time of every input and output: as long in all of them.

    named   of the inputs; without it the only one that fits
    Errors: E131 outputs that have no frame for every frame; E235 several axes could be it.
    """
    shape = graph.shape(graph.inputs[0])
    tried = range(len(shape)) if named is None else [named % len(shape)]
    fit = {axis: found for axis in tried if (found := alike(graph, axis)) is not None}
    if len(fit) == 1:
        return next(iter(fit.values()))
    if fit:
        raise several([*fit])
    title = "the outputs have no frame for every frame of the inputs"
    raise refused(graph, title, "one axis that is as long in all inputs and outputs")


def windowed(q: QuantGraph, axes: Axes, past: int, future: int) -> Stream:
    """Windows that overlap by `past` and `future` frames; outputs are of the frames between them.

    axes   of inputs and outputs
    In front of the first frame lie zero points.
    """
    window = q.graph.shape(q.graph.inputs[0])[axes[q.graph.inputs[0]]]
    hop = window - past - future
    assert hop > 0, (window, past, future)
    parts = Parts(q, axes)
    joined = {name: _with_past(parts, name, hop) for name in q.graph.inputs}
    for step in q.steps:
        parts.add_on(step, [joined.get(name, name) for name in step.node.inputs], step.attrs)
    outputs = [parts.cut(name, name, past, hop) for name in q.graph.outputs]
    inputs = tuple(parts.port(name, name) for name in q.graph.inputs)
    made = tuple(parts.port(of, name) for of, name in zip(q.graph.outputs, outputs, strict=True))
    return Stream(network(parts, outputs), inputs, made, tuple(parts.states), 0, future, 1, future)


def _with_past(parts: Parts, name: str, hop: int) -> str:
    """The frames of a window, of which so many are new."""
    window = parts.q.graph.shape(name)[parts.axis[name]]
    parts.tensor(name, parts.with_frames(name, hop), name)
    return parts.behind(name, name, window - hop, parts.fill(name), None)
