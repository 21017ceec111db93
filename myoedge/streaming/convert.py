# SPDX-License-Identifier: Apache-2.0
"""QuantGraph -> Stream: every step on the frames of a pass, with those before as states."""

from __future__ import annotations

from myoedge.operators.base import QuantizedNode
from myoedge.quantization.scales import QuantGraph
from myoedge.streaming.frame_reads import Read, Reads, best_reads
from myoedge.streaming.pass_builder import Parts, network
from myoedge.streaming.recurrent import add_recurrent
from myoedge.streaming.stream import Stream
from myoedge.streaming.time_axis import Axes, Paths, paths

Shared = dict[tuple[str, Read, int], str]  # what is read of a tensor, for all who read the same


def streamed(q: QuantGraph, axes: Axes, frames: int) -> Stream:
    """The network in passes of so many frames: the same integers as the network over all of them.

    axes     of time, by input
    frames   of the inputs; a multiple of what the strides along time multiply to
    Errors: E131 the network is not causal.
    """
    found = paths(q.graph, axes)
    timing = best_reads(q.graph, found, frames)
    parts, shared = Parts(q, found.axis), Shared()
    for name in q.graph.inputs:
        parts.tensor(name, parts.with_frames(name, frames), name)
    for step in q.steps:
        _add(parts, shared, step, found, timing)
    last = {name: _operand(parts, shared, name, r) for name, r in timing.reads[""].items()}
    outputs = [last[name] for name in q.graph.outputs]
    return Stream(
        network(parts, outputs),
        tuple(parts.port(name, name) for name in q.graph.inputs),
        tuple(parts.port(name, last[name]) for name in q.graph.outputs),
        tuple(parts.states),
        timing.early(q.graph),
        timing.warmup(q.graph),
        found.stride[q.graph.outputs[0]],
    )


def _add(parts: Parts, shared: Shared, step: QuantizedNode, found: Paths, timing: Reads) -> None:
    """The step on what it reads in a pass."""
    moves, reads = found.moves[step.node.name], timing.reads[step.node.name]
    names = {n: _operand(parts, shared, n, reads[n], m.fill(step)) for n, m in moves.items()}
    inputs = [names.get(name, name) for name in step.node.inputs]
    made, move = timing.frames // found.stride[step.node.name], next(iter(moves.values()))
    if move.carries:
        begins = next(iter(reads.values())).begins
        add_recurrent(parts, step, inputs, move, begins or 0)
    else:
        parts.add_on(step, inputs, move.resized(made))


def _operand(parts: Parts, shared: Shared, name: str, read: Read, fill: int = 0) -> str:
    """The tensor that has what is read of another one; the same one for all who read the same."""
    key = (name, read, fill)
    if key not in shared:
        count = parts.shape(name)[parts.axis[name]]
        late = parts.cut(name, parts.behind(name, name, read.delay, fill, None), 0, count)
        whole = parts.behind(name, late, read.history, fill, read.begins)
        shared[key] = parts.cut(name, whole, 0, read.taken)
    return shared[key]
