# SPDX-License-Identifier: Apache-2.0
"""Networks that are not causal: QuantGraph -> Stream, the whole network on a window a pass.

A window is the network's own length: frames that are known already, those that are new and whose
outputs are wanted, and some of the future, so that the outputs come that much later.
"""

from __future__ import annotations

from myoedge.graph.ir import Graph
from myoedge.quantization.scales import QuantGraph
from myoedge.streaming.pass_builder import PassBuilder, built_network
from myoedge.streaming.stream import Stream
from myoedge.streaming.time_axis import Axes, ambiguous_axes, common_axes, stream_error


def window_axes(graph: Graph, axis: int | None = None) -> dict[str, int]:
    """The time axis of every input and output, of equal length in all of them.

    named   of the inputs; without it the only one that fits
    Errors: E131 outputs that have no frame for every frame; E235 several axes could be it.
    """
    shape = graph.shape(graph.inputs[0])
    candidates = range(len(shape)) if axis is None else [axis % len(shape)]
    fit = {axis: axes for axis in candidates if (axes := common_axes(graph, axis)) is not None}
    if len(fit) == 1:
        return next(iter(fit.values()))
    if fit:
        raise ambiguous_axes([*fit])
    title = "the outputs have no frame for every frame of the inputs"
    raise stream_error(graph, title, "one axis that is as long in all inputs and outputs")


def windowed_stream(q: QuantGraph, axes: Axes, past: int, future: int) -> Stream:
    """Windows that overlap by `past` and `future` frames; outputs are of the frames between.

    axes   of inputs and outputs
    In front of the first frame lie zero points.
    """
    window = q.graph.shape(q.graph.inputs[0])[axes[q.graph.inputs[0]]]
    hop = window - past - future
    assert hop > 0, (window, past, future)
    builder = PassBuilder(q, axes)
    joined = {name: _with_past(builder, name, hop) for name in q.graph.inputs}
    for step in q.steps:
        builder.add_step(step, [joined.get(name, name) for name in step.node.inputs], step.attrs)
    outputs = [builder.part(name, name, past, hop) for name in q.graph.outputs]
    inputs = tuple(builder.port(name, name) for name in q.graph.inputs)
    out_ports = tuple(
        builder.port(source, name) for source, name in zip(q.graph.outputs, outputs, strict=True)
    )
    return Stream(
        built_network(builder, outputs),
        inputs,
        out_ports,
        tuple(builder.states),
        0,
        future,
        1,
        future,
    )


def _with_past(builder: PassBuilder, name: str, hop: int) -> str:
    """The frames of a window, `hop` of which are new."""
    window = builder.q.graph.shape(name)[builder.axis[name]]
    builder.tensor(name, builder.with_frames(name, hop), name)
    return builder.with_past(name, name, window - hop, builder.fill(name), None)
