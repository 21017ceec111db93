# SPDX-License-Identifier: Apache-2.0
"""Products of zeros: the states that loops begin with."""

from __future__ import annotations

from myoedge.graph.ir import Graph
from myoedge.graph.rewrite import made_by


def times_zeros(graph: Graph, name: str) -> str:
    """The tensor that is multiplied by the number 0 or by zeros of its result's shape, else "".

    Zeros that are broadcast do not count: a factor that is learnt may begin with them.
    """
    node = made_by(graph, name, "mul", "table")
    if node is None or "act" in node.attrs:
        return ""
    if node.op == "table":
        return node.inputs[0] if node.attrs["chain"] == (("affine", 0.0, 0.0),) else ""
    for x, zeros in (node.inputs, node.inputs[::-1]):
        value = graph.find_array(zeros)
        if value is not None and value.shape == graph.shape(name) and not value.any():
            return x
    return ""


def strip_views(graph: Graph, name: str) -> str:
    """The tensor whose elements another has, in whatever order."""
    while (node := made_by(graph, name, "reshape", "transpose", "slice", "expand")) is not None:
        name = node.inputs[0]
    return name
