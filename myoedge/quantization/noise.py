# SPDX-License-Identifier: Apache-2.0
"""Noise at the outputs of a float network in which a few tensors alone are rounded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams, dequantize, quantize
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import PRE, every_value, real_node
from myoedge.quantization.masked_ranges import counted, rows_of

Group = tuple[str, ...]


def noise_of(
    graph: Graph,
    params: Mapping[str, QuantParams],
    samples: Iterable[Mapping[str, Array]],
    groups: Sequence[Group],
    judged: Sequence[str],
) -> list[Array]:
    """Squared error at each judged tensor, summed over the samples, for every group alone.

    params   of 8 bits; the group's tensors are rounded to them, with the weights that have 8 bits
             where these have, and nothing else is
    judged   tensors, or `name.pre` for what comes before a table
    The rounding of tensors is independent, nearly: together they cost the sum.
    """
    found, rows = [np.zeros(len(judged)) for _ in groups], rows_of(graph)
    for sample in samples:
        real = every_value(graph, sample)
        for group, total in zip(groups, found, strict=True):
            changed = _disturbed(graph, params, real, frozenset(group))
            for at, x in enumerate(judged):
                if x in changed:
                    total[at] += _square((changed[x] - real[x])[counted(rows, x, real)])
    return found


def signal_of(graph: Graph, samples: Iterable[Mapping[str, Array]], judged: Sequence[str]) -> Array:
    """Sum of squares of each judged tensor."""
    total, rows = np.zeros(len(judged)), rows_of(graph)
    for sample in samples:
        real = every_value(graph, sample)
        total += [_square(real[name][counted(rows, name, real)]) for name in judged]
    return total


def _disturbed(
    graph: Graph,
    params: Mapping[str, QuantParams],
    real: Mapping[str, Array],
    group: frozenset[str],
) -> dict[str, Array]:
    """All values that differ when the group's tensors are rounded, and the weights beside them."""
    changed = _rounded_weights(graph, group)
    for node in graph.nodes:
        name, touched = node.name, any(x in changed for x in node.inputs)
        if touched:
            inputs = [changed.get(x, real[x]) for x in node.inputs]
            changed[name + PRE], changed[name] = real_node(node, inputs)
        if name in group:
            changed[name] = dequantize(
                quantize(changed.get(name, real[name]), params[name]), params[name]
            )
    return changed


def _rounded_weights(graph: Graph, group: frozenset[str]) -> dict[str, Array]:
    """Weights that have 16 bits where the group has, rounded to 8."""
    found = ((node, OPS[node.op].int16_weights) for node in graph.nodes)
    return {
        node.inputs[1]: rounded(graph.constants[node.inputs[1]])
        for node, rounded in found
        if rounded is not None and group.intersection(node.inputs)
    }


def _square(x: Array) -> float:
    return float(np.sum(x.astype(np.float64) ** 2))
