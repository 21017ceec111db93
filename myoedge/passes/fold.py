# SPDX-License-Identifier: Apache-2.0
"""Rules that move constants into weights: batch norm, factors, constant subgraphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from myoedge.graph.ir import Graph, InputNormalization, Node, Shape
from myoedge.graph.rewrite import Rewrite, Rule, splice
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.interpreter import real_node
from myoedge.passes.matching import feeds_only, joined, made_by

WEIGHTED = ("conv", "linear")


def fold_constants(graph: Graph, node: Node) -> Rewrite | None:
    """A node that reads only constants is computed at build time."""
    if not all(map(graph.is_const, node.inputs)):
        return None
    patch = GraphBuilder(graph, node)
    _, value = real_node(node, [graph.constants[name] for name in node.inputs])
    return patch.same_as(patch.constant(np.asarray(value)))


def drop_identity(graph: Graph, node: Node) -> Rewrite | None:
    """Empty tables, reshapes to the same shape, identity transposes and full slices are removed."""
    shape = graph.shape(node.inputs[0]) if node.inputs else ()
    identity_checks: Mapping[str, Callable[[], bool]] = {
        "table": lambda: not node.attrs["chain"],
        "reshape": lambda: tuple(node.attrs["shape"]) == shape,
        "transpose": lambda: list(node.attrs["perm"]) == sorted(node.attrs["perm"]),
        "slice": lambda: node.attrs["cuts"] == tuple((0, n, 1) for n in shape),
        "expand": lambda: tuple(node.attrs["shape"]) == shape,
        "concat": lambda: len(node.inputs) == 1,
    }
    is_identity = identity_checks.get(node.op)
    return (
        GraphBuilder(graph, node).same_as(node.inputs[0]) if is_identity and is_identity() else None
    )


def constant_to_affine(graph: Graph, node: Node) -> Rewrite | None:
    """x + c, x - c, c - x, x * c with c along one axis: a factor and an offset per channel."""
    if node.op not in ("add", "sub", "mul") or "act" in node.attrs:
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
        return GraphBuilder(graph, node).last("table", x, chain=chain)
    patch = GraphBuilder(graph, node)
    return patch.last("affine", x, patch.constant(scale), patch.constant(offset), axis=along)


def _factors(op: str, c: Array, *, constant_first: bool) -> tuple[Array, Array]:
    ones = np.ones_like(c)
    if op == "mul":
        return c, 0 * ones
    if op == "add":
        return ones, c
    return (-ones, c) if constant_first else (ones, -c)


def _axis(const: Shape, out: Shape) -> int | None:
    """The axis of `out` along which a constant of this shape varies; None if there are several."""
    lead = len(out) - len(const)
    varying = [lead + d for d, n in enumerate(const) if n != 1]
    if len(varying) > 1:
        return None
    return varying[0] if varying else 0


def deduplicate_broadcast(graph: Graph, node: Node) -> Rewrite | None:
    """A constant that repeats along leading axes is stored once, where its reader broadcasts it."""
    reduced_constants = {}
    for index, axes in OPS[node.op].broadcast_inputs.items():
        name = node.inputs[index] if index < len(node.inputs) else ""
        if (
            name in graph.constants
            and (reduced := _without_repetition(graph, node, index, axes)) is not None
        ):
            reduced_constants[index] = reduced
    if not reduced_constants:
        return None
    patch, inputs = GraphBuilder(graph, node), [*node.inputs]
    for index, value in reduced_constants.items():
        inputs[index] = patch.constant(value)
    return patch.last(node.op, *inputs, **node.attrs)


def _without_repetition(graph: Graph, node: Node, index: int, axes: int | None) -> Array | None:
    """The operand without repeated axes; None where none repeats, or the result's shape would
    change."""
    constant = graph.constants[node.inputs[index]]
    value = constant
    for axis in range(constant.ndim)[:axes]:
        first = value[(slice(None),) * axis + (slice(0, 1),)]
        if not (value == first).all():
            break
        value = first
    shapes = [graph.shape(name) for name in node.inputs]
    shapes[index] = value.shape
    smaller = value.shape != constant.shape
    fits = smaller and OPS[node.op].shape(node.attrs, *shapes) == graph.shape(node.name)
    return value if fits else None


def merge_affines(graph: Graph, node: Node) -> Rewrite | None:
    """affine(affine(x)) along one axis is one affine."""
    producer = made_by(graph, node.inputs[0], "affine") if node.op == "affine" else None
    if producer is None or "act" in producer.attrs or not feeds_only(graph, producer.name, node):
        return None
    if producer.attrs["axis"] != node.attrs["axis"]:
        return None
    a, b = (graph.constants[name].astype(np.float64) for name in producer.inputs[1:])
    c, e = (graph.constants[name].astype(np.float64) for name in node.inputs[1:])
    patch = GraphBuilder(graph, node)
    factors = patch.constant(a * c), patch.constant(b * c + e)
    return patch.last(
        "affine", producer.inputs[0], *factors, **node.attrs, origin=joined(producer, node)
    )


def affine_into_weights(graph: Graph, node: Node) -> Rewrite | None:
    """conv or linear followed by a factor and an offset per channel: into weights and bias."""
    if node.op != "affine" or node.attrs["axis"] != len(graph.shape(node.name)) - 1:
        return None
    producer = _foldable(graph, node)
    if producer is None:
        return None
    scale, offset = (graph.constants[name].astype(np.float64) for name in node.inputs[1:])
    patch = GraphBuilder(graph, node)
    inputs = _scaled(patch, producer, scale, offset)
    attrs = {**producer.attrs, **{k: v for k, v in node.attrs.items() if k == "act"}}
    return patch.last(producer.op, *inputs, **attrs, origin=joined(producer, node))


def scalar_into_weights(graph: Graph, node: Node) -> Rewrite | None:
    """conv or linear followed by x * a + b: the first step of a table moves into the weights."""
    if node.op != "table" or node.attrs["chain"][0][0] != "affine":
        return None
    producer = _foldable(graph, node)
    if producer is None:
        return None
    (_, scale, offset), *rest = node.attrs["chain"]
    patch = GraphBuilder(graph, node)
    inputs = _scaled(patch, producer, np.float64(scale), np.float64(offset))
    origin = joined(producer, node)
    if not rest:
        return patch.last(producer.op, *inputs, **producer.attrs, origin=origin)
    y = patch.add(producer.op, *inputs, **producer.attrs, origin=origin)
    return patch.last("table", y, chain=tuple(rest))


def _foldable(graph: Graph, node: Node) -> Node | None:
    """The conv or linear that feeds only this node, if its weights may be changed."""
    producer = made_by(graph, node.inputs[0], *WEIGHTED)
    if producer is None or "act" in producer.attrs or not feeds_only(graph, producer.name, node):
        return None
    return producer


def _scaled(
    patch: GraphBuilder, producer: Node, scale: Array | np.float64, offset: Array | np.float64
) -> tuple[str, ...]:
    """Inputs of the producer with scale * (w x + b) + offset folded into weights and bias."""
    graph, (x, weight, *bias) = patch.graph, producer.inputs
    w = graph.constants[weight].astype(np.float64)
    b = graph.constants[bias[0]] if bias else np.zeros(w.shape[0])
    rows = np.broadcast_to(scale, (w.shape[0],)).reshape(-1, *([1] * (w.ndim - 1)))
    return x, patch.constant(w * rows), patch.constant(np.asarray(b * scale + offset))


FOLD: tuple[Rule, ...] = (
    fold_constants,
    drop_identity,
    constant_to_affine,
    deduplicate_broadcast,
    merge_affines,
    affine_into_weights,
    scalar_into_weights,
)


def absorb_input_normalization(graph: Graph) -> Graph:
    """Factors and offsets at an input move to the host, which quantises with them."""
    for name in graph.inputs:
        while (reader := graph.only_user(name)) is not None:
            normalization = _merged_normalization(
                graph.borders.get(name), _normalization(graph, reader)
            )
            if normalization is None:
                break
            graph = _without_own_params(graph, name)
            change = GraphBuilder(graph, reader).same_as(name)
            graph = replace(
                splice(graph, reader, change), borders={**graph.borders, name: normalization}
            )
    return graph


def _without_own_params(graph: Graph, name: str) -> Graph:
    """The input's value is about to be another: parameters of its reader's result apply to it."""
    others = {n: q for n, q in graph.quant_params.items() if n != name}
    return replace(graph, quant_params=others)


def _normalization(graph: Graph, node: Node) -> InputNormalization | None:
    if node.op == "affine":
        scale, offset = (graph.constants[name].astype(np.float64) for name in node.inputs[1:])
        return InputNormalization(
            tuple(scale.tolist()), tuple(offset.tolist()), node.attrs["axis"], node.origin
        )
    if node.op == "table" and [step[0] for step in node.attrs["chain"]] == ["affine"]:
        _, factor, shift = node.attrs["chain"][0]
        return InputNormalization((factor,), (shift,), 0, node.origin)
    return None


def _merged_normalization(
    first: InputNormalization | None, second: InputNormalization | None
) -> InputNormalization | None:
    """One normalization equal to two, one after the other; None along different axes."""
    if first is None or second is None:
        return second
    along = [
        normalization.axis for normalization in (first, second) if len(normalization.scale) > 1
    ]
    if len(set(along)) > 1:
        return None
    a, b, c, d = (np.array(v) for s in (first, second) for v in (s.scale, s.offset))
    scale, offset = np.broadcast_arrays(a * c, b * c + d)
    origin = tuple(dict.fromkeys((*first.origin, *second.origin)))
    axis = along[0] if along else 0
    return InputNormalization(tuple(scale.tolist()), tuple(offset.tolist()), axis, origin)
