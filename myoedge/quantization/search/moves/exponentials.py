# SPDX-License-Identifier: Apache-2.0
"""Move: 12-bit exponentials in attention, whose noise does not come from the rounding of
tensors."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from myoedge.graph.ir import Graph, Node
from myoedge.operators.attention.exponentials import FINE_BITS, is_fine
from myoedge.operators.attention.wide import is_wide
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.state import Proposal, Proposals, Search, SearchState


def finer_exponentials(search: Search, state: SearchState) -> Proposals:
    """Propose 12-bit exponentials for attention layers with int8 operands."""
    graph = state.design.graph
    finer = with_exp_bits(graph, attentions_of_bytes(state.network.engined))
    if finer is not graph:
        yield Proposal("exponentials of 12 bits", replace(state.design, graph=finer))


def attentions_of_bytes(network: QuantGraph) -> frozenset[str]:
    """Return the names of attention layers with 8-bit exponentials."""
    return frozenset(
        step.node.name
        for step in network.steps
        if step.node.op == "attention" and not (is_wide(step) or is_fine(step))
    )


def fine_attentions(graph: Graph) -> frozenset[str]:
    """Return the names of attention layers set to 12-bit exponentials and int8 operands."""
    return frozenset(n.name for n in graph.nodes if n.attrs.get("exp_bits") == FINE_BITS)


def with_exp_bits(graph: Graph, names: Collection[str]) -> Graph:
    """Return the graph with 12-bit exponentials in the attention layers `names`; the graph itself
    if all have them."""
    if fine_attentions(graph).issuperset(names):
        return graph

    def finer(node: Node) -> Node:
        is_one = node.op == "attention" and node.name in names
        return node.but(attrs={**node.attrs, "exp_bits": FINE_BITS}) if is_one else node

    return replace(graph, nodes=tuple(map(finer, graph.nodes)))
