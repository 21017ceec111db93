# SPDX-License-Identifier: Apache-2.0
"""Rules that leave only what the operators' integer meanings take."""

from __future__ import annotations

from myoedge.graph.ir import Graph, Node, Shape
from myoedge.graph.rewrite import Rewrite, Rule
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.attention.graph_form import WORD, filled
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.layout.tiling import PARTS


def adjacent(axes: tuple[int, ...], shape: Shape) -> bool:
    """Whether nothing but axes of extent 1 lies between reduced axes."""
    inside = range(min(axes), max(axes) + 1)
    return all(axis in axes or shape[axis] == 1 for axis in inside)


def gather_reduced_axes(graph: Graph, node: Node) -> Rewrite | None:
    """A reduction over axes that lie apart transposes first, so that they are the last ones."""
    if node.op not in ("mean", "sum"):
        return None
    axes, x = node.attrs["axes"], node.inputs[0]
    shape = graph.shape(x)
    if adjacent(axes, shape):
        return None
    rank = len(shape)
    perm = (*(d for d in range(rank) if d not in axes), *axes)
    patch = GraphBuilder(graph, node)
    turned = patch.add("transpose", x, perm=perm)
    last = tuple(range(rank - len(axes), rank))
    y = patch.add(node.op, turned, **{**node.attrs, "axes": last, "keepdim": False})
    return patch.last("reshape", y, shape=graph.shape(node.name))


def free_fixed_scale(graph: Graph, node: Node) -> Rewrite | None:
    """softmax has a scale of its own: before a concat or a pad it is requantised by a table.

    Not where all that is joined has the same one, as both directions of a recurrent layer do.
    """
    if node.op not in ("concat", "pad", "attention"):
        return None
    scales = [fixed_scale(graph, name) for name in node.inputs]
    fixed = [x for x, scale in zip(node.inputs, scales, strict=True) if scale is not None]
    if not fixed or (node.op == "concat" and len(set(scales)) == 1):
        return None
    patch = GraphBuilder(graph, node)
    free = {name: patch.add("table", name, chain=SAME) for name in dict.fromkeys(fixed)}
    return patch.last(node.op, *(free.get(name, name) for name in node.inputs), **node.attrs)


def split_concat(graph: Graph, node: Node) -> Rewrite | None:
    """More tensors than a kernel takes are put together in two goes."""
    if node.op != "concat" or len(node.inputs) <= PARTS:
        return None
    patch = GraphBuilder(graph, node)
    groups = [node.inputs[i : i + PARTS] for i in range(0, len(node.inputs), PARTS)]
    parts = [patch.add("concat", *g, **node.attrs) if len(g) > 1 else g[0] for g in groups]
    return patch.last("concat", *parts, **node.attrs)


def fill_heads(graph: Graph, node: Node) -> Rewrite | None:
    """Heads of any width are filled to whole words: zeros in queries add nothing to a score, and
    what zeros among values give is cut off again."""
    if node.op != "attention":
        return None
    q, k, v, *bias = node.inputs
    (*_, d), (*_, e, _) = graph.shape(q), graph.shape(v)
    if d % WORD == e % WORD == 0:
        return None
    patch = GraphBuilder(graph, node)
    rows, columns = (filled(patch, x, axis=3) for x in (q, k))
    y = patch.add(
        "attention", rows, columns, filled(patch, v, axis=2), *bias, **node.attrs, widths=(d, e)
    )
    return patch.last("slice", y, cuts=tuple((0, n, 1) for n in graph.shape(node.name)))


SAME = (("affine", 1.0, 0.0),)


def fixed_scale(graph: Graph, name: str) -> QuantParams | None:
    """What an operator gives, possibly through others that keep it."""
    node = graph.producer.get(name)
    while node is not None and OPS[node.op].same_scale:
        node = graph.producer.get(node.inputs[0])
    return None if node is None else OPS[node.op].fixed_params


LOWER: tuple[Rule, ...] = (gather_reduced_axes, free_fixed_scale, split_concat, fill_heads)
