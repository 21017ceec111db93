# SPDX-License-Identifier: Apache-2.0
"""Bits of attention's exponentials, which rounding a network's tensors says nothing of."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from myoedge.graph.ir import Graph, Node
from myoedge.operators.attention.wide import EXP_BITS


def attentions(graph: Graph) -> frozenset[str]:
    """Results of all attentions."""
    return frozenset(node.name for node in graph.nodes if node.op == "attention")


def fine_attentions(graph: Graph) -> frozenset[str]:
    """Results of attentions that ask for EXP_BITS, whatever their operands have."""
    return frozenset(node.name for node in graph.nodes if "exp_bits" in node.attrs)


def with_exp_bits(graph: Graph, names: Collection[str]) -> Graph:
    """The graph with EXP_BITS asked for in these attentions; the same where all have them."""
    if fine_attentions(graph).issuperset(attentions(graph).intersection(names)):
        return graph

    def finer(node: Node) -> Node:
        is_one = node.op == "attention" and node.name in names
        return node.but(attrs={**node.attrs, "exp_bits": EXP_BITS}) if is_one else node

    return replace(graph, nodes=tuple(map(finer, graph.nodes)))
