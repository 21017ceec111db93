# SPDX-License-Identifier: Apache-2.0
"""Rules that fuse operators behind a spectrogram into its curve and its per-lane factors."""

from __future__ import annotations

import math

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.graph.rewrite import Rewrite, Rule, joined_origins, made_by, rewrites
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.spectral.definition import CURVES


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
        others = [
            n
            for n in graph.users[name]
            if not OPS[n.op].is_data_movement and not OPS[n.op].int16_inputs
        ]
        producer = graph.producer.get(name)
        # an input, data movement, or filters
        provides = producer is None or OPS[producer.op].is_data_movement
        if producer is not None and producer.op in SAMPLED and "act" not in producer.attrs:
            provides = True
        if others or not provides:
            other = others[0] if others else producer
            raise MyoedgeError(
                "E111",
                f"{reader.where} needs samples of 16 bits, which "
                f"{'' if other is None else other.where} does not give or take",
                {"needs": "an input of the network, moved at most, that nothing else reads"},
                [
                    "give what else reads the samples an input of its own",
                    "move what comes before to the host",
                ],
            )
        movers = [
            node
            for node in (producer, *graph.users[name])
            if node and OPS[node.op].is_data_movement
        ]
        pending += [(reader, x) for node in movers for x in (*node.inputs, node.name)]
        pending = [(reader, x) for reader, x in pending if x in graph.users]


SPECTRAL: tuple[Rule, ...] = (function_into_curve, affine_into_lanes)
