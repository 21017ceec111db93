# SPDX-License-Identifier: Apache-2.0
"""Rules that make transposes meet and cancel: they sink towards the outputs."""

from __future__ import annotations

import bisect
import itertools
import math
import operator
from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.rewrite import Rewrite, Rule
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.passes.matching import feeds_only, joined, made_by

Perm = tuple[int, ...]


def inverse(perm: Sequence[int]) -> Perm:
    return tuple(int(i) for i in np.argsort(perm))


def merge_transposes(graph: Graph, node: Node) -> Rewrite | None:
    """transpose(transpose(x)) is one."""
    before = _transposed(graph, node.inputs[0]) if node.op == "transpose" else None
    if before is None:
        return None
    perm = tuple(before.attrs["perm"][axis] for axis in node.attrs["perm"])
    return GraphBuilder(graph, node).last("transpose", before.inputs[0], perm=perm)


def _transposed(graph: Graph, name: str) -> Node | None:
    return made_by(graph, name, "transpose")


def sink_transpose(graph: Graph, node: Node) -> Rewrite | None:
    """f(transpose(a), transpose(b)) = transpose(f(a, b)); what is not transposed is turned back.

    Several inputs are worth turning only for a transpose that restores the model's order ("back"):
    most readers undo it, and each such transpose moves down only, so that the rule ends.
    """
    op = OPS[node.op]
    if op.permute_rule is None:
        return None
    data = [i for i in range(len(node.inputs)) if i not in op.weights]
    found = [_transposed(graph, node.inputs[i]) for i in data if not graph.is_const(node.inputs[i])]
    chosen = _worth_sinking(found)
    if chosen is None:
        return None
    perm: Perm = chosen.attrs["perm"]
    patch, turned = GraphBuilder(graph, node), op.permute_rule(node.attrs, perm)
    inputs = {i: _through(patch, node.inputs[i], inverse(perm)) for i in data}
    if turned is None or None in inputs.values():
        return None
    names = [inputs.get(i) or name for i, name in enumerate(node.inputs)]
    y = patch.add(node.op, *names, **turned)
    return patch.last("transpose", y, **chosen.attrs, origin=chosen.origin)


def _worth_sinking(found: Sequence[Node | None]) -> Node | None:
    """The transpose to move below its reader, if any."""
    back = next((t for t in found if t is not None and t.attrs.get("back")), None)
    if back is not None or not found or None in found:
        return back
    perms = {t.attrs["perm"] for t in found if t is not None}
    return found[0] if len(perms) == 1 else None


def _through(patch: GraphBuilder, name: str, perm: Perm) -> str | None:
    """`name` transposed: cancelled, computed for constants, else a node; None if ranks differ."""
    graph = patch.graph
    if graph.is_const(name):
        value = graph.constants[name]
        if value.ndim > len(perm):
            return None
        full = value.reshape([1] * (len(perm) - value.ndim) + list(value.shape))
        return patch.constant(full.transpose(perm))
    if len(graph.shape(name)) != len(perm):
        return None
    before = _transposed(graph, name)
    if before is not None and before.attrs["perm"] == inverse(perm):
        return before.inputs[0]
    return patch.add("transpose", name, perm=perm)


def sink_through_reduction(graph: Graph, node: Node) -> Rewrite | None:
    """mean(transpose(x)) sums the axes where they were, then transposes what is left.

    The indices of argmax are int32, which no transpose takes: only where their order stays.
    """
    before = _transposed(graph, node.inputs[0]) if node.op in ("mean", "sum", "argmax") else None
    if before is None:
        return None
    perm: Perm = before.attrs["perm"]
    kept = node.attrs["keepdim"]
    old = [node.attrs["axis"]] if node.op == "argmax" else list(node.attrs["axes"])
    new = tuple(sorted(perm[axis] for axis in old))
    where = {"axis": new[0]} if node.op == "argmax" else {"axes": new}
    left = perm if kept else tuple(p for axis, p in enumerate(perm) if axis not in old)
    order = tuple(sorted(left).index(p) for p in left)
    patch = GraphBuilder(graph, node)
    if node.op == "argmax" and order == tuple(sorted(order)):
        return patch.last("argmax", before.inputs[0], **{**node.attrs, **where})
    if node.op == "argmax":
        return None
    y = patch.add(node.op, before.inputs[0], **{**node.attrs, **where})
    return patch.last("transpose", y, **{**before.attrs, "perm": order}, origin=before.origin)


def flatten_into_linear(graph: Graph, node: Node) -> Rewrite | None:
    """linear(flatten(transpose(x))): the columns of the weights are reordered instead."""
    flat = made_by(graph, node.inputs[0], "reshape") if node.op == "linear" else None
    turned = _transposed(graph, flat.inputs[0]) if flat else None
    if flat is None or turned is None:
        return None
    perm, inner = turned.attrs["perm"], graph.shape(turned.name)
    lead = _kept_axes(graph.shape(flat.name), inner)
    if lead is None or any(perm[d] != d for d in range(lead)):
        return None
    w = graph.constants[node.inputs[1]]
    back = (0, *(1 + p - lead for p in inverse(perm)[lead:]))
    columns = w.reshape(w.shape[0], *inner[lead:]).transpose(back).reshape(w.shape)
    patch = GraphBuilder(graph, node)
    rows = patch.add("reshape", turned.inputs[0], **flat.attrs, origin=flat.origin)
    return patch.last("linear", rows, patch.constant(columns), *node.inputs[2:])


def _kept_axes(flat: Sequence[int], inner: Sequence[int]) -> int | None:
    """Number of leading axes a flatten keeps, if it joins all the others into its last axis."""
    lead = len(flat) - 1
    if tuple(flat[:lead]) == tuple(inner[:lead]) and flat[-1] == math.prod(inner[lead:]):
        return lead
    return None


def share_equal(graph: Graph, node: Node) -> Rewrite | None:
    """A transpose of the same tensor by the same permutation is computed once."""
    if node.op != "transpose":
        return None
    for twin in graph.users[node.inputs[0]]:
        if twin is node:
            return None
        if twin.op == node.op and twin.attrs["perm"] == node.attrs["perm"]:
            return GraphBuilder(graph, node).same_as(twin.name)
    return None


def reshape_first(graph: Graph, node: Node) -> Rewrite | None:
    """reshape(transpose(x)) = transpose(reshape(x)) where axes it joins are neighbours in x."""
    before = _transposed(graph, node.inputs[0]) if node.op == "reshape" else None
    if before is None:
        return None
    perm, source, out = before.attrs["perm"], graph.shape(before.inputs[0]), node.attrs["shape"]
    groups = _regrouped(graph.shape(before.name), out)
    real = [axis for axis, n in enumerate(source) if n != 1]
    places = [[real.index(perm[axis]) for axis in old] for old, _ in groups]
    if not groups or any(at != list(range(at[0], at[0] + len(at))) for at in places):
        return None
    moved = [axis for _, (_, new) in sorted(zip(places, groups, strict=True)) for axis in new]
    axes = [*(axis for axis in range(len(out)) if axis not in moved), *moved]
    patch = GraphBuilder(graph, node)
    y = patch.add("reshape", before.inputs[0], shape=tuple(out[axis] for axis in axes))
    turned = {**before.attrs, "perm": inverse(axes)}
    return patch.last("transpose", y, **turned, origin=before.origin)


def _regrouped(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The smallest groups of axes before and after a reshape with equal products.

    Axes of extent 1 are left out before; after, they join the group to their left, if there is one.
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


def sink_reshape(graph: Graph, node: Node) -> Rewrite | None:
    """A table does not care about the shape."""
    before = made_by(graph, node.inputs[0], "reshape") if node.op == "table" else None
    if before is None or not feeds_only(graph, before.name, node):
        return None
    patch = GraphBuilder(graph, node)
    y = patch.add("table", before.inputs[0], **node.attrs)
    return patch.last("reshape", y, **before.attrs, origin=joined(before))


SINK: tuple[Rule, ...] = (
    merge_transposes,
    share_equal,
    sink_transpose,
    sink_through_reduction,
    flatten_into_linear,
    reshape_first,
    sink_reshape,
)


def transpose_is_view(graph: Graph, node: Node) -> Rewrite | None:
    """A transpose that only moves axes of extent 1 moves no bytes."""
    if node.op != "transpose":
        return None
    shape = graph.shape(node.inputs[0])
    order = [axis for axis in node.attrs["perm"] if shape[axis] != 1]
    if order != sorted(order):
        return None
    return GraphBuilder(graph, node).last("reshape", node.inputs[0], shape=graph.shape(node.name))


def merge_reshapes(graph: Graph, node: Node) -> Rewrite | None:
    """reshape(reshape(x)) is one."""
    before = made_by(graph, node.inputs[0], "reshape") if node.op == "reshape" else None
    if before is None:
        return None
    return GraphBuilder(graph, node).last("reshape", before.inputs[0], shape=node.attrs["shape"])


def turn_rows(graph: Graph, node: Node) -> Rewrite | None:
    """a b^T reads b as it lies: of a transpose of its last axes nothing is left, of one of others
    as well what moves rows."""
    if node.op != "matmul" or node.attrs.get("b_turned"):
        return None
    before = made_by(graph, node.inputs[1], "transpose")
    if before is None or before.attrs["perm"][-2] != len(before.attrs["perm"]) - 1:
        return None
    *lead, first, last = before.attrs["perm"]
    patch = GraphBuilder(graph, node)
    rows = patch.add("transpose", before.inputs[0], perm=(*lead, last, first), origin=before.origin)
    return patch.last("matmul", node.inputs[0], rows, **{**node.attrs, "b_turned": True})


VIEWS: tuple[Rule, ...] = (transpose_is_view, merge_reshapes, sink_reshape, turn_rows)
