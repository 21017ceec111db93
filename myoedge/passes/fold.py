# SPDX-License-Identifier: Apache-2.0
"""Patterns that fold constants into weights: batch norm, factors, constant subgraphs."""

from __future__ import annotations

import numpy as np

from myoedge.graph.input_normalization import InputNormalization
from myoedge.graph.ir import Graph, Node, ranked
from myoedge.graph.match import ancestors, behind, both_orders, floats, require, writer
from myoedge.graph.rewrite import Rewrite, RewritePattern, joined_origins, rewrite_pattern, splice
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder, expand
from myoedge.operators.interpreter import real_node
from myoedge.operators.turns import IN_LOOPS
from myoedge.passes.fold_embeddings import FOLD_EMBEDDINGS
from myoedge.passes.forms import MOVES, before_functions, is_zeros, times_zeros

POOLS = ("max_pool", "avg_pool")

WEIGHTED = ("conv", "linear")


@rewrite_pattern()
def fold_constants(graph: Graph, node: Node) -> Rewrite:
    """Replace a node that reads only constants by its value."""
    require(node.op not in IN_LOOPS, all(map(graph.is_const, node.inputs)))
    patch = GraphBuilder(graph, node)
    _, value = real_node(node, [graph.array(name) for name in node.inputs])
    return patch.same_as(patch.constant(np.asarray(value)))


@rewrite_pattern("table", "reshape", "transpose", "slice", "expand", "concat", *POOLS)
def drop_identity(graph: Graph, node: Node) -> Rewrite | None:
    """Remove nodes that change nothing: empty chains of functions, reshapes to the same shape,
    identity transposes, full slices and pools of single elements."""
    attrs, shape = node.attrs, graph.shape(node.inputs[0])
    single = tuple(tuple((i, i + 1, 1) for i in range(n)) for n in shape[1:-1])
    is_plain = "act" not in attrs and attrs.get("divisor") in (None, 1)
    is_identity = {
        "table": not attrs.get("chain"),
        "reshape": attrs.get("shape") == shape,
        "transpose": list(attrs.get("perm", ())) == sorted(attrs.get("perm", ())),
        "slice": [range(*cut) for cut in attrs.get("cuts", ())] == [range(n) for n in shape],
        "expand": attrs.get("shape") == shape,
        "concat": len(node.inputs) == 1,
        **dict.fromkeys(POOLS, is_plain and attrs.get("windows") == single),
    }
    return GraphBuilder(graph, node).same_as(node.inputs[0]) if is_identity[node.op] else None


@rewrite_pattern("slice")
def slice_of_part(graph: Graph, node: Node) -> Rewrite | None:
    """Read a slice of a concat from the one part that contains it, whose scale the other parts then
    do not share: the last layer's state among those of all layers."""
    whole = writer(graph, node.inputs[0], "concat")
    axis, cuts = whole.attrs["axis"], node.attrs["cuts"]
    taken, first = range(*cuts[axis]), 0
    for part in whole.inputs:
        end = first + graph.shape(part)[axis]
        if first <= min(taken) and max(taken) < end:
            start, stop, by = cuts[axis]
            own = (start - first, max(stop - first, -1), by)
            moved = (*cuts[:axis], own, *cuts[axis + 1 :])
            return GraphBuilder(graph, node).last("slice", part, cuts=moved)
        first = end
    return None


@rewrite_pattern("add")
def drop_products_of_zeros(graph: Graph, node: Node) -> Rewrite | None:
    """Replace a * 0 + b by b, as in the first iteration of a loop that begins with zeros. Applies
    if every output still depends on an input."""
    for product, other in both_orders(node):
        if "act" not in node.attrs and times_zeros(graph, behind(graph, product, *MOVES)):
            _require_inputs(graph, node, other)
            patch = GraphBuilder(graph, node)
            return patch.same_as(expand(patch, other, graph.shape(node.name)))
    return None


@rewrite_pattern("matmul", "mul", "table")
def fold_products_of_zeros(graph: Graph, node: Node) -> Rewrite:
    """Replace a * 0 by zeros, as r * h in the first iteration of a loop: a is bounded on the
    device. Applies if every output still depends on an input; loops must be rolled before."""
    is_matmul = node.op == "matmul" and any(is_zeros(graph, name) for name in node.inputs)
    require(is_matmul or times_zeros(graph, node.name))
    _require_inputs(graph, node)
    patch = GraphBuilder(graph, node)
    return patch.same_as(patch.constant(np.zeros(graph.shape(node.name))))


def _require_inputs(graph: Graph, node: Node, *replacement: str) -> None:
    """Raise NoMatch unless every output depends on an input once a node is replaced.

    replacement   the tensor that replaces the node; none: a constant
    """
    if ancestors(graph, replacement).isdisjoint(graph.inputs):
        for name in graph.outputs:
            require(not ancestors(graph, [name], without=node.name).isdisjoint(graph.inputs))


@rewrite_pattern("add", "sub", "mul")
def constant_to_affine(graph: Graph, node: Node) -> Rewrite:
    """Replace x + c, x - c, c - x and x * c, with c along one axis, by a factor and an offset per
    channel."""
    is_const = [graph.is_const(name) for name in node.inputs]
    require(any(is_const), not all(is_const), "act" not in node.attrs)
    require(not times_zeros(graph, node.name))
    const = is_const.index(True)
    x, out = node.inputs[1 - const], graph.shape(node.name)
    shape = ranked(graph.shape(node.inputs[const]), len(out))
    varying = [axis for axis, n in enumerate(shape) if n != 1]
    require(graph.shape(x) == out, len(varying) <= 1)
    (c,) = (value.reshape(-1) for value in floats(graph, [node.inputs[const]]))
    ones = np.ones_like(c)
    scale, offset = {
        "mul": (c, 0 * ones),
        "add": (ones, c),
        "sub": (-ones, c) if const == 0 else (ones, -c),
    }[node.op]
    patch = GraphBuilder(graph, node)
    if c.size == 1:
        return patch.last("table", x, chain=(("affine", float(scale[0]), float(offset[0])),))
    return patch.last("affine", x, patch.constant(scale), patch.constant(offset), axis=varying[0])


@rewrite_pattern()
def deduplicate_broadcast(graph: Graph, node: Node) -> Rewrite | None:
    """Store a constant that repeats along leading axes only once, if its reader broadcasts it."""
    patch, inputs = GraphBuilder(graph, node), [*node.inputs]
    for index, axes in OPS[node.op].operands.broadcast.items():
        value = graph.find_array(node.inputs[index]) if index < len(inputs) else None
        if value is None:
            continue
        before, shapes = value.shape, [graph.shape(name) for name in node.inputs]
        for axis in range(value.ndim)[:axes]:
            first = value.take([0], axis)
            if not (value == first).all():
                break
            value = first
        shapes[index] = value.shape
        after = OPS[node.op].shape(node.attrs, *shapes)
        if value.shape != before and after == graph.shape(node.name):
            inputs[index] = patch.constant(value)
    return None if inputs == [*node.inputs] else patch.last(node.op, *inputs, **node.attrs)


@rewrite_pattern("affine")
def merge_affines(graph: Graph, node: Node) -> Rewrite:
    """Merge two affine operators along the same axis: affine(affine(x)) -> affine(x)."""
    producer = writer(graph, node.inputs[0], "affine", reader=node, plain=True)
    require(producer.attrs["axis"] == node.attrs["axis"])
    (a, b), (c, e) = (floats(graph, x.inputs[1:]) for x in (producer, node))
    patch, origin = GraphBuilder(graph, node), joined_origins(producer, node)
    factors = patch.constant(a * c), patch.constant(b * c + e)
    return patch.last("affine", producer.inputs[0], *factors, **node.attrs, origin=origin)


@rewrite_pattern("mul")
def merge_factors(graph: Graph, node: Node) -> Rewrite:
    """Multiply by the product of two constants instead of by one after the other:
    (x * a) * c -> x * (a * c), unless the product has more elements than either constant."""
    product, c = _match_constant_operand(graph, node)
    inner = writer(graph, product, "mul", plain=True)
    x, a = _match_constant_operand(graph, inner)
    factor = np.multiply(*floats(graph, (a, c)))
    require(graph.given(product) is None, graph.format(a) is None, graph.format(c) is None)
    require(factor.size <= max(graph.array(a).size, graph.array(c).size))
    patch, origin = GraphBuilder(graph, node), joined_origins(inner, node)
    return patch.last("mul", x, patch.constant(factor), **node.attrs, origin=origin)


def _match_constant_operand(graph: Graph, product: Node) -> tuple[str, str]:
    """Return the tensor and the constant that a node multiplies. Errors: NoMatch."""
    one, other = product.inputs
    x, constant = (other, one) if graph.is_const(one) else (one, other)
    require(graph.is_const(constant), not graph.is_const(x))
    return x, constant


@rewrite_pattern("affine")
def affine_into_weights(graph: Graph, node: Node) -> Rewrite:
    """Fold a factor and an offset per channel after conv or linear into weights and bias."""
    producer = _foldable_producer(graph, node)
    require(node.attrs["axis"] == len(graph.shape(node.name)) - 1)
    patch = GraphBuilder(graph, node)
    inputs = _scaled_weights(patch, producer, *floats(graph, node.inputs[1:]))
    attrs = {**producer.attrs, **{k: v for k, v in node.attrs.items() if k == "act"}}
    return patch.last(producer.op, *inputs, **attrs, origin=joined_origins(producer, node))


@rewrite_pattern("table")
def scalar_into_weights(graph: Graph, node: Node) -> Rewrite:
    """Fold a scalar factor and offset, first in the pointwise functions after a conv or linear,
    into its weights and bias."""
    producer, ((name, *numbers), *rest) = _foldable_producer(graph, node), node.attrs["chain"]
    require(name == "affine")
    patch, (scale, offset) = GraphBuilder(graph, node), map(np.float64, numbers)
    inputs, attrs = _scaled_weights(patch, producer, scale, offset), producer.attrs
    origin = joined_origins(producer, node)
    return before_functions(patch, rest, producer.op, *inputs, **attrs, origin=origin)


@rewrite_pattern("argmax", "ctc_greedy", "softmax", "log_softmax")
def drop_common_offset(graph: Graph, node: Node) -> Rewrite:
    """Drop the mean of the bias of scores before a softmax, as softmax(x + c) = softmax(x).

    Applies if the mean bias is larger than the spread of the biases.
    """
    producer = _foldable_producer(graph, node)
    last = len(graph.shape(node.inputs[0])) - 1
    require(len(producer.inputs) == 3, node.attrs.get("axis", last) == last)
    (bias,) = floats(graph, producer.inputs[2:])
    require(abs(bias.mean()) > np.ptp(bias), graph.format(producer.inputs[2]) is None)
    patch = GraphBuilder(graph, node)
    inputs = (*producer.inputs[:2], patch.constant(bias - bias.mean()))
    scores = patch.add(producer.op, *inputs, **producer.attrs, origin=producer.origin)
    return patch.last(node.op, scores, *node.inputs[1:], **node.attrs)


def _foldable_producer(graph: Graph, node: Node) -> Node:
    """Return the conv or linear that feeds only this node, if its weights may be changed."""
    return writer(graph, node.inputs[0], *WEIGHTED, reader=node, plain=True)


def _scaled_weights(
    patch: GraphBuilder, producer: Node, scale: Array | np.float64, offset: Array | np.float64
) -> tuple[str, ...]:
    """Return the producer's inputs with scale * (w x + b) + offset folded into weights and bias."""
    graph, (x, weight, *bias) = patch.graph, producer.inputs
    w = graph.array(weight).astype(np.float64)
    b = graph.array(bias[0]) if bias else np.zeros(w.shape[0])
    factors = np.broadcast_to(scale, (w.shape[0],))
    rows = factors.reshape(-1, *([1] * (w.ndim - 1)))
    stated = graph.format(weight)
    steps = None if stated is None else stated.steps(graph.array(weight))
    scaled = None if stated is None or steps is None else stated.times(factors)
    if scaled is None or steps is None:
        made = patch.constant(w * rows)
    else:  # keep the file's integers
        made = patch.constant(scaled.real(steps * np.sign(rows).astype(np.int64)), scaled)
    return x, made, patch.constant(np.asarray(b * scale + offset))


FOLD: tuple[RewritePattern, ...] = (
    fold_constants,
    drop_identity,
    slice_of_part,
    drop_products_of_zeros,
    constant_to_affine,
    deduplicate_broadcast,
    merge_affines,
    merge_factors,
    affine_into_weights,
    scalar_into_weights,
    drop_common_offset,
    *FOLD_EMBEDDINGS,
)


def absorb_input_normalization(graph: Graph) -> Graph:
    """Move factors and offsets at an input to the host, which applies them when quantising."""
    for name in graph.inputs:
        while (reader := graph.only_user(name)) is not None:
            normalization = merged_normalization(
                graph.tensors[name].input_normalization, _match_normalization(graph, reader)
            )
            if normalization is None:
                break
            # The input's values change: only the parameters of its reader's result apply to them.
            graph = graph.with_given({name: None}).with_input_normalization(name, normalization)
            graph = splice(graph, reader, GraphBuilder(graph, reader).same_as(name))
    return graph


def _match_normalization(graph: Graph, node: Node) -> InputNormalization | None:
    if node.op == "affine":
        scale, offset = (tuple(values.tolist()) for values in floats(graph, node.inputs[1:]))
        return InputNormalization(scale, offset, node.attrs["axis"], node.origin)
    if node.op == "table" and [step[0] for step in node.attrs["chain"]] == ["affine"]:
        _, factor, shift = node.attrs["chain"][0]
        return InputNormalization((factor,), (shift,), 0, node.origin)
    return None


def merged_normalization(
    first: InputNormalization | None, second: InputNormalization | None
) -> InputNormalization | None:
    """Compose two input normalizations into one; None if their axes differ."""
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
