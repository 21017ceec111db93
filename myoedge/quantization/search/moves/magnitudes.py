# SPDX-License-Identifier: Apache-2.0
"""Magnitudes of a network's channels that follow from its weights alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS

PRODUCTS = ("conv", "linear")
SUMS = ("add", "sub")


def channel_magnitudes(graph: Graph) -> dict[str, Array]:
    """Return the magnitude of each channel of every tensor, [extent of the last axis], if those of
    the inputs are equal: products and sums add independent operands, functions change nothing.

    Only the ratios between channels of one tensor are meant.
    """
    found = {name: np.ones(graph.shape(name)[-1:]) for name in (*graph.inputs, *graph.constants)}
    for node in graph.nodes:
        operands = [found[name] for name in node.inputs]
        found[node.name] = _result_magnitude(graph, node, operands)
    return found


def _result_magnitude(graph: Graph, node: Node, operands: Sequence[Array]) -> Array:
    """Return the magnitudes of a node's result from those of its operands; ones if they are
    unknown."""
    if node.op in PRODUCTS and all(map(graph.is_const, node.inputs[1:])):
        return _product_magnitude(graph, node, operands[0])
    if node.op == "concat" and node.attrs["axis"] == len(graph.shape(node.name)) - 1:
        return np.concatenate(operands)
    ones = np.ones(graph.shape(node.name)[-1:])
    alike = [
        x for x in operands if x.shape == ones.shape and not OPS[node.op].operands.are_normalized
    ]
    if node.op in SUMS and len(alike) == len(operands):
        return np.asarray(np.linalg.norm(alike, axis=0))
    return [*alike, ones][0]


def _product_magnitude(graph: Graph, node: Node, operand: Array) -> Array:
    """Return the norm of each row of weights, whose columns count by their operand's magnitude, and
    its bias."""
    weights, *biases = (graph.array(name) for name in node.inputs[1:])
    groups, columns = node.attrs.get("groups", 1), weights.shape[-1]
    by_group = weights.astype(np.float64).reshape(groups, len(weights) // groups, -1)
    if len(operand) != groups * columns:
        operand = np.ones(groups * columns)
    taps = by_group.shape[-1] // columns
    scaled = by_group * np.tile(operand.reshape(groups, 1, columns), (1, 1, taps))
    norms = np.linalg.norm(scaled, axis=-1).reshape(-1)
    return np.asarray(norms + sum(map(np.abs, biases)))
