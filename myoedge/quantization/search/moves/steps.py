# SPDX-License-Identifier: Apache-2.0
"""Move: the default quantisation step for LSTM cell states, instead of a coarser one chosen for
large values, which tanh saturates anyway."""

from __future__ import annotations

from dataclasses import replace

from myoedge.graph.ir import Node
from myoedge.operators.recurrent.cells import CELL_BITS
from myoedge.quantization.search.state import Proposal, Proposals, Search, SearchState


def usual_cell_steps(search: Search, state: SearchState) -> Proposals:
    """Propose the default range of LSTM cell states, ±16, instead of a calibrated one."""
    design = state.design
    graph = replace(design.graph, nodes=tuple(map(_usual, design.graph.nodes)))
    if graph.nodes != design.graph.nodes:
        yield Proposal("cell states within ±16", replace(design, graph=graph))


def _usual(node: Node) -> Node:
    if node.attrs.get("cell_bits", CELL_BITS) >= CELL_BITS:
        return node
    return node.but(attrs={k: v for k, v in node.attrs.items() if k != "cell_bits"})
