# SPDX-License-Identifier: Apache-2.0
"""Patterns that fuse attention from its products and softmax, and simplify its operands."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import attempt, floats, made_by, require, writer
from myoedge.graph.rewrite import Rewrite, RewritePattern, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.operators.attention.import_rows import attend, fits
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.passes.forms import all_of, factor_of
from myoedge.passes.rotary import find_rotary
from myoedge.passes.steps import roll_last_state, roll_unrolled_loop


@rewrite_pattern("matmul")
def fuse_attention(graph: Graph, node: Node) -> Rewrite:
    """Fuse matmul(softmax(matmul(q, k^T) * scale + ...), v) into one operator."""
    soft = writer(graph, node.inputs[0], "softmax", reader=node)
    require(soft.attrs["axis"] == len(graph.shape(soft.name)) - 1)
    patch = GraphBuilder(graph, node)
    terms = [*_match_addends(patch, soft.inputs[0], soft)]
    scaled = [(x, s) for x in terms if (s := attempt(_match_scores, graph, x)) is not None]
    require(len(scaled) == 1)
    main, (product, scale) = scaled[0]
    (q, k), v = product.inputs, node.inputs[1]
    turned = (*graph.shape(k)[:-2], graph.shape(k)[-1], graph.shape(k)[-2])
    require(fits(graph.shape(q), turned, graph.shape(v)))
    others = [x for x in terms if x != main] or [""]
    bias = functools.reduce(functools.partial(patch.add, "add"), others)
    mask = soft.inputs[1] if len(soft.inputs) > 1 else ""
    attrs = {name: soft.attrs[name] for name in ("fill", "flat") if name in soft.attrs}
    perm = (*range(len(turned) - 2), len(turned) - 1, len(turned) - 2)
    keys = patch.add("transpose", k, perm=perm)
    y = attend(patch, q, keys, v, scale=scale, bias=bias, mask=mask, **attrs)
    return patch.same_as(y)


def _match_addends(patch: GraphBuilder, name: str, reader: Node) -> Iterator[str]:
    """Yield the addends of a sum if one of them has the sum's shape, otherwise the tensor itself;
    subtracted constants are negated."""
    graph = patch.graph
    total = made_by(graph, name, "add", "sub", reader=reader, plain=True)
    parts = [] if total is None else [*total.inputs]
    if total is not None and total.op == "sub":
        value = graph.find_array(parts[1])
        parts = [] if value is None else [parts[0], patch.constant(-value)]
    if total is None or graph.shape(name) not in map(patch.shape, parts):
        yield name
        return
    for part in parts:
        yield from _match_addends(patch, part, total)


def _match_scores(graph: Graph, name: str) -> tuple[Node, float]:
    """Match attention scores, a matmul of two activations with constant factors after it; return
    (matmul, product of the factors)."""
    scale = 1.0
    while (table := made_by(graph, name, "table")) is not None:
        scale *= factor_of(table.attrs["chain"])
        name = table.inputs[0]
    product = writer(graph, name, "matmul")
    require(not any(map(graph.is_const, product.inputs)))
    return product, scale


@rewrite_pattern("attention")
def cancel_rotary(graph: Graph, node: Node) -> Rewrite:
    """Drop rotary embeddings that rotate all queries and keys by equal angles, since q k^T is
    unchanged."""
    q, k = (writer(graph, x, "rotary") for x in node.inputs[:2])
    require(q.attrs == k.attrs, q.attrs["axis"] == 2)
    tables, others = floats(graph, q.inputs[1:]), floats(graph, k.inputs[1:])
    require(all(map(np.array_equal, tables, others)))
    cos, sin = tables
    require(np.abs(cos**2 + sin**2 - 1.0).max() <= 1e-5)
    inputs = (q.inputs[0], k.inputs[0], *node.inputs[2:])
    return GraphBuilder(graph, node).last("attention", *inputs, **node.attrs)


@rewrite_pattern("slice")
def split_linear(graph: Graph, node: Node) -> Rewrite:
    """Replace slices of a linear layer's results by separate layers, so that q, k and v get
    separate scales."""
    between = made_by(graph, node.inputs[0], "reshape")
    result = between.inputs[0] if between else node.inputs[0]
    layer = writer(graph, result, "linear", reader=between, plain=True)
    require(node.inputs[0] not in graph.outputs)
    rows, readers = _kept_output_rows(graph, layer, node), graph.users[node.inputs[0]]
    require(all(reader.op == "slice" for reader in readers))
    # only slices read the result, and together they read at most all of it
    parts_read = (attempt(_kept_output_rows, graph, layer, reader) for reader in readers)
    require(sum(x.size for x in parts_read if x is not None) <= graph.shape(layer.name)[-1])
    patch = GraphBuilder(graph, node)
    parts = (patch.constant(graph.array(n)[rows]) for n in layer.inputs[1:])
    y = patch.add("linear", layer.inputs[0], *parts, origin=layer.origin)
    return patch.last("reshape", y, shape=graph.shape(node.name))


def _kept_output_rows(graph: Graph, layer: Node, cut: Node) -> Array:
    """Return the indices of the output features that a slice of a linear layer keeps. Errors:
    NoMatch if it also cuts leading axes."""
    shape, lead = graph.shape(cut.inputs[0]), graph.shape(layer.name)[:-1]
    cuts, count = cut.attrs["cuts"], len(lead)
    require(shape[:count] == lead, cuts[:count] == all_of(lead))
    numbers = np.arange(graph.shape(layer.name)[-1]).reshape(shape[count:])
    for axis, part in enumerate(cuts[count:]):
        numbers = np.take(numbers, np.arange(*part), axis=axis)
    return numbers.reshape(-1)


FIND: tuple[RewritePattern, ...] = (
    *(find_rotary, fuse_attention, roll_unrolled_loop, roll_last_state),
)
SIMPLIFY: tuple[RewritePattern, ...] = (cancel_rotary, split_linear)
