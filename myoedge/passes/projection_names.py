# SPDX-License-Identifier: Apache-2.0
"""Module paths of query, key and value projections, where one module makes all three."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from myoedge.graph.ir import Graph, Node, Origin

ROLES = ("q", "k", "v")


def name_projections(graph: Graph) -> Graph:
    """The graph with q, k or v appended to the paths of nodes that make only that operand."""
    roles = {
        projection.name: role
        for node in graph.nodes
        if node.op == "attention" and _path(node)
        for role, name in zip(ROLES, node.inputs, strict=False)
        for projection in _producers(graph, node, name)
    }
    nodes = (_with_role(n, roles[n.name]) if n.name in roles else n for n in graph.nodes)
    return replace(graph, nodes=tuple(nodes)) if roles else graph


def _path(node: Node) -> str:
    return node.origin[0].path if node.origin else ""


def _producers(graph: Graph, attention: Node, name: str) -> Iterator[Node]:
    """Nodes from the operand backwards, as long as each has no other reader."""
    reader = attention
    while (producer := graph.producer.get(name)) is not None and graph.only_user(name) is reader:
        if not all(_is_within(o, _path(attention)) for o in producer.origin):
            return
        yield producer
        reader, name = producer, producer.inputs[0]


def _is_within(origin: Origin, path: str) -> bool:
    return origin.path == path or origin.path.startswith(f"{path}.")


def _with_role(node: Node, role: str) -> Node:
    endings = (f".{role}", f".{role}_proj")
    places = (
        o if o.path.endswith(endings) else replace(o, path=f"{o.path}.{role}") for o in node.origin
    )
    return node.but(origin=tuple(places))
