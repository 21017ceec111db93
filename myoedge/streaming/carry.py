# SPDX-License-Identifier: Apache-2.0
"""QuantGraph -> Stream: every step on the frames of a pass, with those before as states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from myoedge.ir import Attrs, Node, Shape, Tensor
from myoedge.op import OPS, Integers, Step, output_of
from myoedge.quant.choose import QuantGraph
from myoedge.quant.legal import QUANTIZED
from myoedge.spec import enforce
from myoedge.streaming.paths import Axes, Paths, paths
from myoedge.streaming.pushed import Port, State, Stream
from myoedge.streaming.reads import Read, Reads, best_reads


@dataclass
class _Parts:
    """The network of a pass as it grows, from its inputs on.

    like   the tensor of `q` whose integers a new one has     read   who reads the same shares it
    """

    q: QuantGraph
    paths: Paths
    tensors: dict[str, Tensor]
    steps: list[Step] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    read: dict[tuple[str, Read, int], str] = field(default_factory=dict)
    like: dict[str, str] = field(default_factory=dict)

    def shape(self, name: str) -> Shape:
        known = self.tensors.get(name)
        return self.q.graph.shape(name) if known is None else known.shape

    def tensor(self, name: str, shape: Shape, like: str) -> None:
        self.tensors[name] = Tensor(name, shape, self.q.graph.tensors[like].dtype)
        self.like[name] = like

    def add(self, step: Step, like: str) -> None:
        self.tensor(step.node.name, step.out, like)
        self.steps.append(step)

    def free(self, name: str) -> str:
        while name in self.tensors or name in self.q.graph.tensors:
            name += "_"
        return name


def streamed(q: QuantGraph, axes: Axes, frames: int) -> Stream:
    """The network in passes of so many frames: the same integers as the network over all of them.

    axes     of time, by input
    frames   of the inputs; a multiple of what the strides along time multiply to
    Errors: E131 the network is not causal; E236 no such multiple.
    """
    found = paths(q.graph, axes)
    timing = best_reads(q.graph, found, frames)
    parts = _Parts(q, found, {n: _resized(q, n, found, frames) for n in q.graph.inputs})
    for step in q.steps:
        _add_step(parts, step, timing)
    outputs = {n: _operand(parts, n, r) for n, r in timing.reads[""].items()}
    return Stream(
        _network(parts, [outputs[name] for name in q.graph.outputs]),
        tuple(_port(parts, name, name) for name in q.graph.inputs),
        tuple(_port(parts, name, outputs[name]) for name in q.graph.outputs),
        tuple(parts.states),
        timing.early(q.graph),
        timing.warmup(q.graph),
        found.stride[q.graph.outputs[0]],
    )


def _resized(q: QuantGraph, name: str, found: Paths, frames: int) -> Tensor:
    tensor, axis = q.graph.tensors[name], found.axis[name]
    shape = (*tensor.shape[:axis], frames // found.stride[name], *tensor.shape[axis + 1 :])
    return replace(tensor, shape=shape)


def _port(parts: _Parts, of: str, name: str) -> Port:
    axis, params = parts.paths.axis[of], parts.q.params.get(of)
    fill = 0 if params is None else params.zero_point
    return Port(name, axis, parts.shape(name)[axis], fill)


def _add_step(parts: _Parts, step: Step, timing: Reads) -> None:
    """The step on what it reads in a pass."""
    moves, reads = parts.paths.moves[step.node.name], timing.reads[step.node.name]
    names = {n: _operand(parts, n, reads[n], move.fill(step)) for n, move in moves.items()}
    made = timing.frames // parts.paths.stride[step.node.name]
    node = step.node.but(
        inputs=tuple(names.get(name, name) for name in step.node.inputs),
        attrs=next(iter(moves.values())).resized(made),
    )
    operands = tuple(names.get(name, name) for name in step.operands)
    shapes = tuple(map(parts.shape, operands))
    out = output_of(node, [parts.shape(name) for name in node.inputs]).shape
    parts.add(replace(step, node=node, operands=operands, shapes=shapes, out=out), node.name)


def _operand(parts: _Parts, name: str, read: Read, fill: int = 0) -> str:
    """The tensor that has what is read of another one; the same one for all who read the same."""
    key = (name, read, fill)
    if key not in parts.read:
        count = parts.shape(name)[parts.paths.axis[name]]
        late = _behind(parts, name, name, read.delay, fill, None)
        late = _cut(parts, name, late, 0, count)
        whole = _behind(parts, name, late, read.history, fill, read.begins)
        parts.read[key] = _cut(parts, name, whole, 0, read.taken)
    return parts.read[key]


def _behind(parts: _Parts, origin: str, x: str, count: int, fill: int, begins: int | None) -> str:
    """The last `count` frames of the passes before, and behind them those of x."""
    if count == 0:
        return x
    axis, shape = parts.paths.axis[origin], parts.shape(x)
    past = parts.free(f"{origin}_past")
    parts.tensor(past, (*shape[:axis], count, *shape[axis + 1 :]), origin)
    joined = _move(parts, origin, "concat", (past, x), {"axis": axis}, f"{origin}_joined")
    kept = _cut(parts, origin, joined, shape[axis], count, f"{origin}_kept")
    parts.states.append(State(past, kept, fill, begins or 0))
    return joined


def _cut(parts: _Parts, origin: str, x: str, first: int, count: int, name: str = "") -> str:
    """So many frames of x from one on; x itself where that is all of it, unless it has a name."""
    axis, shape = parts.paths.axis[origin], parts.shape(x)
    if not name and count == shape[axis]:
        return x
    cuts = tuple((first, first + count, 1) if d == axis else (0, n, 1) for d, n in enumerate(shape))
    return _move(parts, origin, "slice", (x,), {"cuts": cuts}, name or f"{origin}_part")


def _move(
    parts: _Parts, origin: str, op: str, operands: Sequence[str], attrs: Attrs, name: str
) -> str:
    """A step that moves integers of `origin`, under a name that is free."""
    q, name = parts.q, parts.free(name)
    shapes = tuple(map(parts.shape, operands))
    made = q.graph.producer.get(origin)
    node = Node(op, tuple(operands), (name,), attrs, () if made is None else made.origin)
    item = np.dtype(q.dtype(origin)).itemsize
    step = Step(node, node.inputs, shapes, OPS[op].shape(attrs, *shapes), Integers(), item=item)
    parts.add(step, origin)
    return name


def _network(parts: _Parts, outputs: Sequence[str]) -> QuantGraph:
    """What has been gathered, as a network with states at its border."""
    q, states = parts.q, parts.states
    graph = replace(
        q.graph,
        inputs=(*q.graph.inputs, *(state.input for state in states)),
        outputs=(*outputs, *(state.output for state in states)),
        output_names=(*q.graph.output_names, *(state.output for state in states)),
        nodes=tuple(step.node for step in parts.steps),
        tensors=parts.tensors,
    )
    params = {new: q.params[old] for new, old in parts.like.items() if old in q.params}
    network = replace(q, graph=graph, steps=tuple(parts.steps), params={**q.params, **params})
    enforce(QUANTIZED, network, graph, "cut into frames")
    return network
