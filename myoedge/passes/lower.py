# SPDX-License-Identifier: Apache-2.0
"""Patterns that lower the graph to operators that the integer kernels support."""

from __future__ import annotations

from myoedge.graph.ir import Attrs, Graph, Node
from myoedge.graph.match import found, made_by, require
from myoedge.graph.rewrite import Rewrite, RewritePattern, rewrite_pattern
from myoedge.numerics.pointwise import IDENTITY
from myoedge.operators.attention.import_rows import WORD, filled
from myoedge.operators.base import OPS
from myoedge.operators.fake_quantize import carried_params, clamped_to
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.library.moves import PARTS
from myoedge.operators.queries import fixed_params
from myoedge.passes.forms import all_of


@rewrite_pattern("mean", "sum", "variance")
def gather_reduced_axes(graph: Graph, node: Node) -> Rewrite:
    """Transpose before a reduction over axes that are not adjacent, so that these come last."""
    axes, x = node.attrs["axes"], node.inputs[0]
    shape, rank = graph.shape(x), len(graph.shape(x))
    between = range(min(axes), max(axes) + 1)
    require(any(axis not in axes and shape[axis] > 1 for axis in between))
    perm = (*(d for d in range(rank) if d not in axes), *axes)
    patch = GraphBuilder(graph, node)
    transposed = patch.add("transpose", x, perm=perm)
    last = tuple(range(rank - len(axes), rank))
    y = patch.add(node.op, transposed, **{**node.attrs, "axes": last, "keepdim": False})
    return patch.last("reshape", y, shape=graph.shape(node.name))


@rewrite_pattern("concat", "pad", "attention")
def requantize_fixed_scale_inputs(graph: Graph, node: Node) -> Rewrite:
    """Requantise operands whose producers have fixed scales (softmax, ...) by a table before
    concat, pad and attention.

    A concat whose operands all have the same fixed scale, such as the two directions of a recurrent
    layer, is left unchanged.
    """
    scales = [fixed_params(graph, name) for name in node.inputs]
    fixed_inputs = [x for x, scale in zip(node.inputs, scales, strict=True) if scale is not None]
    require(fixed_inputs, node.op != "concat" or len(set(scales)) > 1)
    patch = GraphBuilder(graph, node)
    requantised = {
        name: patch.add("table", name, chain=IDENTITY) for name in dict.fromkeys(fixed_inputs)
    }
    return patch.last(node.op, *(requantised.get(name, name) for name in node.inputs), **node.attrs)


@rewrite_pattern("concat")
def split_concat(graph: Graph, node: Node) -> Rewrite:
    """Split a concat of more tensors than its kernel accepts into two levels."""
    require(len(node.inputs) > PARTS)
    patch = GraphBuilder(graph, node)
    groups = [node.inputs[i : i + PARTS] for i in range(0, len(node.inputs), PARTS)]
    parts = [patch.add("concat", *g, **node.attrs) if len(g) > 1 else g[0] for g in groups]
    return patch.last("concat", *parts, **node.attrs)


@rewrite_pattern("attention")
def pad_heads(graph: Graph, node: Node) -> Rewrite:
    """Pad the head width of attention to a multiple of 4 bytes. Zeros in queries and keys do not
    change the scores; the results of padded values are sliced off."""
    q, k, v, *bias = node.inputs
    (*_, d), (*_, e, _) = graph.shape(q), graph.shape(v)
    require(d % WORD or e % WORD)
    patch = GraphBuilder(graph, node)
    rows, columns = (filled(patch, x, axis=3) for x in (q, k))
    y = patch.add(
        "attention", rows, columns, filled(patch, v, axis=2), *bias, **node.attrs, widths=(d, e)
    )
    return patch.last("slice", y, cuts=all_of(graph.shape(node.name)))


@rewrite_pattern("conv")
def drop_taps_of_padding(graph: Graph, node: Node) -> Rewrite:
    """Remove outer kernel taps that read only padding: a 3x3 kernel on a 1x1 image becomes 1x1."""
    x, weight, *bias = node.inputs
    w, pads = found(graph.find_array(weight)), list(node.attrs["pads"])
    for axis in range(1, w.ndim - 1):
        taps, pads[axis - 1] = _taps_inside_input(graph, node, axis)
        w = w.take(taps, axis)
    require(w.shape != graph.shape(weight))
    attrs = {**node.attrs, "pads": tuple(pads)}
    patch = GraphBuilder(graph, node)
    return patch.last("conv", x, patch.constant(w), *bias, **attrs)


def _taps_inside_input(graph: Graph, node: Node, axis: int) -> tuple[range, tuple[int, int]]:
    """Return the kernel taps along an axis that read any input, and their remaining padding."""
    taps, length = (graph.shape(node.inputs[i])[axis] for i in (1, 0))
    step, stride = (node.attrs[name][axis - 1] for name in ("dilation", "stride"))
    before, behind = node.attrs["pads"][axis - 1]
    farthest = (graph.shape(node.name)[axis] - 1) * stride  # of the last window from the first
    first = max(0, -(-(before - farthest) // step))
    end = min(taps, -(-(length + before) // step))
    cut = first * step, (taps - end) * step
    if first >= end or cut[0] > before or cut[1] > behind:
        return range(taps), (before, behind)
    return range(first, end), (before - cut[0], behind - cut[1])


@rewrite_pattern("fake_quantize")
def limits_apart(graph: Graph, node: Node) -> Rewrite:
    """Turn a fake_quantize to fewer levels than its integer type has into a plain one and a clamp.

    The clamp comes first if the preceding operator can fuse it, otherwise last.
    """
    limits = found(clamped_to(node.attrs))
    q, x = carried_params(node.attrs), node.inputs[0]
    whole: Attrs = {"scale": q.scale, "zero_point": q.zero_point, "low": q.low, "high": q.high}
    producer, patch = made_by(graph, x, reader=node), GraphBuilder(graph, node)
    if producer is None or not (OPS[producer.op].epilogue or producer.op == "table"):
        x = patch.add("fake_quantize", x, **whole)
    clamped = patch.add("table", x, chain=(("clamp", *limits),))
    return patch.last("fake_quantize", clamped, **whole)


LOWER: tuple[RewritePattern, ...] = (
    *(gather_reduced_axes, requantize_fixed_scale_inputs, split_concat, pad_heads),
    *(drop_taps_of_padding, limits_apart),
)
