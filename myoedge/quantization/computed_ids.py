# SPDX-License-Identifier: Apache-2.0
"""Rows that a network asks for by integers that it computes of its inputs' integers."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import integer_step, real_node
from myoedge.quantization.scales import QuantGraph


def check_sample(graph: Graph, sample: Mapping[str, Array], title: str) -> None:
    """Errors: E229 where a table has no row for an integer computed of this sample's integers.

    Nothing is checked in a graph without its constants: that of a build, which has steps.
    """
    needed = _needed(graph)
    if not needed <= {*graph.constants, *graph.tensors}:
        return
    values = {**graph.constants, **sample}
    for node in graph.nodes:
        if node.name in needed:
            _, values[node.name] = real_node(node, [values[name] for name in node.inputs])
    _check(graph, values, title)


def check_inputs(q: QuantGraph, inputs: Mapping[str, Array], title: str) -> None:
    """`check_sample` of quantised inputs. Errors: E229."""
    values = {**q.constants, **inputs}
    for step in q.steps if (needed := _needed(q.graph)) else ():
        if step.node.name in needed:
            values[step.node.name] = integer_step(step, [values[name] for name in step.operands])
    _check(q.graph, values, title)


def _needed(graph: Graph) -> set[str]:
    readers = (node.inputs[0] for node in graph.nodes if _is_computed(graph, node))
    return _ancestors(graph, [*readers])


def _check(graph: Graph, values: Mapping[str, Array], title: str) -> None:
    for node in (node for node in graph.nodes if _is_computed(graph, node)):
        low = node.attrs["first"]
        high, ids = low + node.attrs["rows"] - 1, values[node.inputs[0]]
        if ids.min() < low or ids.max() > high:
            needs, has = f"{low} to {high} at {node.where}", f"{ids.min()} to {ids.max()}"
            what = f"integers computed of {title} are out of range"
            raise MyoedgeError("E229", what, {"needs": needs, "has": has})


def _is_computed(graph: Graph, node: Node) -> bool:
    """Whether a node reads rows by integers that arithmetic makes of integers of inputs alone."""
    if node.op != "embedding" or not node.attrs["rows"]:
        return False
    names = _ancestors(graph, [node.inputs[0]])
    computed = any(made.op.startswith("integer_") for made in graph.nodes if made.name in names)
    read = [name for name in names if name in graph.inputs]
    return computed and all(graph.tensors[name].dtype != "float32" for name in read)


def _ancestors(graph: Graph, names: list[str]) -> set[str]:
    """Tensors that these are made of, themselves among them."""
    found, pending = set[str](), [*names]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            made = graph.producer.get(name)
            pending.extend(() if made is None else made.inputs)
    return found
