# SPDX-License-Identifier: Apache-2.0
"""The NumPy interpreter: runs a graph in floats, or its quantised steps in integers, independently
of the C templates."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from myoedge.graph.ir import PRE as PRE
from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import bounds, evaluate, result_range
from myoedge.numerics.quant_params import rounded
from myoedge.numerics.requant import lookup
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.turns import is_complete, moved, turns

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


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
        if (y := moved(node, step, values)) is None:
            before, y = stated_node(graph, node, [values[x] for x in node.inputs])
        else:
            before = y
        values[node.name] = y
        if has_table(node):
            show(node.name + PRE, before)
        if is_complete(node, step):
            show(node.name, values[node.name])
    return values


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
