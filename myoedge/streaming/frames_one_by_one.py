# SPDX-License-Identifier: Apache-2.0
"""Why frames are joined in a way that a stream cannot go on with: one by one, or with windows."""

from __future__ import annotations

import itertools
import math
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


def joins_windows(graph: Graph, node: Node, name: str, axis: int) -> bool:
    """Return whether a reshape makes one axis of a batch axis above 1 and the time axis."""
    shape, windows = graph.shape(name), graph.shape(graph.inputs[0])[0]
    if node.op != "reshape" or windows == 1 or math.prod(shape[:axis]) != windows:
        return False
    joined = next((n for n in node.attrs["shape"] if n > 1), 1)
    return bool(shape[0] == windows and joined == windows * shape[axis])


def constants_that_change(graph: Graph, node: Node) -> Node | None:
    """Return the nearest node that computes the last of the frames which are joined behind a node
    with other constants than the frame before; None if the frames differ in other things, such as
    the weights of a layer."""
    pairs = _last_joined_pair(graph, node)
    for before, after in pairs:  # `pairs` grows in the loop
        one, other = graph.producer.get(before), graph.producer.get(after)
        if one is None or other is None:
            continue
        if (one.op, len(one.inputs)) != (other.op, len(other.inputs)) or len(pairs) > MOST_PAIRS:
            break
        if changed := _changed_constants(graph, one, other):
            return None if changed & {*OPS[one.op].weights.at} else other
        inputs = zip(one.inputs, other.inputs, strict=True)
        pairs += (pair for pair in inputs if pair not in pairs)
    return None


def _last_joined_pair(graph: Graph, node: Node) -> list[tuple[str, str]]:
    """Return the last two tensors of the concat behind a node; [] if there is none."""
    while node.op != "concat" and graph.users.get(node.name):
        node = graph.users[node.name][0]
    if node.op != "concat":
        return []
    pairs = [*itertools.pairwise(node.inputs)]
    return pairs[-1:]


def _changed_constants(graph: Graph, one: Node, other: Node) -> set[int]:
    """Return the positions of constants that differ between two nodes; -1: a function's numbers."""
    is_same = all(one.attrs.get(name) == other.attrs.get(name) for name in ("chain", "act"))
    values = (
        (graph.find_array(x), graph.find_array(y))
        for x, y in zip(one.inputs, other.inputs, strict=True)
    )
    constants = ((at, x, y) for at, (x, y) in enumerate(values) if x is not None and y is not None)
    changed = {at for at, x, y in constants if not np.array_equal(x, y)}
    return changed if is_same else {*changed, -1}
