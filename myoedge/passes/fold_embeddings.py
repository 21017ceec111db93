# SPDX-License-Identifier: Apache-2.0
"""Patterns that fold operators before or after an embedding into its table."""

from __future__ import annotations

import math

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import require, writer
from myoedge.graph.rewrite import Rewrite, RewritePattern, joined_origins, rewrite_pattern
from myoedge.operators.graph_builder import GraphBuilder, reshape
from myoedge.operators.interpreter import real_node


@rewrite_pattern("affine", "table")
def fold_function_into_embedding(graph: Graph, node: Node) -> Rewrite:
    """Apply a pointwise function after an embedding to its table instead."""
    producer = writer(graph, node.inputs[0], "embedding", reader=node)
    ids, rank = len(graph.shape(producer.inputs[0])), len(graph.shape(node.name))
    axis = node.attrs.get("axis", -1) % max(rank, 1)
    require(ids <= axis < rank or node.op != "affine")
    attrs = {**node.attrs, "axis": axis - ids + 1}
    names = (producer.inputs[1], *node.inputs[1:])
    _, rows = real_node(node.but(attrs=attrs), [graph.array(name) for name in names])
    require(np.isfinite(rows).all())
    patch, origin = GraphBuilder(graph, node), joined_origins(producer, node)
    table = patch.constant(rows)
    return patch.last("embedding", producer.inputs[0], table, **producer.attrs, origin=origin)


@rewrite_pattern("linear", beside="embedding")
def fold_product_into_embedding(graph: Graph, node: Node) -> Rewrite:
    """Fold a linear layer after an embedding into its table, unless the table becomes larger."""
    producer = writer(graph, node.inputs[0], "embedding", reader=node)
    require(all(graph.format(name) is None for name in node.inputs[1:]))
    table, *parameters = (graph.array(name) for name in (producer.inputs[1], *node.inputs[1:]))
    require(table.ndim == 2)
    require(len(table) * len(parameters[0]) <= table.size + parameters[0].size)
    _, rows = real_node(node, [table, *parameters])
    patch, origin = GraphBuilder(graph, node), joined_origins(producer, node)
    inputs = producer.inputs[0], patch.constant(rows)
    return patch.last("embedding", *inputs, **producer.attrs, origin=origin)


@rewrite_pattern("matmul")
def gather_of_one_hot(graph: Graph, node: Node) -> Rewrite:
    """Replace the product of one-hot vectors with a computed matrix by a gather of its rows."""
    producer = writer(graph, node.inputs[0], "embedding")
    *lead, n, k = graph.shape(node.inputs[1])
    require(math.prod(lead) == 1, not node.attrs.keys() & {"act", "b_turned"})
    dtype, stated = graph.tensors[producer.inputs[0]].dtype, graph.tensors[node.name].q
    require(not producer.attrs["first"], dtype != "float32", stated is None)
    require(np.array_equal(graph.array(producer.inputs[1]), np.eye(n)))
    patch, count = GraphBuilder(graph, node), math.prod(graph.shape(producer.inputs[0]))
    ids = reshape(patch, producer.inputs[0], (1, count, 1))
    rows = reshape(patch, node.inputs[1], (1, n, k))
    rows = patch.add("gather", rows, ids, dtype=dtype)
    return patch.same_as(reshape(patch, rows, graph.shape(node.name)))


@rewrite_pattern("embedding")
def fold_offset_into_embedding(graph: Graph, node: Node) -> Rewrite:
    """Fold a constant added to embedding indices into the index of the table's first row."""
    producer = writer(graph, node.inputs[0], "integer_math_constant")
    function, (least, most) = producer.attrs["function"], producer.attrs["span"]
    dtype = producer.attrs["kinds"][0]
    require(function in ("add", "sub"), least == most, dtype != "truth")
    first = node.attrs["first"] - (least if function == "add" else -least)
    attrs = {**node.attrs, "first": first, "dtype": dtype}
    return GraphBuilder(graph, node).last("embedding", producer.inputs[0], node.inputs[1], **attrs)


FOLD_EMBEDDINGS: tuple[RewritePattern, ...] = (
    fold_function_into_embedding,
    fold_product_into_embedding,
    gather_of_one_hot,
    fold_offset_into_embedding,
)
