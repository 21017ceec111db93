# SPDX-License-Identifier: Apache-2.0
"""Streams of causal networks: a pass computes only new frames, and keeps what they need of earlier
ones."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from myoedge.graph.ir import Graph
from myoedge.operators.base import QuantizedNode
from myoedge.operators.turns import IN_LOOPS, READ, STATE
from myoedge.quantization.scales import QuantGraph
from myoedge.streaming.frame_reads import PassReads, Read, earliest_reads
from myoedge.streaming.loops import SequenceLoop, loops_of
from myoedge.streaming.padding import NONE, Unpadded, unpadded
from myoedge.streaming.pass_builder import (
    PassBuilder,
    add_last_states,
    add_recurrent,
    built_network,
)
from myoedge.streaming.stream import Stream
from myoedge.streaming.time_axis import Axes, TimeAxisMap, follow_time


def causal_stream(q: QuantGraph, axes: Axes, frames: int) -> Stream:
    """Return a stream that computes `frames` frames per pass, with the same integers as the network
    on all frames at once.

    axes     input -> time axis
    frames   input frames per pass; a multiple of `TimeAxisMap.pass_multiple`
    Errors: E131 the network is not causal.
    """
    paths = follow_time(q.graph, axes)
    real = unpadded(q, paths)
    timing = earliest_reads(q.graph, paths.rate, real.rules, frames)
    builder = PassBuilder(q, paths.axis)
    for name in q.graph.inputs:
        builder.add_input(name, builder.with_frames(name, frames))
    loops = loops_of(q.graph)
    for step in q.steps:
        reads, loop = timing.reads[step.node.name], loops.get(step.node.name)
        if loop is not None and loop.is_over_time(paths.axis):
            count = int(frames / paths.rate[loop.sequences[0]])
            _add_in_loop(builder, step, loop, real, timing.reads, count)
        else:
            _add_node(builder, step, real, reads, int(frames / paths.rate[step.node.name]))
    outputs_of = {
        name: builder.frames_of(name, read, NONE) for name, read in timing.reads[""].items()
    }
    outputs = [outputs_of[name] for name in q.graph.outputs]
    return Stream(
        built_network(builder, outputs),
        tuple(map(builder.port, q.graph.inputs, q.graph.inputs)),
        tuple(map(builder.port, q.graph.outputs, outputs)),
        tuple(builder.states),
        timing.early(q.graph),
        timing.warmup(q.graph),
        _output_delay(q.graph, paths, timing),
    )


def _output_delay(graph: Graph, paths: TimeAxisMap, timing: PassReads) -> int:
    """Return the input frames by which outputs come later than the frame they are of: what layers
    need of future frames, and what passes are late by. Frames that the network itself leaves out,
    as a convolution without padding does, are no delay."""
    (name, *_), (source, *_) = graph.outputs, graph.inputs
    rate, frames = paths.rate[name], graph.shape(source)[paths.axis[source]]
    left_out = frames - graph.shape(name)[paths.axis[name]] * rate
    late = timing.warmup(graph) * rate - timing.early(graph)
    return max(math.ceil(late - left_out if left_out > 0 else late), 0)


def _add_in_loop(
    builder: PassBuilder,
    step: QuantizedNode,
    loop: SequenceLoop,
    real: Unpadded,
    reads: Mapping[str, Mapping[str, Read]],
    count: int,
) -> None:
    """Add a node of a loop over time to the pass; behind the last one, the loop's last states.

    reads   node -> operand -> the frames that it reads
    count   iterations of a pass
    """
    node, inputs, attrs = step.node, step.node.inputs, step.attrs
    reader = next(node.name for node in loop.nodes if node.op == READ)
    if node == loop.nodes[0]:  # before the loop, of which all nodes follow each other
        for name, read in reads[reader].items():
            builder.frames_of(name, read, real.before[reader][name])
    if node.op == STATE:
        inputs = (builder.past_of(node.name),)
    elif node.op == READ:
        name = node.inputs[0]
        inputs = (builder.frames_of(name, reads[reader][name], real.before[reader][name]),)
    builder.add_step(step, inputs, {**attrs, "steps": count} if node.op in IN_LOOPS else attrs)
    if node == loop.nodes[-1]:
        begins = next(iter(reads[reader].values())).begins or 0
        add_last_states(builder, loop.nodes, count, begins)


def _add_node(
    builder: PassBuilder, step: QuantizedNode, real: Unpadded, reads: Mapping[str, Read], count: int
) -> None:
    """Add a node of the network to the pass.

    reads   operand -> the frames that it reads
    count   frames of its result
    """
    name, rules, before = step.node.name, real.rules[step.node.name], real.before[step.node.name]
    names = {n: builder.frames_of(n, reads[n], before[n]) for n in rules}
    inputs = [names.get(x, x) for x in step.node.inputs]
    rule = next(iter(rules.values()))
    attrs = rule.resized(count) if rule.resized else step.attrs
    if rule.carries:
        add_recurrent(builder, step, inputs, rule, next(iter(reads.values())).begins or 0)
    elif step.node.op == "pad" and name in real.padded and not np.any(attrs["pads"]):
        builder.same[name] = inputs[0]  # frame by frame, as it pads nothing else
    else:
        builder.add_step(step, inputs, attrs)
