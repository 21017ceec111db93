# SPDX-License-Identifier: Apache-2.0
"""Patterns that fuse attention from its products and softmax, and simplify its operands."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.rewrite import Rewrite, RewritePattern, made_by, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.operators.attention.graph_form import attend, fits
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.passes.associative import roll_associative_scan
from myoedge.passes.rotary import find_rotary
from myoedge.passes.steps import roll_last_state, roll_unrolled_loop


@rewrite_pattern("matmul")
def fuse_attention(graph: Graph, node: Node) -> Rewrite | None:
    """Fuse matmul(softmax(matmul(q, k^T) * scale + ...), v) into one operator."""
    soft = made_by(graph, node.inputs[0], "softmax", reader=node)
    if soft is None or soft.attrs["axis"] != len(graph.shape(soft.name)) - 1:
        return None
    patch = GraphBuilder(graph, node)
    terms = [*_terms(patch, soft.inputs[0], soft)]
    scaled = [(x, s) for x in terms if (s := _scores(graph, x)) is not None]
    if len(scaled) != 1:
        return None
    main, (product, scale) = scaled[0]
    q, k, v = product.inputs[0], product.inputs[1], node.inputs[1]
    turned = (*graph.shape(k)[:-2], graph.shape(k)[-1], graph.shape(k)[-2])
    if not fits(graph.shape(q), turned, graph.shape(v)):
        return None
    bias = functools.reduce(
        functools.partial(patch.add, "add"), [x for x in terms if x != main] or [""]
    )
    mask = soft.inputs[1] if len(soft.inputs) > 1 else ""
    attrs = {name: soft.attrs[name] for name in ("fill", "flat") if name in soft.attrs}
    perm = (*range(len(turned) - 2), len(turned) - 1, len(turned) - 2)
    keys = patch.add("transpose", k, perm=perm)
    y = attend(patch, q, keys, v, scale=scale, bias=bias, mask=mask, **attrs)
    return patch.same_as(y)


def _terms(patch: GraphBuilder, name: str, reader: Node) -> Iterator[str]:
    """Yield the addends of a sum with one reader, if one has its shape; subtracted constants are
    negated."""
    graph = patch.graph
    total = made_by(graph, name, "add", reader=reader) or made_by(graph, name, "sub", reader=reader)
    parts = [] if total is None else [*total.inputs]
    taken_away = total is not None and total.op == "sub"
    if taken_away and parts[1] in graph.constants:
        parts[1] = patch.constant(-graph.array(parts[1]))
    elif taken_away:
        parts = []
    if total is None or "act" in total.attrs or graph.shape(name) not in map(patch.shape, parts):
        yield name
        return
    for part in parts:
        yield from _terms(patch, part, total)


def _scores(graph: Graph, name: str) -> tuple[Node, float] | None:
    """Match a product of two activations, times numbers; return (product, factor) or None."""
    scale = 1.0
    while (table := made_by(graph, name, "table")) is not None:
        chain = table.attrs["chain"]
        if any(step[0] != "affine" or step[2] != 0.0 for step in chain):
            return None
        scale *= math.prod(step[1] for step in chain)
        name = table.inputs[0]
    product = made_by(graph, name, "matmul")
    if product is None or any(map(graph.is_const, product.inputs)):
        return None
    return product, float(scale)


@rewrite_pattern("attention")
def cancel_rotary(graph: Graph, node: Node) -> Rewrite | None:
    """Drop rotary embeddings that rotate all queries and keys by equal angles, since q k^T is
    unchanged."""
    turns = [made_by(graph, x, "rotary") for x in node.inputs[:2]]
    if any(t is None or t.attrs["axis"] != 2 for t in turns):
        return None
    q, k = (t for t in turns if t is not None)
    if q.attrs != k.attrs:
        return None
    tables = zip(q.inputs[1:], k.inputs[1:], strict=True)
    if not all(np.array_equal(graph.array(a), graph.array(b)) for a, b in tables):
        return None
    cos, sin = (graph.array(n).astype(np.float64) for n in q.inputs[1:])
    if np.abs(cos**2 + sin**2 - 1.0).max() > 1e-5:
        return None
    return GraphBuilder(graph, node).last(
        "attention", q.inputs[0], k.inputs[0], *node.inputs[2:], **node.attrs
    )


@rewrite_pattern("slice")
def split_linear(graph: Graph, node: Node) -> Rewrite | None:
    """Replace slices of a linear layer's results by separate layers, so that q, k and v get
    separate scales."""
    between = made_by(graph, node.inputs[0], "reshape")
    result = between.inputs[0] if between else node.inputs[0]
    layer = made_by(graph, result, "linear", reader=between)
    if layer is None or "act" in layer.attrs or node.inputs[0] in graph.outputs:
        return None
    rows, readers = _rows(graph, layer, node), graph.users[node.inputs[0]]
    if rows is None or any(reader.op != "slice" for reader in readers):
        return None
    # slices alone read the result, together not more than all of it
    parts_read = [_rows(graph, layer, reader) for reader in readers]
    if sum(len(part) for part in parts_read if part is not None) > graph.shape(layer.name)[-1]:
        return None
    patch = GraphBuilder(graph, node)
    parts = (patch.constant(graph.array(n)[rows]) for n in layer.inputs[1:])
    y = patch.add("linear", layer.inputs[0], *parts, origin=layer.origin)
    return patch.last("reshape", y, shape=graph.shape(node.name))


def _rows(graph: Graph, layer: Node, cut: Node) -> Array | None:
    """Return the rows of the layer that a slice keeps; None if it cuts positions."""
    shape, lead = graph.shape(cut.inputs[0]), graph.shape(layer.name)[:-1]
    cuts, count = cut.attrs["cuts"], len(lead)
    if shape[:count] != lead or cuts[:count] != tuple((0, n, 1) for n in lead):
        return None
    numbers = np.arange(graph.shape(layer.name)[-1]).reshape(shape[count:])
    for axis, part in enumerate(cuts[count:]):
        numbers = np.take(numbers, np.arange(*part), axis=axis)
    return numbers.reshape(-1)


FIND: tuple[RewritePattern, ...] = (
    *(find_rotary, fuse_attention, roll_unrolled_loop, roll_last_state, roll_associative_scan),
)
SIMPLIFY: tuple[RewritePattern, ...] = (cancel_rotary, split_linear)
