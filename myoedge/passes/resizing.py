# SPDX-License-Identifier: Apache-2.0
"""Recognition of linear interpolation written as a + (b - a) * share, with gathered neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.rewrite import Rewrite, made_by, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder


@dataclass(frozen=True, slots=True)
class Picked:
    """A match of elements of x at constant indices along one axis."""

    x: str
    axis: int
    index: Array


@rewrite_pattern("add")
def interpolation(graph: Graph, node: Node) -> Rewrite | None:
    """Replace a + (b - a) * share by one resize, if a and b are adjacent elements of one tensor
    along an axis and `share` is a constant per result."""
    first, product = node.inputs
    if made_by(graph, product, "affine", "table", reader=node) is None:
        first, product = product, first
    scaled = made_by(graph, product, "affine", "table", reader=node)
    apart = made_by(graph, scaled.inputs[0], "sub", reader=scaled) if scaled else None
    if scaled is None or apart is None or apart.inputs[1] != first or "act" in apart.attrs:
        return None
    if any(map(graph.given, (first, apart.inputs[0], apart.name, scaled.name))):
        return None
    low, high = (_picked(graph, name) for name in (first, apart.inputs[0]))
    if low is None or high is None or (low.x, low.axis) != (high.x, high.axis):
        return None
    share = _share(graph, scaled, low)
    if share is None or np.abs(high.index - low.index).max() != 1:
        return None
    starts = np.minimum(np.minimum(low.index, high.index), graph.shape(low.x)[low.axis] - 2)
    weights, at = np.zeros((len(share), 2)), np.arange(len(share))
    np.add.at(weights, (at, low.index - starts), 1.0 - share)
    np.add.at(weights, (at, high.index - starts), share)
    patch = GraphBuilder(graph, node)
    constant, attrs = patch.constant(weights), {**node.attrs, "axis": low.axis}
    return patch.last("resize", low.x, constant, **attrs, starts=tuple(starts.tolist()))


def _picked(graph: Graph, name: str) -> Picked | None:
    """Match a take or slice along one axis."""
    node = made_by(graph, name, "take", "slice")
    if node is None:
        return None
    x, shape = node.inputs[0], graph.shape(node.inputs[0])
    if node.op == "take":
        return Picked(x, node.attrs["axis"], np.array(node.attrs["index"]))
    spans = [range(*cut) for cut in node.attrs["cuts"]]
    axes = [axis for axis, span in enumerate(spans) if span != range(shape[axis])]
    return Picked(x, axes[0], np.array(spans[axes[0]])) if len(axes) == 1 else None


def _share(graph: Graph, scaled: Node, low: Picked) -> Array | None:
    """Return the factors along the axis of a product without an offset."""
    if "act" in scaled.attrs:
        return None
    if scaled.op == "table":
        (name, *numbers), *rest = scaled.attrs["chain"]
        alone = name == "affine" and not rest and numbers[1] == 0.0
        return np.full(len(low.index), numbers[0]) if alone else None
    factors, offsets = (graph.array(x).astype(np.float64) for x in scaled.inputs[1:])
    return factors if scaled.attrs["axis"] == low.axis and not offsets.any() else None
