# SPDX-License-Identifier: Apache-2.0
"""Selective scans as streams need them: their states are the operand behind D."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from myoedge.graph.constants import as_constants
from myoedge.graph.ir import Graph, Node

WITHOUT_D = 5  # operands: delta, x, B, C, A


def with_skip_factors(graph: Graph) -> Graph:
    """Return the graph with a D of zeros for selective scans that have none."""
    without = {n.name: n for n in graph.nodes if _lacks_d(n)}
    zeros = {
        f"{name}.skip": np.zeros(graph.shape(node.inputs[1])[-1:], np.float32)
        for name, node in without.items()
    }
    nodes = (
        node.but(inputs=(*node.inputs, f"{node.name}.skip")) if node.name in without else node
        for node in graph.nodes
    )
    constants = {**graph.constants, **as_constants(zeros)}
    return replace(graph, nodes=tuple(nodes), constants=constants) if without else graph


def _lacks_d(node: Node) -> bool:
    return node.op == "selective_scan" and len(node.inputs) == WITHOUT_D
