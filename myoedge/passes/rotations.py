# SPDX-License-Identifier: Apache-2.0
"""Replacement of linear layers that are averaged over rotations of their rows by convolutions,
whose overlapping windows an accelerator reads without copies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import attempt, found, made_by, require, writer
from myoedge.graph.rewrite import Rewrite, rewrite_pattern
from myoedge.operators.graph_builder import GraphBuilder, concat, reshape, slice_axis
from myoedge.passes.forms import cut_axis

PLAIN: Mapping[str, Any] = {
    "stride": (1, 1),
    "dilation": (1, 1),
    "pads": ((0, 0), (0, 0)),
    "groups": 1,
}


@rewrite_pattern("linear")
def rotations_as_windows(graph: Graph, node: Node) -> Rewrite:
    """Replace the mean of a linear layer over rotations of its E input rows, by lo .. hi rows, by a
    convolution with an E-row kernel.

    Its input holds the rows E + lo .. E - 1, 0 .. E - 1, 0 .. hi - 1.
    """
    stack = _stack(graph, node)
    *lead, e, f = graph.shape(stack.name)
    require(not graph.all_given)
    rows, parts = math.prod(lead[:-1]), [_shown(graph, part) for part in stack.inputs]
    turned = [attempt(_rotation, graph, part) or (part, 0) for part in parts]
    sources, shifts = {x for x, _ in turned}, sorted((by + e // 2) % e - e // 2 for _, by in turned)
    low, high = shifts[0], shifts[-1]
    require(len(sources) == 1, shifts == list(range(low, high + 1)), low <= 0 <= high)
    b, (source,) = GraphBuilder(graph, node), sources
    x = reshape(b, source, (1, rows, e, f))
    first = [slice_axis(b, x, 2, e + low, e)] if low else []
    last = [slice_axis(b, x, 2, 0, high)] if high else []
    padded = concat(b, [*first, x, *last], 2)
    weight, *bias = node.inputs[1:]
    kernel = b.constant(graph.array(weight).reshape(-1, 1, e, f))
    y = b.add("conv", padded, kernel, *bias, **PLAIN, **node.attrs)
    return b.last("reshape", y, shape=graph.shape(node.name))


def _stack(graph: Graph, node: Node) -> Node:
    """Match the concat of rotated tensors [.., 1, E, F] before a linear layer, `node`, whose
    results are averaged over the rotations."""
    flat = writer(graph, node.inputs[0], "reshape", reader=node)
    stack, mean = writer(graph, flat.inputs[0], "concat", reader=flat), graph.only_user(node.name)
    require(len(graph.shape(stack.name)) > 2)
    *lead, e, f = graph.shape(stack.name)
    axis = len(lead) - 1
    require(found(mean).op == "mean", tuple(found(mean).attrs.get("axes", ())) == (axis,))
    require(stack.attrs["axis"] == axis, lead[-1] == len(stack.inputs) > 1)
    require(graph.shape(node.inputs[0]) == (*lead, e * f))
    require(math.prod(lead[:-1]) == max(lead[:-1], default=1))  # at most one long axis
    require(all(name in graph.constants for name in node.inputs[1:]))
    return stack


def _rotation(graph: Graph, name: str) -> tuple[str, int]:
    """Match a rotation of rows, concat of two slices; return (tensor, the row that comes first)."""
    join = writer(graph, name, "concat")
    parts = [writer(graph, x, "slice") for x in join.inputs]
    cuts = [(part.inputs[0], *cut_axis(graph, part)) for part in parts]
    x, axis, by = parts[0].inputs[0], len(graph.shape(name)) - 2, len(cuts[-1][2])
    ends = range(by, graph.shape(name)[axis]), range(by)
    require(join.attrs["axis"] == axis, cuts == [(x, axis, end) for end in ends])
    return _shown(graph, x), by


def _shown(graph: Graph, name: str) -> str:
    """Follow reshapes that keep the last two axes back to the tensor that they view."""
    while (view := made_by(graph, name, "reshape")) is not None:
        if graph.shape(view.inputs[0])[-2:] != graph.shape(name)[-2:]:
            break
        name = view.inputs[0]
    return name
