# SPDX-License-Identifier: Apache-2.0
"""Rules that take what follows a spectrogram into its curve, and into its factors of every lane."""

from __future__ import annotations

import math

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.graph.rewrite import Rewrite, Rule
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.spectral.definition import CURVES
from myoedge.passes.matching import feeds_only, joined, made_by


def function_into_curve(graph: Graph, node: Node) -> Rewrite | None:
    """table(spectrogram(x)): one function more, as long as the lanes have no factors."""
    before = made_by(graph, node.inputs[0], "spectrogram") if node.op == "table" else None
    if before is None or not feeds_only(graph, before.name, node) or not _plain(graph, before):
        return None
    if not CURVES.issuperset(name for name, *_ in node.attrs["chain"]):
        return None
    attrs = {**before.attrs, "chain": (*before.attrs["chain"], *node.attrs["chain"])}
    origin = joined(before, node)
    return GraphBuilder(graph, node).last("spectrogram", *before.inputs, **attrs, origin=origin)


def _plain(graph: Graph, node: Node) -> bool:
    scale, offset = (graph.constants[name] for name in node.inputs[2:])
    return bool((scale == 1).all() and (offset == 0).all())


def affine_into_lanes(graph: Graph, node: Node) -> Rewrite | None:
    """affine(spectrogram(x)), also behind a reshape: a norm of every electrode."""
    if node.op != "affine" or "act" in node.attrs:
        return None
    shaped = made_by(graph, node.inputs[0], "reshape")
    before = made_by(graph, shaped.inputs[0] if shaped else node.inputs[0], "spectrogram")
    if before is None or not feeds_only(graph, before.name, shaped or node):
        return None
    if shaped is not None and not feeds_only(graph, shaped.name, node):
        return None
    scale, offset = (graph.constants[name].astype(np.float64) for name in before.inputs[2:])
    lanes = _lanes(graph, node, before)
    if lanes is None:
        return None
    a, b = (graph.constants[name].astype(np.float64)[lanes] for name in node.inputs[1:])
    patch = GraphBuilder(graph, node)
    own = (patch.constant(scale * a), patch.constant(offset * a + b))
    y = (*before.inputs[:2], *own)
    origin = joined(before, node)
    if shaped is None:
        return patch.last("spectrogram", *y, **before.attrs, origin=origin)
    made = patch.add("spectrogram", *y, **before.attrs, origin=origin)
    return patch.last("reshape", made, **shaped.attrs, origin=shaped.origin)


def _lanes(graph: Graph, node: Node, before: Node) -> Array | None:
    """The affine's channel of every lane; None where a channel is not of lanes alone."""
    out, shape, axis = graph.shape(before.name), graph.shape(node.name), node.attrs["axis"]
    count = math.prod(out[1:-1])
    along = np.arange(shape[axis]).reshape([-1 if d == axis else 1 for d in range(len(shape))])
    channel = np.broadcast_to(along, shape).reshape(out[0], count, out[-1])
    same = (channel == channel[:1, :, :1]).all()
    return channel[0, :, 0] if same else None


SAMPLED = ("biquads", "running_norm")  # [conditioning], with results of 16 bits


def check_samples(graph: Graph) -> None:
    """Samples of 16 bits come from an input, moved at most, and nothing else reads them.

    Errors: E111.
    """
    pending = [(node, node.inputs[i]) for node in graph.nodes for i in OPS[node.op].int16_inputs]
    seen: set[str] = set()
    while pending:
        reader, name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        others = [
            n
            for n in graph.users[name]
            if not OPS[n.op].is_data_movement and not OPS[n.op].int16_inputs
        ]
        made = graph.producer.get(name)
        if others or not _gives_samples(made):
            raise _no_samples(reader, others[0] if others else made)
        around = [
            node for node in (made, *graph.users[name]) if node and OPS[node.op].is_data_movement
        ]
        pending += [(reader, x) for node in around for x in (*node.inputs, node.name)]
        pending = [(reader, x) for reader, x in pending if x in graph.users]


def _gives_samples(node: Node | None) -> bool:
    """An input, what moves it, and filters: not what an activation is fused into."""
    return (
        node is None
        or OPS[node.op].is_data_movement
        or (node.op in SAMPLED and "act" not in node.attrs)
    )


def _no_samples(reader: Node, other: Node | None) -> MyoedgeError:
    where = "" if other is None else other.where
    return MyoedgeError(
        "E111",
        f"{reader.where} needs samples of 16 bits, which {where} does not give or take",
        {"needs": "an input of the network, moved at most, that nothing else reads"},
        [
            "give what else reads the samples an input of its own",
            "move what comes before to the host",
        ],
    )


SPECTRAL: tuple[Rule, ...] = (function_into_curve, affine_into_lanes)
