# SPDX-License-Identifier: Apache-2.0
"""Patterns that move transposes towards the outputs, where they cancel."""

from __future__ import annotations

import bisect
import itertools
import math
import operator
from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Graph, Node, ranked
from myoedge.graph.match import NoMatch, found, made_by, require, writer
from myoedge.graph.rewrite import Rewrite, RewritePattern, joined_origins, rewrite_pattern
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder, slice_axis

Perm = tuple[int, ...]

ONES = ("stride", "dilation")  # attributes that are 1 for kernels with one tap


def inverse(perm: Sequence[int]) -> Perm:
    return tuple(int(i) for i in np.argsort(perm))


@rewrite_pattern("transpose")
def merge_transposes(graph: Graph, node: Node) -> Rewrite:
    """Merge transpose(transpose(x)) into one transpose."""
    producer = writer(graph, node.inputs[0], "transpose")
    perm = tuple(producer.attrs["perm"][axis] for axis in node.attrs["perm"])
    return GraphBuilder(graph, node).last("transpose", producer.inputs[0], perm=perm)


@rewrite_pattern(beside="transpose")
def sink_transpose(graph: Graph, node: Node) -> Rewrite:
    """Move a transpose from the operands of an operator to its result: f(transpose(a),
    transpose(b)) -> transpose(f(a, b)); other operands get the inverse transpose.

    If the transposes of several inputs differ, only one that restores the model's axis order
    ("back") is moved: it usually cancels further down.
    """
    op, patch = OPS[node.op], GraphBuilder(graph, node)
    rule = found(op.permute_rule)
    data = [i for i in range(len(node.inputs)) if i not in op.weights.at]
    chosen = _transpose_to_sink(graph, [node.inputs[i] for i in data])
    perm: Perm = chosen.attrs["perm"]
    attrs = found(rule(node.attrs, perm))
    inputs = {i: _transpose_input(patch, node.inputs[i], inverse(perm)) for i in data}
    names = (inputs.get(i, name) for i, name in enumerate(node.inputs))
    y = patch.add(node.op, *names, **attrs)
    return patch.last("transpose", y, **chosen.attrs, origin=chosen.origin)


def _transpose_to_sink(graph: Graph, names: Sequence[str]) -> Node:
    """Return the operand's transpose to move: one that restores the model's axis order, otherwise
    the one that all computed operands share. Errors: NoMatch."""
    made = [made_by(graph, name, "transpose") for name in names if not graph.is_const(name)]
    for node in made:
        if node is not None and node.attrs.get("back"):
            return node
    perms = {None if node is None else node.attrs["perm"] for node in made}
    require(len(perms) == 1)
    return found(made[0])


def _transpose_input(patch: GraphBuilder, name: str, perm: Perm) -> str:
    """Return a transposed tensor: the source of an inverse transpose, a transposed constant, or a
    new node.

    Errors: NoMatch if ranks differ.
    """
    graph = patch.graph
    if graph.is_const(name):
        value = graph.array(name)
        require(value.ndim <= len(perm))
        return patch.constant(value.reshape(ranked(value.shape, len(perm))).transpose(perm))
    require(len(graph.shape(name)) == len(perm))
    producer = made_by(graph, name, "transpose")
    if producer is not None and producer.attrs["perm"] == inverse(perm):
        return producer.inputs[0]
    return patch.add("transpose", name, perm=perm)


@rewrite_pattern("mean", "sum", "variance", "argmax")
def sink_through_reduction(graph: Graph, node: Node) -> Rewrite:
    """Move a transpose after a reduction: reduce x first, then transpose the remaining axes.

    argmax returns int32 indices, which are not transposed, so that their axes must keep their
    order.
    """
    transpose = writer(graph, node.inputs[0], "transpose")
    perm: Perm = transpose.attrs["perm"]
    old = node.attrs["axes"] if "axes" in node.attrs else [node.attrs["axis"]]
    new = tuple(sorted(perm[axis] for axis in old))
    attrs = {**node.attrs, **({"axes": new} if "axes" in node.attrs else {"axis": new[0]})}
    left = [p for axis, p in enumerate(perm) if node.attrs["keepdim"] or axis not in old]
    order = tuple(sorted(left).index(p) for p in left)
    patch = GraphBuilder(graph, node)
    if node.op == "argmax":
        require(order == tuple(sorted(order)))
        return patch.last("argmax", transpose.inputs[0], **attrs)
    y = patch.add(node.op, transpose.inputs[0], **attrs)
    return patch.last("transpose", y, **{**transpose.attrs, "perm": order}, origin=transpose.origin)


@rewrite_pattern("linear", beside="transpose")
def flatten_into_linear(graph: Graph, node: Node) -> Rewrite:
    """Fold the transpose in linear(flatten(transpose(x))) into the order of the weights'
    columns."""
    reshape = writer(graph, node.inputs[0], "reshape")
    transpose = writer(graph, reshape.inputs[0], "transpose")
    perm, shape = transpose.attrs["perm"], graph.shape(transpose.name)
    *leading, width = graph.shape(reshape.name)
    lead = len(leading)
    require(tuple(leading) == shape[:lead], width == math.prod(shape[lead:]))
    require([*perm[:lead]] == [*range(lead)])
    w = graph.array(node.inputs[1])
    column_order = (0, *(1 + p - lead for p in inverse(perm)[lead:]))
    columns = w.reshape(w.shape[0], *shape[lead:]).transpose(column_order).reshape(w.shape)
    patch = GraphBuilder(graph, node)
    rows = patch.add("reshape", transpose.inputs[0], **reshape.attrs, origin=reshape.origin)
    return patch.last("linear", rows, patch.constant(columns), *node.inputs[2:])


@rewrite_pattern("transpose")
def deduplicate_transpose(graph: Graph, node: Node) -> Rewrite:
    """Compute equal transposes of one tensor once."""
    for other in graph.users[node.inputs[0]]:
        require(other is not node)
        if other.op == node.op and other.attrs["perm"] == node.attrs["perm"]:
            return GraphBuilder(graph, node).same_as(other.name)
    raise NoMatch


@rewrite_pattern("reshape")
def reshape_first(graph: Graph, node: Node) -> Rewrite:
    """Move a transpose after a reshape, reshape(transpose(x)) -> transpose(reshape(x)), if the
    merged axes are adjacent in x."""
    transpose = writer(graph, node.inputs[0], "transpose")
    perm, source = transpose.attrs["perm"], graph.shape(transpose.inputs[0])
    out = node.attrs["shape"]
    groups = _match_axis_groups(graph.shape(transpose.name), out)
    long_axes = [axis for axis, n in enumerate(source) if n != 1]
    places = [[long_axes.index(perm[axis]) for axis in old] for old, _ in groups]
    require(groups, all(at == list(range(at[0], at[0] + len(at))) for at in places))
    moved_axes = [axis for _, (_, new) in sorted(zip(places, groups, strict=True)) for axis in new]
    axes = [*sorted({*range(len(out))} - {*moved_axes}), *moved_axes]
    patch = GraphBuilder(graph, node)
    y = patch.add("reshape", transpose.inputs[0], shape=tuple(out[axis] for axis in axes))
    attrs = {**transpose.attrs, "perm": inverse(axes)}
    return patch.last("transpose", y, **attrs, origin=transpose.origin)


def _match_axis_groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Return the smallest groups of axes (before, after) whose extents multiply to the same number
    before and after a reshape.

    Axes of extent 1 are left out before the reshape; after it, they join the group to their left,
    if there is one.
    """
    before, after = (list(itertools.accumulate(shape, operator.mul)) for shape in (old, new))
    ends = sorted(set(before) & set(after) - {1})
    groups: list[tuple[list[int], list[int]]] = [([], []) for _ in ends]
    for axis, end in enumerate(before):
        if old[axis] != 1:
            groups[bisect.bisect_left(ends, end)][0].append(axis)
    for axis, end in enumerate(after):
        if end != 1:
            groups[bisect.bisect_left(ends, end)][1].append(axis)
    return groups


@rewrite_pattern("table", "fake_quantize")
def sink_reshape(graph: Graph, node: Node) -> Rewrite:
    """Move a reshape after a pointwise operator: f(reshape(x)) -> reshape(f(x))."""
    reshape = writer(graph, node.inputs[0], "reshape", reader=node)
    patch = GraphBuilder(graph, node)
    y = patch.add(node.op, reshape.inputs[0], **node.attrs)
    return patch.last("reshape", y, **reshape.attrs, origin=joined_origins(reshape))


@rewrite_pattern("table", "fake_quantize", "affine")
def sink_fusible_view(graph: Graph, node: Node) -> Rewrite:
    """Move a fusible view after a pointwise operator, so that the operator fuses with the layer
    before the view: f(view(x)) -> view(f(x)).

    Per-channel factors are repeated if x's last axis holds several sets of channels.
    """
    view = writer(graph, node.inputs[0], "slice", "reshape", reader=node)
    require(view.attrs.get("inside"))
    x, attrs, patch = view.inputs[0], node.attrs, GraphBuilder(graph, node)
    factors = [graph.array(name) for name in node.inputs[1:]]
    if factors:
        source, last = graph.shape(x), len(graph.shape(node.name)) - 1
        require(attrs["axis"] == last, source[-1] % factors[0].size == 0)
        factors = [np.tile(factor, source[-1] // factor.size) for factor in factors]
        attrs = {**attrs, "axis": len(source) - 1}
    y = patch.add(node.op, x, *map(patch.constant, factors), **attrs)
    return patch.last(view.op, y, **view.attrs, origin=joined_origins(view))


SINK: tuple[RewritePattern, ...] = (
    merge_transposes,
    deduplicate_transpose,
    sink_transpose,
    sink_through_reduction,
    flatten_into_linear,
    reshape_first,
    sink_reshape,
    sink_fusible_view,
)


@rewrite_pattern("transpose")
def transpose_is_view(graph: Graph, node: Node) -> Rewrite:
    """Replace a transpose that only moves axes of extent 1 by a reshape."""
    shape = graph.shape(node.inputs[0])
    order = [axis for axis in node.attrs["perm"] if shape[axis] != 1]
    require(order == sorted(order))
    return GraphBuilder(graph, node).last("reshape", node.inputs[0], shape=graph.shape(node.name))


@rewrite_pattern("reshape")
def merge_reshapes(graph: Graph, node: Node) -> Rewrite:
    """Merge reshape(reshape(x)) into one reshape."""
    producer = writer(graph, node.inputs[0], "reshape")
    return GraphBuilder(graph, node).last("reshape", producer.inputs[0], shape=node.attrs["shape"])


@rewrite_pattern("matmul")
def transpose_right_operand(graph: Graph, node: Node) -> Rewrite:
    """Fold a transpose of a matmul's right operand into the matmul: the swap of the last two axes
    becomes the attribute `b_turned`, the rest stays a transpose."""
    transpose = writer(graph, node.inputs[1], "transpose")
    *lead, first, last = transpose.attrs["perm"]
    require(not node.attrs.get("b_turned"), first == len(lead) + 1)
    patch = GraphBuilder(graph, node)
    rows = patch.add(
        "transpose", transpose.inputs[0], perm=(*lead, last, first), origin=transpose.origin
    )
    return patch.last("matmul", node.inputs[0], rows, **{**node.attrs, "b_turned": True})


@rewrite_pattern("conv")
def windows_as_channels(graph: Graph, node: Node) -> Rewrite:
    """Turn kernel taps into input channels if windows do not overlap, or if there is only one
    window: [N, 8, 20, 1] with 1x5 kernels and stride 5 becomes [N, 8, 4, 5] with 1x1 kernels.

    One match handles the innermost axis longer than 1; a kernel as large as its input becomes 1x1
    axis by axis. The bytes of the input stay the same.
    """
    x, weight, *bias = node.inputs
    (n, *sides, c), (k, *taps, _) = graph.shape(x), graph.shape(weight)
    at = max((d for d, side in enumerate(sides) if side > 1), default=0)
    require(graph.is_const(weight), node.attrs["groups"] == 1, taps)
    windows, size = graph.shape(node.name)[1 + at], taps[at]
    steps, dilations, pads = (node.attrs[name] for name in ("stride", "dilation", "pads"))
    require(dilations[at] == 1, windows == 1 or steps[at] == size)
    require(size > 1, not any(map(any, pads[at:])))
    ones = {name: (*node.attrs[name][:at], 1, *node.attrs[name][at + 1 :]) for name in ONES}
    patch = GraphBuilder(graph, node)
    if sides[at] > windows * size:
        x = slice_axis(patch, x, 1 + at, 0, windows * size)
    sides[at], taps[at] = windows, 1
    rows = patch.add("reshape", x, shape=(n, *sides, c * size))
    w = patch.constant(graph.array(weight).reshape(k, *taps, c * size))
    return patch.last("conv", rows, w, *bias, **{**node.attrs, **ones})


VIEWS: tuple[RewritePattern, ...] = (
    transpose_is_view,
    merge_reshapes,
    sink_reshape,
    transpose_right_operand,
)
