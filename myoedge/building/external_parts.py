# SPDX-License-Identifier: Apache-2.0
"""Parts beside the chip (flash, RAM) that [budget] external or a board allows; remedies for a
network that needs more of them, each planned before it is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from myoedge.building.budget import EXTERNAL, PARTS, is_limited_by_board
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
from myoedge.quantization.holdout import at_random
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.reports.budget import SMALLER, Broken
from myoedge.targets.boards import FILLS, FLASHES, Board, Flash, Ram

Fits = Callable[[QuantGraph, BuildRequest], bool]
# Tables of board.toml whose memories may be too small, and those that may be together.
TABLES = {FILLS: f"[flash.{FILLS}]", "ram": "[ram]", "mram": "[flash.mram]"}
TOGETHER = (*((name,) for name in TABLES), ("ram", FILLS))
WHOLE_FLASH, WHOLE_RAM = Flash("any", 1 << 32, 1), Ram("any", 1 << 32)


def over_external(
    facts: Mapping[str, str],
    network: QuantGraph | None,
    request: BuildRequest,
    fits: Fits,
    others: Sequence[str] = (),
) -> Broken:
    """Return the limit of parts beside the chip as exceeded, with remedies that a plan was found
    for.

    facts     what the network needs, and what the memories have
    network   the network, quantised to any integers; None: no remedy is tried
    fits      (network, request) -> whether a plan fits the memories
    others    remedies by other limits
    """
    limits, board = request.limits, request.limits.board
    title, causes = f"over budget: {EXTERNAL}", list[str]()
    if limits.external not in (None, PARTS[-1]):
        causes.append(f"{limits.external} at most, by [budget] {EXTERNAL}")
    if board is not None and is_limited_by_board(limits, request.chip):
        title = f"the network does not fit the memories of the board {board.id}"
        causes.append(f"{_parts_of(board)}, by board.toml of {board.id}")
    tries = [*others]
    if network is not None:
        parts = _more_parts(network, request, fits)
        tries = [*chip_remedies(network, request, fits), *parts, *others]
    return Broken(EXTERNAL, {**facts, "parts": "\n".join(causes)}, tries or [SMALLER], title=title)


def _parts_of(board: Board) -> str:
    """Describe the memories of a board: "[flash.octospi] 65,536 B, no [ram]"."""
    parts = {name: board.flash.get(name) for name in FLASHES if board.flash} | {"ram": board.ram}
    return ", ".join(
        f"{table} {part.bytes:,} B" if (part := parts.get(name)) else f"no {table}"
        for name, table in TABLES.items()
        if name in parts or name == FILLS
    )


def chip_remedies(network: QuantGraph, request: BuildRequest, fits: Fits) -> Iterator[str]:
    """Yield what lets a plan fit within the limits: further memories of the chip, fewer bits, and
    more bits in further memories."""
    memories = [*more_memory(network, request, fits)]
    yield from memories
    bits = _most_bits(network, request, fits)
    if bits is not None:
        yield _weights_table(bits)
    if request.other_levels and not memories:
        more_bits = _most_bits(network, request.with_other_levels, fits, bits)
        if more_bits is not None:
            yield f"{_memory_options(request)}, and {_weights_table(more_bits)}"


def _more_parts(network: QuantGraph, request: BuildRequest, fits: Fits) -> Iterator[str]:
    """Yield the least parts beside the chip that let a plan fit: of [budget], or of the board."""
    limits, board = request.limits, request.limits.board
    options = [
        (f'[budget] {EXTERNAL} = "{parts}"', replace(limits, external=parts))
        for parts in PARTS
        if PARTS.index(parts) > PARTS.index(limits.external or PARTS[-1])
    ]
    if board is not None:
        options += [(x, replace(limits, board=larger)) for x, larger in _larger_boards(board)]
    tried = (text for text, x in options if fits(network, replace(request, limits=x)))
    yield from islice(tried, 1)


def _larger_boards(board: Board) -> Iterator[tuple[str, Board]]:
    """Yield boards with all that a chip can have of some memories, by the remedy that names
    them."""
    for names in TOGETHER:
        flash = board.flash | {name: WHOLE_FLASH for name in names if name != "ram"}
        ram = WHOLE_RAM if "ram" in names else board.ram
        yield _board_remedy(board, names), replace(board, flash=flash, ram=ram)


def _board_remedy(board: Board, names: Sequence[str]) -> str:
    """Describe a board with more of these memories, or that its board.toml may list them."""
    has = {*board.flash, *(["ram"] if board.ram else [])}
    tables = " and ".join(TABLES[name] for name in names)
    if not has.isdisjoint(names):
        return f"a board with a larger {tables}"
    return f"{tables} in board.toml, if {board.id} has {'it' if len(names) == 1 else 'them'}"


def more_memory(network: QuantGraph, request: BuildRequest, fits: Fits) -> Iterator[str]:
    """Yield the option of further memories of the chip with which a plan fits."""
    if request.other_levels and fits(network, request.with_other_levels):
        yield _memory_options(request)


def _memory_options(request: BuildRequest) -> str:
    return " ".join(f"--memory {name}=auto" for name in request.other_levels)


def _weights_table(bits: int) -> str:
    return f'[quant] "*" = {{ weights = {bits} }}'


def _most_bits(
    network: QuantGraph, request: BuildRequest, fits: Fits, above: int | None = None
) -> int | None:
    """Return the most bits, fewer than now, for all weights with which a plan fits, if fewer bits
    never need more memory; None if none does.

    above   bits that are too few to name; None: none are
    """
    graph, chip = network.graph, request.chip_in_limits
    weights = equal_weights(graph, layers_to_round(graph, graph.nodes))
    count = sum(graph.array(x.tensors[0]).size for x in weights)
    room_bits = 8 * (chip.l2_bytes + chip.levels_room_bytes) // max(count, 1)
    least = LEAST_BITS if above is None else above + 1
    low, high = least - 1, min(request.weight_bits, 1 + room_bits)
    while high - low > 1:
        bits = least if low < least else (low + high) // 2
        try:
            is_enough = fits(_limit_weight_bits(network, bits, request), request)
        except MyoedgeError:  # such as integers without a kernel
            is_enough = False
        if is_enough:
            low = bits
        elif bits == least:
            return None
        else:
            high = bits
    return low if low >= least else None


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
