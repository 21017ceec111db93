# SPDX-License-Identifier: Apache-2.0
"""Weights of fewer bits as a remedy: the most bits with which a network fits, for its sizes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from myoedge.building.config_tables import Config
from myoedge.building.layer_rules import engine_integers
from myoedge.building.request import LEAST_BITS, BuildRequest
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.weight_format import WeightFormat
from myoedge.operators.engine_choice import AUTO
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.few_bits import Weight, equal_weights, layers_to_round
from myoedge.quantization.samples import Data
from myoedge.quantization.scales import QuantGraph, quantize_graph


def most_bits(
    network: QuantGraph, request: BuildRequest, fits: Callable[[int], bool], above: int = 0
) -> int | None:
    """Return the most bits, fewer than now, for all weights with which a plan fits, if fewer bits
    never need more memory; None if none does.

    fits    bits -> whether a plan fits
    above   bits that are too few to name
    """
    graph, chip = network.graph, request.chip_in_limits
    weights = _weights(graph)
    count = sum(graph.array(x.tensors[0]).size for x in weights)
    room_bits = 8 * (chip.l2_bytes + chip.levels_room_bytes) // max(count, 1)
    least = max(LEAST_BITS, above + 1)
    low, high = least - 1, min(request.weight_bits, 1 + room_bits)
    while high - low > 1:
        bits = least if low < least else (low + high) // 2
        if fits(bits):
            low = bits
        elif bits == least:
            return None
        else:
            high = bits
    return low if low >= least else None


def limit_weight_bits(network: QuantGraph, bits: int, request: BuildRequest) -> QuantGraph:
    """Return the network with at most this many bits per weight, rounded without samples: it has
    the sizes of such a network, not its accuracy."""
    graph = network.graph
    formats = {
        name: _round_weights(graph.array(name), min(bits, now.bits) if now else bits)
        for weight in _weights(graph)
        for name in weight.tensors
        for now in [graph.format(name)]
    }
    wide = frozenset(x for x in network.params if network.element_type(x) == INT16)
    made = quantize_graph(graph.with_formats(formats), network.calibration, int16=wide)
    return _on_engines(made, request)


def _weights(graph: Graph) -> list[Weight]:
    """Return the weights that can be rounded, also those that have been."""
    ours = {name: None for name, known in graph.formats.items() if known.floats}
    free = graph.with_formats(ours)
    return equal_weights(free, layers_to_round(free, free.nodes))


def _on_engines(made: QuantGraph, request: BuildRequest) -> QuantGraph:
    """Return a network with the integers of its engines."""
    chosen = engine_integers(made.graph, Config(), request.chip_in_limits, AUTO, None)
    return chosen(made)


def _round_weights(values: Array, bits: int) -> ConstantFormat:
    rows, high = values.reshape(len(values), -1).astype(np.float64), WeightFormat(bits).high
    scale = np.maximum(np.abs(rows).max(axis=1), 1e-12) / high
    integers = np.rint(rows / scale[:, None]).astype(np.int64).reshape(values.shape)
    zeros = (0,) * len(scale)
    return ConstantFormat(tuple(scale.tolist()), zeros, -high, high, integers=integers)


def sampled_network(graph: Graph, data: Data, request: BuildRequest) -> QuantGraph:
    """Return a float network quantised to the ranges of samples, with the bits of weights of a
    build at most, for its sizes."""
    made = quantize_graph(graph, calibrate(graph, data.inputs, Observer(), data.source))
    has_few = request.weight_bits < INT8.bits
    return (
        limit_weight_bits(made, request.weight_bits, request)
        if has_few
        else _on_engines(made, request)
    )
