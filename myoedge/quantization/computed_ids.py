# SPDX-License-Identifier: Apache-2.0
"""Range checks of embedding indices that a network computes from integer inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import ancestors
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import integer_step, real_node
from myoedge.quantization.scales import QuantGraph


def check_samples(graph: Graph, samples: Mapping[str, Array], count: int) -> None:
    """Raise E229 if a sample leads to an embedding index out of range, where the network computes
    the index from integer inputs.

    samples   input name -> [samples, *input shape]
    count     number of samples to check
    Graphs without constants (of a finished build) are not checked.
    """
    readers = _readers_of_ids(graph)
    if not readers:
        return
    needed = ancestors(graph, [node.inputs[0] for node in readers])
    if not needed <= {*graph.constants, *graph.tensors}:
        return
    nodes = [node for node in graph.nodes if node.name in needed]
    for number in range(count):
        values = {**graph.arrays, **{name: x[number] for name, x in samples.items()}}
        for node in nodes:
            _, values[node.name] = real_node(node, [values[name] for name in node.inputs])
        _check_ids(readers, values, f"sample {number}")


def check_inputs(q: QuantGraph, inputs: Mapping[str, Array], title: str) -> None:
    """Raise E229 if quantised inputs lead to an embedding index out of range, as in
    `check_samples`.

    inputs   input name -> integers of one sample
    title    name of the sample in messages
    """
    values, readers = {**q.constants, **inputs}, _readers_of_ids(q.graph)
    needed = ancestors(q.graph, [node.inputs[0] for node in readers])
    for step in q.steps if needed else ():
        if step.node.name in needed:
            values[step.node.name] = integer_step(step, [values[name] for name in step.operands])
    _check_ids(readers, values, title)


def _check_ids(readers: Sequence[Node], values: Mapping[str, Array], title: str) -> None:
    for node in readers:
        low = node.attrs["first"]
        high, ids = low + node.attrs["rows"] - 1, values[node.inputs[0]]
        if ids.min() < low or ids.max() > high:
            needs, has = f"{low} to {high} at {node.where}", f"{ids.min()} to {ids.max()}"
            what = f"integers computed of {title} are out of range"
            raise MyoedgeError("E229", what, {"needs": needs, "has": has})


def _readers_of_ids(graph: Graph) -> list[Node]:
    """Return embeddings whose indices are computed only from integer inputs."""
    of_floats = {name for name in graph.inputs if graph.tensors[name].dtype == "float32"}
    computed: set[str] = set()
    for node in graph.nodes:
        if not of_floats.isdisjoint(node.inputs):
            of_floats.add(node.name)
        if node.op.startswith("integer_") or not computed.isdisjoint(node.inputs):
            computed.add(node.name)
    known = computed - of_floats
    tables = (node for node in graph.nodes if node.op == "embedding" and node.attrs["rows"])
    return [node for node in tables if node.inputs[0] in known]
