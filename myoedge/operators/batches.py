# SPDX-License-Identifier: Apache-2.0
"""Several samples in one call of an operator, if its streaming rules say that they can be frames:
along axis 0, or along axis 1, as the sequences of recurrent layers."""

from __future__ import annotations

import functools
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from myoedge.graph.ir import Attrs, Graph, Node, Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS, OpDef, QuantizedNode
from myoedge.operators.interpreter import integer_step
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.turns import IN_LOOPS, has_loops, moved, turns


def has_small_calls(graph: Graph) -> bool:
    """Return whether a network computes steps in time one after another: by loops, or by layers
    that begin with a state."""
    return has_loops(graph) or any(OPS[x.op].operands.first_states for x in graph.nodes)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of samples.

    count       number of samples
    constants   constants by name, [*shape]; those that a loop reads as a state or sequence,
                [samples, *shape]
    shared      names of the constants [*shape]
    """

    count: int
    constants: Mapping[str, Array]
    shared: frozenset[str]

    @staticmethod
    def of(nodes: Iterable[Node], constants: Mapping[str, Array], count: int) -> Batch:
        """Return a batch of `count` samples of a network.

        constants   its constants by name, [*shape]
        """
        read = {node.inputs[0] for node in nodes if node.op in IN_LOOPS}
        repeated = {
            name: np.broadcast_to(constants[name], (count, *constants[name].shape))
            for name in read.intersection(constants)
        }
        return Batch(count, {**constants, **repeated}, frozenset(constants).difference(read))


@dataclass(frozen=True, slots=True)
class FrameAxes:
    """Axes along which the samples of a batch are frames: of each operand, None for one that all
    samples read as it is, and of the result."""

    operands: tuple[int | None, ...]
    result: int


@dataclass(frozen=True, slots=True)
class BatchedNode:
    """A node as it computes a batch of samples.

    node     the node; with attributes for all samples as frames, if it has `frames`
    count    number of samples
    shared   per operand, whether it is a constant that all samples read
    out      shape of the result for one sample
    frames   axes along which one call computes all samples; None: a call for each
    """

    node: Node
    count: int
    shared: tuple[bool, ...]
    out: Shape
    frames: FrameAxes | None = None

    def run(
        self, compute: Callable[[Sequence[Array]], Sequence[Array]], operands: Sequence[Array]
    ) -> list[Array]:
        """Compute all samples.

        compute    operands of one call -> its results, each with the elements of `out` per sample
        operands   [samples, *shape], or [*shape] if shared
        -> results [samples, *out]
        """
        pairs = [*zip(operands, self.shared, strict=True)]
        if (frames := self.frames) is not None:
            axes = zip(pairs, frames.operands, strict=True)
            made = compute([self._as_frames(x, shared, axis) for (x, shared), axis in axes])
            at = frames.result
            split = (*self.out[:at], self.count, *self.out[at:])
            return [np.ascontiguousarray(np.moveaxis(np.reshape(y, split), at, 0)) for y in made]
        every = range(self.count)
        calls = [compute([x if shared else x[at] for x, shared in pairs]) for at in every]
        return [
            np.stack([np.reshape(y, self.out) for y in made]) for made in zip(*calls, strict=True)
        ]

    def _as_frames(self, x: Array, shared: bool, axis: int | None) -> Array:
        """Return an operand, [samples, *shape] or shared, as one with frames along an axis of
        `shape`."""
        if axis is None:
            return x
        if shared:
            return np.repeat(x, self.count, axis)
        _, *shape = x.shape
        return np.moveaxis(x, 0, axis).reshape(*shape[:axis], -1, *shape[axis + 1 :])


def batched_node(graph: Graph, node: Node, batch: Batch, axes: Sequence[int] = (0,)) -> BatchedNode:
    """Return a node of the float network as it computes a batch.

    axes   axes of the result along which samples may be frames
    """
    shapes, out = [graph.shape(name) for name in node.inputs], graph.shape(node.name)
    flags = tuple(name in batch.shared for name in node.inputs)
    for axis in axes:
        found = _frames_of_batch(node, shapes, flags, batch.count, axis)
        if found is not None and out[axis : axis + 1] == (1,):
            return BatchedNode(found[0], batch.count, flags, out, found[1])
    return BatchedNode(node, batch.count, flags, out)


def batched_step(
    graph: Graph, step: QuantizedNode, batch: Batch
) -> tuple[QuantizedNode, BatchedNode]:
    """Return a quantised operator as one call of it computes, and how it computes a batch.

    graph   the float network
    """
    flags = tuple(name in batch.shared for name in step.operands)
    found = batched_node(graph, step.node, batch, axes=(0, 1))
    if (frames := found.frames) is None:
        return step, replace(found, shared=flags)
    axes = frames.operands[: len(flags)]

    def of_all(shape: Shape, axis: int | None) -> Shape:
        return shape if axis is None else (*shape[:axis], batch.count, *shape[axis + 1 :])

    shapes = tuple(map(of_all, step.shapes, axes))
    out = of_all(step.out, frames.result)
    found = replace(found, shared=flags, frames=replace(frames, operands=axes))
    return replace(step, node=found.node, shapes=shapes, out=out), found


def _frames_of_batch(
    node: Node, shapes: Sequence[Shape], shared: Sequence[bool], count: int, axis: int
) -> tuple[Node, FrameAxes] | None:
    """Return a node with the attributes with which it reads `count` samples as frames, and their
    axes; None if it cannot.

    axis   axis of the result
    """
    op, attrs, axes = OPS[node.op], node.attrs, list[int | None]()
    for at, is_shared in enumerate(shared):
        if is_shared and (at in op.weights.at or op.operands.broadcast.get(at, 0) is None):
            axes.append(None)
            continue
        # A weight with an axis of samples is also a state of a loop.
        # Constants, such as first states, are repeated for sequences alone.
        can_be_frame = at not in op.weights.at and (axis > 0 or not is_shared)
        found = _framewise_rule(op, attrs, shapes, at, axis) if can_be_frame else None
        if found is None:
            return None
        rule, own = found
        axes.append(own)
        attrs = rule.resized(count) if rule.resized else attrs
    return replace(node, attrs=attrs), FrameAxes(tuple(axes), axis)


def _framewise_rule(
    op: OpDef, attrs: Attrs, shapes: Sequence[Shape], operand: int, axis: int
) -> tuple[StreamingRule, int] | None:
    """Return the streaming rule along the axis of an operand with one frame, and that axis, if
    frame j of the result, along `axis`, depends on frame j alone; None if there is none."""
    for own in range(axis, -1, -1):
        if shapes[operand][own : own + 1] == (1,):
            rule = op.streaming_rule(OperandAxis(attrs, shapes, operand, own))
            if rule is not None and rule.axis == axis and rule.is_by_frame and not rule.before:
                return rule, own
    return None


def run_int_batch(
    graph: Graph,
    steps: Sequence[QuantizedNode],
    constants: Mapping[str, Array],
    inputs: Mapping[str, Array],
) -> dict[str, Array]:
    """Run the quantised network on several samples; return the integers of all computed tensors by
    name, [samples, *shape].

    graph       the float network
    steps       quantised operators in execution order
    constants   integers of constant operands by name
    inputs      quantised inputs by name, [samples, *shape]
    """
    nodes, count = [step.node for step in steps], len(next(iter(inputs.values())))
    batch = Batch.of(nodes, {**graph.arrays, **constants}, count)
    made: dict[str, Array] = {}
    values = ChainMap(made, dict(inputs), dict(batch.constants))
    for (step, batched), node, turn in turns(nodes, [batched_step(graph, x, batch) for x in steps]):
        y = moved(node, turn, values, axis=1)
        if y is None:
            run = functools.partial(_run_integer_step, step)
            (y,) = batched.run(run, [values[name] for name in step.operands])
        made[node.name] = np.ascontiguousarray(y)
    return {**inputs, **made}


def batch_of_step(
    graph: Graph, step: QuantizedNode, batch: Batch, values: Mapping[str, Array]
) -> Array:
    """Return the integers of a quantised operator for a batch, [samples, *shape].

    values   integers of its operands by name, as `Batch` has constants
    """
    operands = [values[name] for name in step.operands]
    if batch.count == 1:
        pairs = zip(step.operands, operands, strict=True)
        y = integer_step(step, [x if name in batch.shared else x[0] for name, x in pairs])
        return np.ascontiguousarray(y).reshape(1, *step.out)
    alike, batched = batched_step(graph, step, batch)
    (made,) = batched.run(functools.partial(_run_integer_step, alike), operands)
    return np.ascontiguousarray(made)


def _run_integer_step(step: QuantizedNode, operands: Sequence[Array]) -> list[Array]:
    return [integer_step(step, operands)]
