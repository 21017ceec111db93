# SPDX-License-Identifier: Apache-2.0
"""Why a network computes its frames one by one, without a loop that a stream could go on with."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.operators.base import OPS

MOST_PAIRS = 600  # of nodes of two steps that are compared
SINGLE = (
    "joins frames one by one",
    "apply a layer to all frames at once: head(torch.stack(states, 1)), not head(state)",
)


def drops_time_axis(graph: Graph, name: str, axes: Mapping[str, int]) -> bool:
    """Return whether a reshape before this tensor drops the axis of a single frame."""
    while (node := graph.producer.get(name)) is not None:
        name = next((x for x in node.inputs if x in axes), "")
        if node.op == "reshape" and graph.shape(name)[axes[name]] == 1:
            return graph.shape(node.name)[axes[node.name]] > 1
    return False


def constants_that_change(graph: Graph, node: Node) -> Node | None:
    """Return the nearest node that computes the last of the frames which are joined behind a node
    with other constants than the frame before; None if the frames differ in other things, such as
    the weights of a layer."""
    while node.op != "concat" and graph.users.get(node.name):
        node = graph.users[node.name][0]
    pairs = [*itertools.pairwise(node.inputs)][-1:] if node.op == "concat" else []
    for before, after in pairs:  # `pairs` grows in the loop
        nodes = graph.producer.get(before), graph.producer.get(after)
        if before == after or None in nodes or len(pairs) > MOST_PAIRS:
            continue
        one, other = (node for node in nodes if node is not None)
        if one.op != other.op or len(one.inputs) != len(other.inputs):
            return None
        inputs, weights = [*zip(one.inputs, other.inputs, strict=True)], OPS[one.op].weights.at
        changed = [at for at, pair in enumerate(inputs) if _is_changed(graph, *pair)]
        functions = ((node.attrs.get("chain"), node.attrs.get("act")) for node in (one, other))
        if len({*functions}) > 1 or changed:
            return None if {*changed} & {*weights} else other
        pairs += (pair for pair in inputs if pair not in pairs)
    return None


def _is_changed(graph: Graph, before: str, after: str) -> bool:
    x, y = graph.find_array(before), graph.find_array(after)
    return x is not None and y is not None and not np.array_equal(x, y)
