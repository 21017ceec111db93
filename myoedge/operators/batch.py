# SPDX-License-Identifier: Apache-2.0
"""Several samples in one call of an operator: its streaming rule says whether they can be the
frames of axis 0."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from myoedge.graph.ir import Attrs, Graph, Node, Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS, OpDef, QuantizedNode
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.turns import IN_LOOPS


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
class BatchedNode:
    """A node as it computes a batch of samples.

    node       the node; with attributes for all samples as frames along axis 0, if `together`
    count      number of samples
    shared     per operand, whether it is a constant that all samples read
    out        shape of the result for one sample
    together   whether one call computes all samples
    """

    node: Node
    count: int
    shared: tuple[bool, ...]
    out: Shape
    together: bool

    def run(
        self, compute: Callable[[Sequence[Array]], Sequence[Array]], operands: Sequence[Array]
    ) -> list[Array]:
        """Compute all samples.

        compute    operands of one call -> its results, each with the elements of `out` per sample
        operands   [samples, *shape], or [*shape] if shared
        -> results [samples, *out]
        """
        pairs = [*zip(operands, self.shared, strict=True)]
        if self.together:
            made = compute([x if shared else x.reshape(-1, *x.shape[2:]) for x, shared in pairs])
            return [np.asarray(y).reshape(self.count, *self.out) for y in made]
        every = range(self.count)
        calls = [compute([x if shared else x[at] for x, shared in pairs]) for at in every]
        return [
            np.stack([np.reshape(y, self.out) for y in made]) for made in zip(*calls, strict=True)
        ]


def batched_node(graph: Graph, node: Node, batch: Batch) -> BatchedNode:
    """Return a node of the float network as it computes a batch."""
    shapes, out = [graph.shape(name) for name in node.inputs], graph.shape(node.name)
    flags = tuple(name in batch.shared for name in node.inputs)
    attrs = _attrs_for_all(OPS[node.op], node.attrs, shapes, flags, batch.count)
    if attrs is None or out[:1] != (1,):
        return BatchedNode(node, batch.count, flags, out, together=False)
    return BatchedNode(replace(node, attrs=attrs), batch.count, flags, out, together=True)


def batched_step(
    graph: Graph, step: QuantizedNode, batch: Batch
) -> tuple[QuantizedNode, BatchedNode]:
    """Return a quantised operator as one call of it computes, and how it computes a batch.

    graph   the float network
    """
    flags = tuple(name in batch.shared for name in step.operands)
    found = replace(batched_node(graph, step.node, batch), shared=flags)
    if not found.together:
        return step, found
    pairs = zip(step.shapes, flags, strict=True)
    shapes = tuple(x if shared else (batch.count, *x[1:]) for x, shared in pairs)
    out = (batch.count, *step.out[1:])
    return replace(step, node=found.node, shapes=shapes, out=out), found


def _attrs_for_all(
    op: OpDef, attrs: Attrs, shapes: Sequence[Shape], shared: Sequence[bool], count: int
) -> Attrs | None:
    """Return the attributes with which an operator reads `count` samples as frames along axis 0;
    None if it cannot."""
    found = attrs
    for at, is_shared in enumerate(shared):
        if is_shared and (at in op.weights.at or op.operands.broadcast.get(at, 0) is None):
            continue
        # A weight with an axis of samples is also a state of a loop.
        can_be_frame = not is_shared and at not in op.weights.at
        rule = _rule(op, OperandAxis(attrs, shapes, at, 0)) if can_be_frame else None
        if rule is None:
            return None
        found = rule.resized(count) if rule.resized else found
    return found


def _rule(op: OpDef, at: OperandAxis) -> StreamingRule | None:
    """Return the streaming rule along axis 0 of an operand with one frame, if frame j of the result
    depends on frame j alone; otherwise None."""
    rule = op.streaming_rule(at) if at.shapes[at.operand][:1] == (1,) else None
    return rule if rule is not None and _is_framewise(rule) else None


def _is_framewise(rule: StreamingRule) -> bool:
    """Return whether frame j along axis 0 of the result depends on frame j along axis 0 alone."""
    return rule.axis == 0 and rule.is_by_frame and not rule.before
