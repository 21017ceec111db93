# SPDX-License-Identifier: Apache-2.0
"""Causal networks: QuantGraph -> Stream, every step on the frames of a pass, with states."""

from __future__ import annotations

from myoedge.operators.base import QuantizedNode
from myoedge.quantization.scales import QuantGraph
from myoedge.streaming.frame_reads import PassReads, Read, earliest_reads
from myoedge.streaming.pass_builder import PassBuilder, built_network
from myoedge.streaming.recurrent import add_recurrent
from myoedge.streaming.stream import Stream
from myoedge.streaming.time_axis import Axes, TimePaths, follow_time

OperandCache = dict[tuple[str, Read, int], str]  # by tensor, read and fill


def causal_stream(q: QuantGraph, axes: Axes, frames: int) -> Stream:
    """The network in passes of `frames` frames, with the integers of the network over all
    frames.

    axes     of time, by input
    frames   of the inputs; a multiple of what the strides along time multiply to
    Errors: E131 the network is not causal.
    """
    paths = follow_time(q.graph, axes)
    timing = earliest_reads(q.graph, paths, frames)
    builder, cache = PassBuilder(q, paths.axis), OperandCache()
    for name in q.graph.inputs:
        builder.tensor(name, builder.with_frames(name, frames), name)
    for step in q.steps:
        _add(builder, cache, step, paths, timing)
    outputs_of = {name: _operand(builder, cache, name, r) for name, r in timing.reads[""].items()}
    outputs = [outputs_of[name] for name in q.graph.outputs]
    return Stream(
        built_network(builder, outputs),
        tuple(builder.port(name, name) for name in q.graph.inputs),
        tuple(builder.port(name, outputs_of[name]) for name in q.graph.outputs),
        tuple(builder.states),
        timing.early(q.graph),
        timing.warmup(q.graph),
        paths.stride[q.graph.outputs[0]],
    )


def _add(
    builder: PassBuilder,
    cache: OperandCache,
    step: QuantizedNode,
    paths: TimePaths,
    timing: PassReads,
) -> None:
    """Adds a step on the frames that it reads in a pass."""
    rules, reads = paths.rules[step.node.name], timing.reads[step.node.name]
    names = {n: _operand(builder, cache, n, reads[n], m.fill(step)) for n, m in rules.items()}
    inputs = [names.get(name, name) for name in step.node.inputs]
    frames, rule = timing.frames // paths.stride[step.node.name], next(iter(rules.values()))
    if rule.carries:
        fill_passes = next(iter(reads.values())).begins
        add_recurrent(builder, step, inputs, rule, fill_passes or 0)
    else:
        builder.add_step(step, inputs, rule.resized(frames))


def _operand(
    builder: PassBuilder, cache: OperandCache, name: str, read: Read, fill: int = 0
) -> str:
    """The tensor of the frames that a step reads of another tensor; cached for equal reads."""
    key = (name, read, fill)
    if key not in cache:
        count = builder.shape(name)[builder.axis[name]]
        delayed = builder.part(
            name, builder.with_past(name, name, read.delay, fill, None), 0, count
        )
        with_history = builder.with_past(name, delayed, read.history, fill, read.begins)
        cache[key] = builder.part(name, with_history, 0, read.taken)
    return cache[key]
