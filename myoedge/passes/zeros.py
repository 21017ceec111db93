# SPDX-License-Identifier: Apache-2.0
"""Recognition of products with zeros, such as those with the initial states of loops."""

from __future__ import annotations

from myoedge.graph.ir import Graph
from myoedge.graph.rewrite import made_by


def times_zeros(graph: Graph, name: str) -> str:
    """Return the tensor that is multiplied by 0, or by zeros of the result's shape; "" if there is
    none.

    Broadcast zeros do not count, because a trained factor may be initialised with zeros.
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
    """Return the tensor that a chain of views and transposes starts from."""
    while (node := made_by(graph, name, "reshape", "transpose", "slice", "expand")) is not None:
        name = node.inputs[0]
    return name
