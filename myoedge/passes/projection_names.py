# SPDX-License-Identifier: Apache-2.0
"""Queries, keys and values of an attention, called so where a module makes all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from myoedge.graph.ir import Graph, Node, Origin

ROLES = ("q", "k", "v")


def named_heads(graph: Graph) -> Graph:
    """What makes one of them alone, inside the attention's own module, has the role in its path."""
    roles = {
        part.name: role
        for node in graph.nodes
        if node.op == "attention" and _path(node)
        for role, name in zip(ROLES, node.inputs, strict=False)
        for part in _makers(graph, node, name)
    }
    nodes = (_called(n, roles[n.name]) if n.name in roles else n for n in graph.nodes)
    return replace(graph, nodes=tuple(nodes)) if roles else graph


def _path(node: Node) -> str:
    return node.origin[0].path if node.origin else ""


def _makers(graph: Graph, attention: Node, name: str) -> Iterator[Node]:
    """From the operand back, as long as nobody else reads what they make."""
    reader = attention
    while (maker := graph.producer.get(name)) is not None and graph.only_user(name) is reader:
        if not all(_inside(o, _path(attention)) for o in maker.origin):
            return
        yield maker
        reader, name = maker, maker.inputs[0]


def _inside(origin: Origin, path: str) -> bool:
    return origin.path == path or origin.path.startswith(f"{path}.")


def _called(node: Node, role: str) -> Node:
    own = (f".{role}", f".{role}_proj")
    places = (
        o if o.path.endswith(own) else replace(o, path=f"{o.path}.{role}") for o in node.origin
    )
    return node.but(origin=tuple(places))
