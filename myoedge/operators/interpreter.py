# SPDX-License-Identifier: Apache-2.0
"""The NumPy interpreter: runs a graph in floats, or its quantised steps in integers, independently
of the C templates; several samples in one call of an operator if its streaming rule says that they
can be the frames of axis 0."""

from __future__ import annotations

import functools
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from myoedge.graph.ir import PRE as PRE
from myoedge.graph.ir import Attrs, Graph, Node, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import bounds, evaluate, result_range
from myoedge.numerics.quant_params import rounded
from myoedge.numerics.requant import lookup
from myoedge.operators.base import OPS, OpDef, QuantizedNode
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.turns import IN_LOOPS, is_complete, moved, turns

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


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
    attrs = _attrs_for_batch(OPS[node.op], node.attrs, shapes, flags, batch.count)
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


def _attrs_for_batch(
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
        rule = _framewise_rule(op, OperandAxis(attrs, shapes, at, 0)) if can_be_frame else None
        if rule is None:
            return None
        found = rule.resized(count) if rule.resized else found
    return found


def _framewise_rule(op: OpDef, at: OperandAxis) -> StreamingRule | None:
    """Return the streaming rule along axis 0 of an operand with one frame, if frame j of the result
    depends on frame j alone; otherwise None."""
    rule = op.streaming_rule(at) if at.shapes[at.operand][:1] == (1,) else None
    return rule if rule is not None and _is_framewise(rule) else None


def _is_framewise(rule: StreamingRule) -> bool:
    """Return whether frame j along axis 0 of the result depends on frame j along axis 0 alone."""
    return rule.axis == 0 and rule.is_by_frame and not rule.before


Watch = Callable[[str, Array], None]


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Context manager that runs NumPy's matrix products on one thread, so that sums have the same
    bits on any number of processors.

    For small products more threads also cost time, especially on a busy machine.
    """
    with _blas_libraries().limit(limits=1):
        yield


@functools.cache
def _blas_libraries() -> ThreadpoolController:
    """Return NumPy's BLAS libraries; cached, as the search takes longer than a small product."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def real_node(node: Node, inputs: Sequence[Array]) -> tuple[Array, Array]:
    """Run a node in floats; return its value before and after the fused activation."""
    before = OPS[node.op].real(node.attrs, *inputs)
    return before, activated(node, before)


def activated(node: Node, before: Array) -> Array:
    """Apply a node's fused activation."""
    act = node.attrs.get("act", ())
    if not act:
        return before
    limits = bounds(act)
    after = evaluate(act, before) if limits is None else np.clip(before, *limits)
    return np.asarray(after.astype(before.dtype))


def stated_node(graph: Graph, node: Node, inputs: Sequence[Array]) -> tuple[Array, Array]:
    """Run a node in floats; if the model file quantises the result, round it accordingly.

    -> its value before and after the fused activation
    """
    before, after = real_node(node, inputs)
    if graph.is_fake_quantized(node.name + PRE):
        before = as_stated(graph, node.name + PRE, before)
        after = activated(node, before)
    return before, as_stated(graph, node.name, after)


def run_float(
    graph: Graph, inputs: Mapping[str, Array], watch: Watch | None = None
) -> dict[str, Array]:
    """Run a graph in floats on one sample; return all tensors by name.

    inputs   arrays by name: floats before the host's normalisation, or integers
    watch    called with every tensor as it is computed; `name.pre` is the input of a fused table
    """
    values: dict[str, Array] = graph.arrays
    show = watch or (lambda name, value: None)
    for name in graph.inputs:
        values[name] = as_stated(graph, name, as_read(graph, name, inputs[name]))
        show(name, values[name])
    for _, node, step in turns(graph.nodes, graph.nodes):
        before, values[node.name] = in_step(graph, node, step, values)
        if has_table(node):
            show(node.name + PRE, before)
        if is_complete(node, step):
            show(node.name, values[node.name])
    return values


def in_step(
    graph: Graph, node: Node, step: int, values: MutableMapping[str, Array]
) -> tuple[Array, Array]:
    """Run a node of a loop body in floats, in iteration `step`.

    values   tensors by name, with the states of the loop; updated
    -> the node's values before and after the fused activation
    """
    y = moved(node, step, values)
    return stated_node(graph, node, [values[x] for x in node.inputs]) if y is None else (y, y)


def as_stated(graph: Graph, name: str, value: Array) -> Array:
    """Return a tensor rounded to the quantisation parameters of the model file, if the file
    specifies any."""
    given = graph.given(name)
    if given is None or not given.fake_quantized:
        return value
    return rounded(value, given.params)


def every_value(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Run a graph in floats on one sample; return all tensors by name, and the input of every fused
    lookup table as `name.pre`."""
    values: dict[str, Array] = {}
    return values | run_float(graph, inputs, lambda name, value: values.update({name: value}))


def as_read(graph: Graph, name: str, x: Array) -> Array:
    """Convert an input array to the type of the graph's input: float32, or an integer type."""
    tensor = graph.tensors[name]
    border = tensor.input_normalization
    return (x if border is None else border.apply(x)).astype(tensor.dtype)


def has_table(node: Node) -> bool:
    """Return whether the fused activation needs a lookup table; clamps are part of the
    requantisation."""
    act = node.attrs.get("act", ())
    return bool(act) and bounds(act) is None


def result_bounds(node: Node) -> tuple[float, float] | None:
    """Return the bounds of a result, including its fused activation; None if unbounded."""
    act = node.attrs.get("act", ())
    return result_range(act) if act else OPS[node.op].result.bounds(node.attrs)


def integer_step(step: QuantizedNode, inputs: Sequence[Array]) -> Array:
    """Compute one operator in integers, bit-identical to the generated C."""
    y = OPS[step.node.op].integer(step, *inputs)
    return y if step.table is None else lookup(y, step.table)


def run_int(
    steps: Sequence[QuantizedNode], constants: Mapping[str, Array], inputs: Mapping[str, Array]
) -> dict[str, Array]:
    """Run the quantised network on one sample; return the integers of all tensors by name.

    steps       quantised operators in execution order
    constants   integers of constant operands by name
    inputs      quantised inputs by name
    """
    values: dict[str, Array] = {**constants, **inputs}
    for step, node, turn in turns([step.node for step in steps], steps):
        y = moved(node, turn, values)
        if y is None:
            y = integer_step(step, [values[name] for name in step.operands])
        # In this order, because ascontiguousarray turns a scalar into a vector.
        values[step.node.name] = np.ascontiguousarray(y).reshape(step.out)
    return values


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


def _run_integer_step(step: QuantizedNode, operands: Sequence[Array]) -> list[Array]:
    return [integer_step(step, operands)]
