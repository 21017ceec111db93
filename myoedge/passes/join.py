# SPDX-License-Identifier: Apache-2.0
"""Two networks of one input as one graph, the first of which runs first."""

from __future__ import annotations

import itertools
from dataclasses import replace

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.operators.turns import loop_spans

LOOP = "loop"  # attribute of a loop's operators: its name


def joined(first: Graph, second: Graph, name: str) -> Graph:
    """Return a graph that computes `first` and then `second` on the same input.

    name   of the first network, with which the names of its tensors, layers and outputs begin
    The outputs are those of the second network, then those of the first. Errors: E209 the inputs
    differ.
    """
    _check_inputs(first, second, name)
    prefix = f"{name}."
    while any(taken.startswith(prefix) for taken in (*second.tensors, *second.constants)):
        prefix = f"_{prefix}"
    names = {old: f"{prefix}{old}" for old in (*first.tensors, *first.constants)}
    names |= zip(first.inputs, second.inputs, strict=True)
    nodes = [_rename_node(node, names, name) for node in first.nodes]
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


def computed_first(graph: Graph, name: str) -> Graph:
    """Return the graph with the nodes in front that the outputs `name` and `name`.* need; other
    nodes keep their order, and a loop is moved as a whole."""
    labels = zip(graph.outputs, graph.output_labels, strict=True)
    needed = {output for output, label in labels if f"{label}.".startswith(f"{name}.")}
    front: list[tuple[Node, ...]] = []
    behind: list[tuple[Node, ...]] = []
    for part in reversed(_parts_with_whole_loops(graph.nodes)):
        if needed.isdisjoint(x for node in part for x in node.outputs):
            behind.append(part)
        else:
            front.append(part)
            needed.update(x for node in part for x in node.inputs)
    return replace(graph, nodes=tuple(itertools.chain(*reversed(front), *reversed(behind))))


def _parts_with_whole_loops(nodes: tuple[Node, ...]) -> list[tuple[Node, ...]]:
    """Return the bodies of loops, and single nodes, in order."""
    ends = {span.first: span.end for span in loop_spans(nodes)}
    parts, at = [], 0
    while at < len(nodes):
        end = ends.get(at, at + 1)
        parts.append(nodes[at:end])
        at = end
    return parts


def _rename_node(node: Node, names: dict[str, str], name: str) -> Node:
    outputs = tuple(names[x] for x in node.outputs)
    attrs = {**node.attrs}
    if LOOP in attrs:
        attrs[LOOP] = f"{name}.{attrs[LOOP]}"
    origin = tuple(replace(x, path=f"{name}.{x.path}" if x.path else name) for x in node.origin)
    return node.reading(names).but(outputs=outputs, attrs=attrs, origin=origin)


def _check_inputs(first: Graph, second: Graph, name: str) -> None:
    has, needs = (
        ", ".join(f"{graph.dtype(x)} {list(graph.shape(x))}" for x in graph.inputs)
        for graph in (first, second)
    )
    if has != needs:
        title = f"the {name} has another input than the network behind it"
        tries = [f"export the {name} for an input {needs}"]
        raise MyoedgeError("E209", title, {"needs": needs, "has": has}, tries)
