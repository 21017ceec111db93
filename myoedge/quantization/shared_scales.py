# SPDX-License-Identifier: Apache-2.0
"""Groups of tensors with one scale and zero point: operators between them move or compare bytes."""

from __future__ import annotations

from collections.abc import Iterable

from myoedge.graph.ir import Graph, Node
from myoedge.operators.base import OPS


def operand_names(node: Node) -> tuple[str, ...]:
    """The inputs that are read as integers; weights are not among them."""
    weights = OPS[node.op].weights
    return tuple(name for i, name in enumerate(node.inputs) if i not in weights)


def integer_tensors(graph: Graph) -> set[str]:
    """Tensors that are integers in the float graph: gates, indices of argmax, views of them."""
    return {name for name, tensor in graph.tensors.items() if tensor.dtype != "float32"}


def shared_scale_groups(graph: Graph, names: Iterable[str]) -> list[list[str]]:
    """Groups of tensors with one pair of parameters, in a fixed order.

    names   of all tensors that have parameters; `NAME.fill` is what a pad puts around
    """
    parent = {name: name for name in names if name not in integer_tensors(graph)}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for node in graph.nodes:
        if not OPS[node.op].same_scale or node.name not in parent:
            continue
        extra = [node.name + ".fill"] if node.op == "pad" else []
        for name in (*operand_names(node), *extra):
            parent[root(name)] = root(node.name)
    groups: dict[str, list[str]] = {}
    for name in parent:
        groups.setdefault(root(name), []).append(name)
    return list(groups.values())
