# SPDX-License-Identifier: Apache-2.0
"""Two networks of one input as one graph, the first of which runs first."""

from __future__ import annotations

from dataclasses import replace

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node

LOOP = "loop"  # attribute of a loop's operators: its name


def joined(first: Graph, second: Graph, name: str) -> Graph:
    """Return a graph that computes `first` and then `second` on the same input.

    name   of the first network, with which the names of its tensors, layers and outputs begin
    The outputs are those of the second network, then those of the first. Errors: E209 the inputs
    differ.
    """
    _check_inputs(first, second, name)
    names = {old: f"{name}.{old}" for old in (*first.tensors, *first.constants)}
    names |= zip(first.inputs, second.inputs, strict=True)
    nodes = [_renamed(node, names, name) for node in first.nodes]
    tensors = {
        names[x.name]: replace(x, name=names[x.name])
        for x in first.tensors.values()
        if x.name not in first.inputs
    }
    constants = {names[key]: x for key, x in first.constants.items()}
    labels = [f"{name}.{label}" for label in first.output_labels]
    return replace(
        second,
        nodes=(*nodes, *second.nodes),
        outputs=(*second.outputs, *(names[x] for x in first.outputs)),
        output_names=(*second.output_labels, *labels),
        tensors={**second.tensors, **tensors},
        constants={**second.constants, **constants},
    )


def _renamed(node: Node, names: dict[str, str], name: str) -> Node:
    outputs = tuple(names[x] for x in node.outputs)
    attrs = {**node.attrs}
    if LOOP in attrs:
        attrs[LOOP] = f"{name}.{attrs[LOOP]}"
    origin = tuple(replace(x, path=f"{name}.{x.path}" if x.path else name) for x in node.origin)
    return node.reading(names).but(outputs=outputs, attrs=attrs, origin=origin)


def _check_inputs(first: Graph, second: Graph, name: str) -> None:
    has, needs = (_inputs_text(graph) for graph in (first, second))
    if has != needs:
        title = f"the {name} has another input than the network behind it"
        tries = [f"export the {name} for an input {needs}"]
        raise MyoedgeError("E209", title, {"needs": needs, "has": has}, tries)


def _inputs_text(graph: Graph) -> str:
    tensors = (graph.tensors[name] for name in graph.inputs)
    return ", ".join(f"{x.dtype} {list(x.shape)}" for x in tensors)
