# SPDX-License-Identifier: Apache-2.0
"""Moves that change the integers of single layers: no pre-shift for accelerators, 12-bit
exponentials."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import ceil_div
from myoedge.operators.attention.operands import FINE_BITS, is_fine
from myoedge.operators.attention.wide import is_wide
from myoedge.quantization.engines import free_layers
from myoedge.quantization.search.state import Proposal, Proposals, Search, SearchState


def cores_integers(search: Search, state: SearchState) -> Proposals:
    """Propose integers with a pre-shift, which only the cores support, for the half of the
    accelerator's layers that gains least, then for all.

    The noise per layer hardly differs (0.01 dB); the noise at the outputs may differ by chance.
    """
    network = state.network
    free = [step.node.name for step in free_layers(network.cores, network.engined)]
    if not free:
        return
    cores = search.workshop.make(
        replace(state.design, on_cores=state.design.on_cores | {*free}), network
    )
    cycles, others = network.cycles_of_layers, cores.cycles_of_layers
    free.sort(key=lambda name: others[name] - cycles[name])
    for count in dict.fromkeys((ceil_div(len(free), 2), len(free))):
        on_cores = state.design.on_cores | {*free[:count]}
        yield Proposal("the cores' integers", replace(state.design, on_cores=on_cores))


def finer_exponentials(search: Search, state: SearchState) -> Proposals:
    """Propose 12-bit exponentials for attention layers with int8 operands, whose noise does not
    come from the rounding of tensors."""
    steps = [step for step in state.network.engined.steps if step.node.op == "attention"]
    of_bytes = {step.node.name for step in steps if not (is_wide(step) or is_fine(step))}
    finer = with_exp_bits(state.design.graph, of_bytes)
    if finer is not state.design.graph:
        yield Proposal("exponentials of 12 bits", replace(state.design, graph=finer))


def fine_attentions(graph: Graph) -> frozenset[str]:
    """Return the names of attention layers set to 12-bit exponentials and int8 operands."""
    return frozenset(n.name for n in graph.nodes if n.attrs.get("exp_bits") == FINE_BITS)


def with_exp_bits(graph: Graph, names: Collection[str]) -> Graph:
    """Return the graph with 12-bit exponentials in the attention layers `names`; the graph itself
    if all have them."""

    def finer(node: Node) -> Node:
        is_one = node.op == "attention" and node.name in names
        return node.but(attrs={**node.attrs, "exp_bits": FINE_BITS}) if is_one else node

    # The graph with changed nodes; the graph itself if none changes
    nodes = tuple(map(finer, graph.nodes))
    return graph if nodes == graph.nodes else replace(graph, nodes=nodes)
