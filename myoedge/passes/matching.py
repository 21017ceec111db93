# SPDX-License-Identifier: Apache-2.0
"""Conditions that rewrite rules match by."""

from __future__ import annotations

from myoedge.graph.ir import Graph, Node, Origin


def joined(*nodes: Node) -> tuple[Origin, ...]:
    """The origins of several nodes, each once, in order."""
    return tuple(dict.fromkeys(o for node in nodes for o in node.origin))


def made_by(graph: Graph, name: str, *ops: str) -> Node | None:
    """The node that writes `name`, if it is one of these operators."""
    node = graph.producer.get(name)
    return node if node is not None and node.op in ops else None


def feeds_only(graph: Graph, name: str, reader: Node) -> bool:
    """Whether `reader` alone reads this tensor and it is no output."""
    return graph.only_user(name) is reader
