# SPDX-License-Identifier: Apache-2.0
"""Cross-layer equalization: channels between two products share one scale; exact in floats.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), with
calibrated ranges of activations in place of weight ranges, and factors that are powers of two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from myoedge.graph.ir import Graph, Node, prune
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_real
from myoedge.quantization.calibrate import Samples, each_sample

PRODUCTS = ("conv", "linear")
POSITIVE = (("clamp", 0.0, math.inf),)  # f(s x) = s f(x) for s > 0


def equalized(graph: Graph, samples: Samples) -> Graph:
    """Graph of equal outputs with balanced channels between pairs of products.

    The first product's channels are multiplied by powers of two, the second one's divided by them.
    Returns the graph itself where there is no such pair.
    samples   for the largest value of every channel
    """
    pairs = [(node.name, reader.name) for node, reader in _pairs(graph)]
    if not pairs:
        return graph
    largest: dict[str, Array] = {name: np.zeros((), np.float32) for name, _ in pairs}

    def widen(name: str, value: Array) -> None:
        if name in largest:
            largest[name] = np.maximum(largest[name], _channel_magnitudes(value))

    for sample in each_sample(samples):
        run_real(graph, sample, widen)
    for name, reader_name in pairs:
        node, reader = graph.producer[name], graph.producer[reader_name]
        columns = _channel_magnitudes(graph.constants[reader.inputs[1]])
        graph = _scaled(graph, node, reader, _factors(largest[name], columns))
    return graph


def _channel_magnitudes(x: Array) -> Array:
    """Largest magnitude by channel, the last axis."""
    return np.asarray(np.abs(x).max(axis=tuple(range(x.ndim - 1))))


def _pairs(graph: Graph) -> Iterator[tuple[Node, Node]]:
    """Products with constant weights, each with the only reader of its channels."""
    for node in graph.nodes:
        reader = graph.only_user(node.name)
        if reader is None or {node.op, reader.op}.difference(PRODUCTS):
            continue
        if node.name in graph.quant_params:  # its values must not change
            continue
        if {node.inputs[1], reader.inputs[1]} & graph.formats.keys():  # nor the file's integers
            continue
        weights = graph.is_const(node.inputs[1]) and graph.is_const(reader.inputs[1])
        if (
            weights
            and reader.attrs.get("groups", 1) == 1
            and node.attrs.get("act", POSITIVE) == POSITIVE
        ):
            yield node, reader


def _factors(values: Array, weights: Array) -> Array:
    """Powers of two that bring values and weights of a channel to equal shares of their largest."""
    used = (values > 0) & (weights > 0)
    ratio = np.where(used, weights, 1.0) / np.where(used, values, 1.0)
    halves = np.log2(ratio.astype(np.float64)) / 2
    middle = np.median(halves[used]) if used.any() else 0.0
    return np.where(used, np.exp2(np.rint(halves - middle)), 1.0).astype(np.float32)


def _scaled(graph: Graph, node: Node, reader: Node, factors: Array) -> Graph:
    rows, columns = graph.constants[node.inputs[1]], graph.constants[reader.inputs[1]]
    made = {f"{node.name}.equalized": rows * factors.reshape(-1, *(1 for _ in rows.shape[1:]))}
    for bias in node.inputs[2:]:
        made[f"{node.name}.equalized.bias"] = graph.constants[bias] * factors
    first = (node.inputs[0], *made)
    made[f"{reader.name}.equalized"] = columns / factors
    second = (reader.inputs[0], f"{reader.name}.equalized", *reader.inputs[2:])
    inputs = {node.name: first, reader.name: second}
    nodes = tuple(n.but(inputs=inputs[n.name]) if n.name in inputs else n for n in graph.nodes)
    return prune(replace(graph, nodes=nodes, constants={**graph.constants, **made}))
