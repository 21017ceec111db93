# SPDX-License-Identifier: Apache-2.0
"""Parts beside the chip (flash, RAM) that [budget] external or a board allows; remedies for a
network that needs more of them, each planned before it is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from myoedge.building.budget import EXTERNAL
from myoedge.building.config_tables import Config
from myoedge.building.layer_rules import engine_integers
from myoedge.building.request import LEAST_BITS, BuildRequest
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.element_type import INT16
from myoedge.numerics.weight_format import WeightFormat
from myoedge.operators.engine_choice import AUTO
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.few_bits import equal_weights, layers_to_round
from myoedge.quantization.no_samples import at_random
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.reports.budget import SMALLER, Broken

Fits = Callable[[QuantGraph, BuildRequest], bool]
MORE_PARTS = {"none": ("flash", "ram"), "flash": ("ram",)}
TABLES = {"flash": "[flash.octospi]", "ram": "[ram] and [flash.octospi]"}  # of board.toml


def over_external(
    facts: Mapping[str, str], network: QuantGraph | None, request: BuildRequest, fits: Fits
) -> Broken:
    """Return the limit of parts beside the chip as exceeded, with remedies that a plan was found
    for.

    facts     what the network needs, and what the memories have
    network   the network, quantised to any integers; None: no remedy is tried
    fits      (network, request) -> whether a plan fits the memories
    """
    limits = request.limits
    title = f"over budget: {EXTERNAL}"
    cause = f"{limits.external} at most, by [budget] {EXTERNAL}"
    if limits.board:
        title = f"the network does not fit the memories of the board {limits.board}"
        cause = f"{limits.external} at most, by board.toml of {limits.board}"
    tries = [] if network is None else [*_remedies(network, request, fits)]
    return Broken(EXTERNAL, {**facts, "parts": cause}, tries or [SMALLER], title=title)


def _remedies(network: QuantGraph, request: BuildRequest, fits: Fits) -> Iterator[str]:
    """Yield what lets a plan fit: further memories of the chip, fewer bits, parts beside it."""
    yield from _chip_remedies(network, request, fits)
    for parts in MORE_PARTS[str(request.limits.external)]:
        limits = replace(request.limits, external=parts, board="")
        if fits(network, replace(request, limits=limits)):
            parts_remedy = (
                f'[budget] {EXTERNAL} = "{parts}"'
                if not request.limits.board
                else f"{TABLES[parts]} in board.toml, if {request.limits.board} has them"
            )
            yield parts_remedy
            break


def _chip_remedies(network: QuantGraph, request: BuildRequest, fits: Fits) -> Iterator[str]:
    more = replace(request, chip=request.chip.with_optional(*request.other_levels), other_levels=())
    memories = " ".join(f"--memory {name}=auto" for name in request.other_levels)
    has_more = bool(memories) and fits(network, more)
    if has_more:
        yield memories
    bits = _most_bits(network, request, fits)
    if bits is not None:
        yield _weights_table(bits)
    if memories and not has_more:
        more_bits = _most_bits(network, more, fits)
        if more_bits is not None and more_bits > (bits or 0):
            yield f"{memories}, and {_weights_table(more_bits)}"


def _weights_table(bits: int) -> str:
    return f'[quant] "*" = {{ weights = {bits} }}'


def _most_bits(network: QuantGraph, request: BuildRequest, fits: Fits) -> int | None:
    """Return the most bits, fewer than now, for all weights with which a plan fits, if fewer bits
    never need more memory; None if none does."""
    low, high = LEAST_BITS - 1, request.weight_bits  # fits, does not fit: neither is tried
    while high - low > 1:
        bits = LEAST_BITS if low < LEAST_BITS else (low + high) // 2
        try:
            is_enough = fits(_limit_weight_bits(network, bits, request), request)
        except MyoedgeError:  # such as integers without a kernel
            is_enough = False
        if is_enough:
            low = bits
        elif bits == LEAST_BITS:
            return None
        else:
            high = bits
    return low if low >= LEAST_BITS else None


def _limit_weight_bits(network: QuantGraph, bits: int, request: BuildRequest) -> QuantGraph:
    """Return the network with at most this many bits per weight, rounded without samples: it has
    the sizes of such a network, not its accuracy."""
    graph = network.graph
    formats = {
        name: _round_weights(graph.array(name), bits)
        for weight in equal_weights(graph, layers_to_round(graph, graph.nodes))
        for name in weight.tensors
    }
    wide = frozenset(x for x in network.params if network.element_type(x) == INT16)
    made = quantize_graph(graph.with_formats(formats), network.calibration, int16=wide)
    chosen = engine_integers(made.graph, Config(), request.chip_in_limits, AUTO, None)
    return chosen(made)


def _round_weights(values: Array, bits: int) -> ConstantFormat:
    rows, high = values.reshape(len(values), -1).astype(np.float64), WeightFormat(bits).high
    scale = np.maximum(np.abs(rows).max(axis=1), 1e-12) / high
    integers = np.rint(rows / scale[:, None]).astype(np.int64).reshape(values.shape)
    zeros = (0,) * len(scale)
    return ConstantFormat(tuple(scale.tolist()), zeros, -high, high, integers=integers)


def sampled_network(graph: Graph) -> QuantGraph | None:
    """Return a float network quantised to the ranges of one random sample, for its sizes; None if
    that fails."""
    try:
        data = at_random(graph, 1)
        return quantize_graph(graph, calibrate(graph, data.inputs, Observer(), data.source))
    except MyoedgeError:
        return None
