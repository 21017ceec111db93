# SPDX-License-Identifier: Apache-2.0
"""Channels between two products evened out, so that one scale suits them all; exact in floats.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019); with
ranges of what was seen in place of those of the weights, and factors that are powers of two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from myoedge.graph.ir import Graph, Node, prune
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_real
from myoedge.quantization.calibrate import Samples, each

PRODUCTS = ("conv", "linear")
POSITIVE = (("clamp", 0.0, math.inf),)  # f(s x) = s f(x) for s > 0


def evened(graph: Graph, samples: Samples) -> Graph:
    """The same function; channels that one product writes and another alone reads are multiplied
    by powers of two there and divided here. The graph itself where there are none.

    samples   in which the largest value of every channel is looked for
    """
    found = list(_between(graph))
    if not found:
        return graph
    largest = _largest(graph, {node.name for node, _ in found}, samples)
    for name, reader in [(node.name, reader.name) for node, reader in found]:
        node, after = graph.producer[name], graph.producer[reader]
        columns = graph.constants[after.inputs[1]]
        graph = _scaled(graph, node, after, _factors(largest[name], _by_last(columns)))
    return graph


def _between(graph: Graph) -> Iterator[tuple[Node, Node]]:
    """A product and the only reader of what it writes, which has weights for every channel."""
    for node in graph.nodes:
        reader = graph.only_user(node.name)
        if reader is None or {node.op, reader.op}.difference(PRODUCTS):
            continue
        if node.name in graph.quant_params:  # of values that would be other ones
            continue
        weights = graph.is_const(node.inputs[1]) and graph.is_const(reader.inputs[1])
        if (
            weights
            and reader.attrs.get("groups", 1) == 1
            and node.attrs.get("act", POSITIVE) == POSITIVE
        ):
            yield node, reader


def _largest(graph: Graph, names: set[str], samples: Samples) -> Mapping[str, Array]:
    """Magnitude by channel, the last axis."""
    found: dict[str, Array] = {}

    def watch(name: str, value: Array) -> None:
        if name in names:
            found[name] = np.maximum(found.get(name, np.float32(0.0)), _by_last(value))

    for sample in each(samples):
        run_real(graph, sample, watch)
    return found


def _by_last(x: Array) -> Array:
    return np.asarray(np.abs(x).max(axis=tuple(range(x.ndim - 1))))


def _factors(values: Array, weights: Array) -> Array:
    """What brings both to the same share of their largest, rounded to powers of two."""
    used = (values > 0) & (weights > 0)
    ratio = np.where(used, weights, 1.0) / np.where(used, values, 1.0)
    halves = np.log2(ratio.astype(np.float64)) / 2
    middle = np.median(halves[used]) if used.any() else 0.0
    return np.where(used, np.exp2(np.rint(halves - middle)), 1.0).astype(np.float32)


def _scaled(graph: Graph, node: Node, reader: Node, factors: Array) -> Graph:
    w, after = graph.constants[node.inputs[1]], graph.constants[reader.inputs[1]]
    made = {f"{node.name}.even": w * factors.reshape(-1, *(1 for _ in w.shape[1:]))}
    names = [node.inputs[0], f"{node.name}.even"]
    for bias in node.inputs[2:]:
        made[f"{node.name}.even.bias"] = graph.constants[bias] * factors
        names.append(f"{node.name}.even.bias")
    made[f"{reader.name}.evened"] = after / factors
    inputs = {
        node.name: tuple(names),
        reader.name: (reader.inputs[0], f"{reader.name}.evened", *reader.inputs[2:]),
    }
    nodes = tuple(n.but(inputs=inputs[n.name]) if n.name in inputs else n for n in graph.nodes)
    return prune(replace(graph, nodes=nodes, constants={**graph.constants, **made}))
