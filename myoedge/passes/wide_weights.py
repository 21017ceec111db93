# SPDX-License-Identifier: Apache-2.0
"""Splitting of a model file's weights with more than 8 bits into two int8 parts, for operators
without 16-bit weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import found, require
from myoedge.graph.rewrite import Rewrite, RewritePattern, rewrite_pattern
from myoedge.numerics.element_type import INT8, INT16
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.kernel_formats import layer_shapes, may_weigh


@rewrite_pattern("conv")
def weights_in_parts(graph: Graph, node: Node) -> Rewrite:
    """Split 9-bit weights (uint8 minus zero point) into two int8 weights w = w1 + w2 of one layer
    that reads every input channel twice."""
    x, weight, *bias = node.inputs
    stated = found(graph.format(weight))
    steps = found(stated.steps(graph.array(weight)))
    shapes, out = layer_shapes(graph, node)
    require(steps.size, not may_weigh(node, INT16.bits, shapes, out))
    count = max(-(-int(steps.max()) // INT8.high), -(-int(steps.min()) // INT8.low))
    require(count > 1)
    channels, groups = shapes[0][-1], node.attrs["groups"]
    each = np.arange(channels).reshape(groups, -1)
    index = tuple(map(int, np.tile(each, (1, count)).reshape(-1)))
    parts = np.concatenate([(steps + i) // count for i in range(count)], axis=-1)
    zeros = (0,) * len(stated.zero_point)
    kind = replace(stated, zero_point=zeros, low=INT8.low, high=INT8.high)
    patch = GraphBuilder(graph, node)
    made = patch.constant(kind.real(parts), kind)
    read = patch.add("take", x, axis=len(shapes[0]) - 1, index=index)
    return patch.last("conv", read, made, *bias, **node.attrs)


WIDE_WEIGHTS: tuple[RewritePattern, ...] = (weights_in_parts,)
