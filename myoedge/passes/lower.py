# SPDX-License-Identifier: Apache-2.0
"""Rules that lower the graph to the forms that the integer operators accept.

Operators behind a spectrogram go into its curve and its per-lane factors.
"""

from __future__ import annotations

import math

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.graph.rewrite import Rewrite, Rule, joined_origins, made_by, rewrites
from myoedge.numerics.arrays import Array
from myoedge.operators.attention.graph_form import WORD, filled
from myoedge.operators.base import OPS, fixed_params
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.layout.tiling import PARTS
from myoedge.operators.spectral.definition import CURVES


@rewrites("mean", "sum", "variance")
def gather_reduced_axes(graph: Graph, node: Node) -> Rewrite | None:
    """A reduction over separated axes transposes first, so that its axes are the last ones."""
    axes, x = node.attrs["axes"], node.inputs[0]
    shape, rank = graph.shape(x), len(graph.shape(x))
    between = range(min(axes), max(axes) + 1)
    if all(axis in axes or shape[axis] == 1 for axis in between):
        return None
    perm = (*(d for d in range(rank) if d not in axes), *axes)
    patch = GraphBuilder(graph, node)
    transposed = patch.add("transpose", x, perm=perm)
    last = tuple(range(rank - len(axes), rank))
    y = patch.add(node.op, transposed, **{**node.attrs, "axes": last, "keepdim": False})
    return patch.last("reshape", y, shape=graph.shape(node.name))


@rewrites("concat", "pad", "attention")
def free_fixed_scale(graph: Graph, node: Node) -> Rewrite | None:
    """Results with a fixed scale (softmax) are requantised by a table before concat, pad and
    attention.

    Not where all that is joined has the same one, as both directions of a recurrent layer do.
    """
    scales = [fixed_params(graph, name) for name in node.inputs]
    fixed_inputs = [x for x, scale in zip(node.inputs, scales, strict=True) if scale is not None]
    if not fixed_inputs or (node.op == "concat" and len(set(scales)) == 1):
        return None
    patch = GraphBuilder(graph, node)
    requantised = {
        name: patch.add("table", name, chain=IDENTITY) for name in dict.fromkeys(fixed_inputs)
    }
    return patch.last(node.op, *(requantised.get(name, name) for name in node.inputs), **node.attrs)


@rewrites("concat")
def split_concat(graph: Graph, node: Node) -> Rewrite | None:
    """A concat of more tensors than its kernel accepts is done in two levels."""
    if len(node.inputs) <= PARTS:
        return None
    patch = GraphBuilder(graph, node)
    groups = [node.inputs[i : i + PARTS] for i in range(0, len(node.inputs), PARTS)]
    parts = [patch.add("concat", *g, **node.attrs) if len(g) > 1 else g[0] for g in groups]
    return patch.last("concat", *parts, **node.attrs)


@rewrites("attention")
def pad_heads(graph: Graph, node: Node) -> Rewrite | None:
    """Head widths are padded to multiples of 4 bytes: zeros in queries and keys add nothing to a
    score, and results of zero values are sliced off."""
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


IDENTITY = (("affine", 1.0, 0.0),)


LOWER: tuple[Rule, ...] = (gather_reduced_axes, free_fixed_scale, split_concat, pad_heads)


@rewrites("table")
def function_into_curve(graph: Graph, node: Node) -> Rewrite | None:
    """table(spectrogram(x)) is one spectrogram, as long as its lanes have no factors."""
    spectrogram = made_by(graph, node.inputs[0], "spectrogram", reader=node)
    if spectrogram is None or not CURVES.issuperset(name for name, *_ in node.attrs["chain"]):
        return None
    scale, offset = (graph.constants[name] for name in spectrogram.inputs[2:])
    if (scale != 1).any() or (offset != 0).any():
        return None
    attrs = {**spectrogram.attrs, "chain": (*spectrogram.attrs["chain"], *node.attrs["chain"])}
    origin = joined_origins(spectrogram, node)
    return GraphBuilder(graph, node).last(
        "spectrogram", *spectrogram.inputs, **attrs, origin=origin
    )


@rewrites("affine")
def affine_into_lanes(graph: Graph, node: Node) -> Rewrite | None:
    """affine(spectrogram(x)), also through a reshape, becomes the spectrogram's per-lane
    factors."""
    reshape = made_by(graph, node.inputs[0], "reshape", reader=node)
    power = reshape.inputs[0] if reshape else node.inputs[0]
    spectrogram = made_by(graph, power, "spectrogram", reader=reshape or node)
    if spectrogram is None or "act" in node.attrs:
        return None
    scale, offset = (graph.constants[name].astype(np.float64) for name in spectrogram.inputs[2:])
    lanes = _lanes(graph, node, spectrogram)
    if lanes is None:
        return None
    a, b = (graph.constants[name].astype(np.float64)[lanes] for name in node.inputs[1:])
    patch = GraphBuilder(graph, node)
    lane_factors = (patch.constant(scale * a), patch.constant(offset * a + b))
    y = (*spectrogram.inputs[:2], *lane_factors)
    origin = joined_origins(spectrogram, node)
    if reshape is None:
        return patch.last("spectrogram", *y, **spectrogram.attrs, origin=origin)
    normed = patch.add("spectrogram", *y, **spectrogram.attrs, origin=origin)
    return patch.last("reshape", normed, **reshape.attrs, origin=reshape.origin)


def _lanes(graph: Graph, node: Node, spectrogram: Node) -> Array | None:
    """The affine's channel of every lane; None where a channel is not constant over a lane."""
    out, shape, axis = graph.shape(spectrogram.name), graph.shape(node.name), node.attrs["axis"]
    count = math.prod(out[1:-1])
    along = np.arange(shape[axis]).reshape([-1 if d == axis else 1 for d in range(len(shape))])
    channel = np.broadcast_to(along, shape).reshape(out[0], count, out[-1])
    is_same = (channel == channel[:1, :, :1]).all()
    return channel[0, :, 0] if is_same else None


SAMPLED = ("biquads", "running_norm")  # [conditioning], with results of 16 bits


def check_samples(graph: Graph) -> None:
    """Checks that int16 samples come from an input, at most moved, and have no other readers.

    Errors: E111.
    """
    pending = [(node, node.inputs[i]) for node in graph.nodes for i in OPS[node.op].int16_inputs]
    checked: set[str] = set()
    while pending:
        reader, name = pending.pop()
        if name in checked:
            continue
        checked.add(name)
        readers, producer = graph.users[name], graph.producer.get(name)
        movers = [node for node in (producer, *readers) if node and OPS[node.op].is_data_movement]
        others = [
            n for n in readers if not OPS[n.op].is_data_movement and not OPS[n.op].int16_inputs
        ]
        filters = producer is not None and producer.op in SAMPLED and "act" not in producer.attrs
        if producer is not None and producer not in movers and not filters:
            others.append(producer)
        if others:
            raise MyoedgeError(
                "E111",
                f"{reader.where} needs samples of 16 bits, which {others[0].where} does not give "
                "or take",
                {"needs": "an input of the network, moved at most, that nothing else reads"},
                [
                    "give what else reads the samples an input of its own",
                    "move what comes before to the host",
                ],
            )
        pending += [(reader, x) for node in movers for x in (*node.inputs, node.name)]
        pending = [(reader, x) for reader, x in pending if x in graph.users]


SPECTRAL: tuple[Rule, ...] = (function_into_curve, affine_into_lanes)
