# SPDX-License-Identifier: Apache-2.0
"""Recognition of linear interpolation written as a + (b - a) * share, with gathered neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import both_orders, first_match, floats, require, writer
from myoedge.graph.rewrite import Rewrite, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.passes.forms import cut_axis, factor_of


@dataclass(frozen=True, slots=True)
class Picked:
    """A match of a slice or gather: elements of x at constant indices along one axis.

    index   int64 indices
    """

    x: str
    axis: int
    index: Array


@rewrite_pattern("add")
def interpolation(graph: Graph, node: Node) -> Rewrite:
    """Replace a + (b - a) * share by one resize, if a and b are adjacent elements of one tensor
    along an axis and `share` is a constant per result."""
    return first_match(
        _match_resize, ((graph, node, a, product) for a, product in both_orders(node))
    )


def _match_resize(graph: Graph, node: Node, first: str, product: str) -> Rewrite:
    scaled = writer(graph, product, "affine", "table", reader=node, plain=True)
    apart = writer(graph, scaled.inputs[0], "sub", reader=scaled, plain=True)
    require(apart.inputs[1] == first)
    require(not any(map(graph.given, (first, apart.inputs[0], apart.name, scaled.name))))
    low, high = (_match_selection(graph, name) for name in (first, apart.inputs[0]))
    require((low.x, low.axis) == (high.x, high.axis))
    require(np.abs(high.index - low.index).max() == 1)
    share = _match_interpolation_weights(graph, scaled, low)
    starts = np.minimum(np.minimum(low.index, high.index), graph.shape(low.x)[low.axis] - 2)
    weights, at = np.zeros((len(share), 2)), np.arange(len(share))
    np.add.at(weights, (at, low.index - starts), 1.0 - share)
    np.add.at(weights, (at, high.index - starts), share)
    patch = GraphBuilder(graph, node)
    constant, attrs = patch.constant(weights), {**node.attrs, "axis": low.axis}
    return patch.last("resize", low.x, constant, **attrs, starts=tuple(starts.tolist()))


def _match_selection(graph: Graph, name: str) -> Picked:
    """Match a gather or slice along one axis. Errors: NoMatch."""
    node = writer(graph, name, "take", "slice")
    if node.op == "take":
        return Picked(node.inputs[0], node.attrs["axis"], np.array(node.attrs["index"]))
    axis, span = cut_axis(graph, node)
    return Picked(node.inputs[0], axis, np.array(span))


def _match_interpolation_weights(graph: Graph, scaled: Node, low: Picked) -> Array:
    """Return the interpolation weights, the factors of a product along the axis. Errors: NoMatch if
    an offset is added."""
    if scaled.op == "table":
        return np.full(len(low.index), factor_of(scaled.attrs["chain"]))
    factors, offsets = floats(graph, scaled.inputs[1:])
    require(scaled.attrs["axis"] == low.axis, not offsets.any())
    return factors
