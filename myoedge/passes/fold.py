# SPDX-License-Identifier: Apache-2.0
"""Rules that move constants into weights: batch norm, factors, constant subgraphs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from myoedge.ir import Array, Border, Graph, Node, Shape
from myoedge.op import OPS
from myoedge.passes.patch import Patch, feeds_only, joined, made_by
from myoedge.rewrite import Rewrite, Rule, splice

WEIGHTED = ("conv", "linear")


def fold_constants(graph: Graph, node: Node) -> Rewrite | None:
    """A node that reads constants only is computed now."""
    if not all(map(graph.is_const, node.inputs)):
        return None
    patch = Patch(graph, node)
    value = OPS[node.op].real(node.attrs, *(graph.constants[name] for name in node.inputs))
    return patch.same_as(patch.constant(np.asarray(value)))


def drop_identity(graph: Graph, node: Node) -> Rewrite | None:
    """Empty tables, reshapes to the same shape, transposes that keep the order, whole slices."""
    shape = graph.shape(node.inputs[0]) if node.inputs else ()
    same = {
        "table": lambda: not node.attrs["chain"],
        "reshape": lambda: tuple(node.attrs["shape"]) == shape,
        "transpose": lambda: list(node.attrs["perm"]) == sorted(node.attrs["perm"]),
        "slice": lambda: node.attrs["cuts"] == tuple((0, n, 1) for n in shape),
        "expand": lambda: tuple(node.attrs["shape"]) == shape,
        "concat": lambda: len(node.inputs) == 1,
    }.get(node.op, lambda: False)()
    return Patch(graph, node).same_as(node.inputs[0]) if same else None


def constant_to_affine(graph: Graph, node: Node) -> Rewrite | None:
    """x + c, x - c, c - x, x * c with c along one axis: a factor and an offset per channel."""
    if node.op not in ("add", "sub", "mul"):
        return None
    const = next((i for i, name in enumerate(node.inputs) if graph.is_const(name)), None)
    if const is None or graph.is_const(node.inputs[1 - const]):
        return None
    x, out = node.inputs[1 - const], graph.shape(node.name)
    along = _axis(graph.shape(node.inputs[const]), out) if graph.shape(x) == out else None
    if along is None:
        return None
    c = graph.constants[node.inputs[const]].reshape(-1).astype(np.float64)
    scale, offset = _factors(node.op, c, constant_first=const == 0)
    if c.size == 1:
        chain = (("affine", float(scale[0]), float(offset[0])),)
        return Patch(graph, node).last("table", x, chain=chain)
    patch = Patch(graph, node)
    return patch.last("affine", x, patch.constant(scale), patch.constant(offset), axis=along)


def _factors(op: str, c: Array, *, constant_first: bool) -> tuple[Array, Array]:
    ones = np.ones_like(c)
    if op == "mul":
        return c, 0 * ones
    if op == "add":
        return ones, c
    return (-ones, c) if constant_first else (ones, -c)


def _axis(const: Shape, out: Shape) -> int | None:
    """The only axis of `out` along which a constant of this shape varies; None if there are several."""
    lead = len(out) - len(const)
    varying = [lead + d for d, n in enumerate(const) if n != 1]
    if len(varying) > 1:
        return None
    return varying[0] if varying else 0


def merge_affines(graph: Graph, node: Node) -> Rewrite | None:
    """affine(affine(x)) along the same axis is one."""
    before = made_by(graph, node.inputs[0], "affine") if node.op == "affine" else None
    if before is None or not feeds_only(graph, before.name, node):
        return None
    if before.attrs["axis"] != node.attrs["axis"]:
        return None
    a, b = (graph.constants[name].astype(np.float64) for name in before.inputs[1:])
    c, e = (graph.constants[name].astype(np.float64) for name in node.inputs[1:])
    patch = Patch(graph, node)
    parts = patch.constant(a * c), patch.constant(b * c + e)
    return patch.last("affine", before.inputs[0], *parts, **node.attrs, origin=joined(before, node))


def affine_into_weights(graph: Graph, node: Node) -> Rewrite | None:
    """conv or linear followed by a factor and an offset per channel: into weights and bias."""
    if node.op != "affine" or node.attrs["axis"] != len(graph.shape(node.name)) - 1:
        return None
    scale, offset = (graph.constants[name].astype(np.float64) for name in node.inputs[1:])
    return _into_weights(graph, node, scale, offset)


def scalar_into_weights(graph: Graph, node: Node) -> Rewrite | None:
    """conv or linear followed by x * a + b: the first step of a table moves into the weights."""
    if node.op != "table" or node.attrs["chain"][0][0] != "affine":
        return None
    (_, scale, offset), *rest = node.attrs["chain"]
    change = _into_weights(graph, node, np.float64(scale), np.float64(offset))
    if change is None or not rest:
        return change
    producer = change.nodes[0].but(outputs=(f"{node.name}.scaled",))
    tail = node.but(inputs=producer.outputs, attrs={"chain": tuple(rest)})
    tensors = (replace(change.tensors[0], name=producer.name), graph.tensors[node.name])
    return replace(change, nodes=(producer, tail), tensors=tensors)


def _into_weights(graph: Graph, node: Node, scale: Array, offset: Array) -> Rewrite | None:
    producer = made_by(graph, node.inputs[0], *WEIGHTED)
    if producer is None or "act" in producer.attrs or not feeds_only(graph, producer.name, node):
        return None
    w = graph.constants[producer.inputs[1]].astype(np.float64)
    bias = graph.constants[producer.inputs[2]] if len(producer.inputs) > 2 else np.zeros(w.shape[0])
    rows = np.broadcast_to(scale, (w.shape[0],)).reshape(-1, *([1] * (w.ndim - 1)))
    patch = Patch(graph, node)
    parts = patch.constant(w * rows), patch.constant(bias * scale + offset)
    origin = joined(producer, node)
    return patch.last(producer.op, producer.inputs[0], *parts, **producer.attrs, origin=origin)


FOLD: tuple[Rule, ...] = (
    fold_constants,
    drop_identity,
    constant_to_affine,
    merge_affines,
    affine_into_weights,
    scalar_into_weights,
)


def absorb_borders(graph: Graph) -> Graph:
    """Factors and offsets right behind an input move to the host, which quantises with them."""
    for name in graph.inputs:
        reader = graph.only_user(name)
        border = None if reader is None else _border(graph, reader)
        if reader is not None and border is not None:
            change = Patch(graph, reader).same_as(name)
            graph = replace(splice(graph, reader, change), borders={**graph.borders, name: border})
    return graph


def _border(graph: Graph, node: Node) -> Border | None:
    if node.op == "affine":
        scale, offset = (graph.constants[name].astype(np.float64) for name in node.inputs[1:])
        return Border(
            tuple(scale.tolist()), tuple(offset.tolist()), node.attrs["axis"], node.origin
        )
    if node.op == "table" and [step[0] for step in node.attrs["chain"]] == ["affine"]:
        _, factor, shift = node.attrs["chain"][0]
        return Border((factor,), (shift,), 0, node.origin)
    return None
