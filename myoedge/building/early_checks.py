# SPDX-License-Identifier: Apache-2.0
"""Checks of a float network before it is quantised: lower bounds of its code and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter

from myoedge.building import budget
from myoedge.building.budget import Budget, allowed_levels, is_limited_by_board
from myoedge.building.flash_limits import check_flash
from myoedge.building.optional_levels import with_fewer_levels
from myoedge.building.request import LEAST_BITS, BuildRequest
from myoedge.building.stream_rate import check_stream
from myoedge.codegen.firmware import ProgramTooLarge
from myoedge.errors import DoesNotFit
from myoedge.graph.ir import Graph, Node
from myoedge.numerics.element_type import INT8
from myoedge.operators.base import OPS
from myoedge.reports.budget import SMALLER
from myoedge.targets import Chip
from myoedge.targets.board_memories import stored_bytes

# Minimum code per layer, from 20 and 50 equal linked layers: 282 and 310 bytes for linear and
# depthwise ones, 184 for pools, 109 for flips and maxima. Layers of one C function share its code.
PRODUCT_CODE_BYTES, LAYER_CODE_BYTES = 256, 64
SHOWN = 3  # layers


class TooManyWeights(DoesNotFit):
    """E301: weights that alone exceed L2 and the memory levels behind it together, or the parts
    that [budget] external and the board allow."""

    def __init__(self, title: str, facts: Mapping[str, str]) -> None:
        tries = [SMALLER, "--target host, to see the rest of the report"]
        super().__init__("E301", title, facts, tries)


def check_graph(graph: Graph, request: BuildRequest) -> Graph:
    """Check before quantisation that the network can fit the chip; return the part of it to build.

    Errors: as check_stream; E301 more weights than L2 and L3 hold, or than [budget] external or the
    board allows; E303 more weights than the flash holds, so many layers that their code exceeds L2.
    """
    weight_bytes = _weight_bytes(graph, request.weight_bits)
    check_flash(request.limits, request.chip, weight_bytes)
    if request.chip.point.clock_hz:
        check_code(graph, request.chip)
        check_weights(graph, request)
    return check_frames(graph, request)


def check_frames(graph: Graph, request: BuildRequest) -> Graph:
    """Return the part of the network to build. Errors: as check_stream."""
    return graph if request.frames is None else check_stream(graph, request.frames)


def check_code(graph: Graph, chip: Chip) -> None:
    """Raise E303 if the minimum linked code of all layers exceeds L2."""
    layers = [OPS[node.op] for node in graph.nodes if not OPS[node.op].view]
    products = sum(op.macs is not None for op in layers)
    least_bytes = PRODUCT_CODE_BYTES * products + LAYER_CODE_BYTES * (len(layers) - products)
    if least_bytes > chip.l2_bytes:
        raise ProgramTooLarge("L2", least_bytes - chip.l2_bytes)


@dataclass(frozen=True)
class WholeMemories:
    """Memories for a network.

    sizes        bytes by memory
    code_bytes   bytes of them for its code: the least if no level is behind L2
    data_bytes   the others
    """

    sizes: Mapping[str, int]
    code_bytes: int
    data_bytes: int

    def within(self, limits: Budget) -> dict[str, int]:
        """Return the sizes, none of them larger than its limit."""
        most = {"L2": limits.l2_bytes, "L3": limits.l3_bytes}
        given = {name: limit for name, limit in most.items() if limit is not None}
        return {name: min(size, given.get(name, size)) for name, size in self.sizes.items()}


def _room(chip: Chip, limits: Budget) -> WholeMemories:
    """Return the memories for a network: L2 and the levels behind it, or with fewer of these if
    that leaves more for data; or the flashes that store this data, if the parts beside the chip are
    limited and these leave less."""
    held = list[WholeMemories]()
    for x in (chip, *with_fewer_levels(chip, chip)):
        sizes = {"L2": x.l2_bytes} | {y.name.upper(): y.constants_bytes for y in x.levels}
        code_bytes = x.l2_bytes - x.l2_room_bytes if x.levels else budget.LEAST_CODE_BYTES
        held.append(WholeMemories(sizes, code_bytes, sum(sizes.values()) - code_bytes))
    is_limited = limits.board is not None or limits.parts == "none"
    sizes = _flash_capacities(chip, limits) if is_limited else {}
    flashes = WholeMemories(sizes, 0, sum(sizes.values()))
    rooms = [max(held, key=attrgetter("data_bytes")), *([flashes] if flashes.sizes else [])]
    return min(rooms, key=attrgetter("data_bytes"))


def _flash_capacities(chip: Chip, limits: Budget) -> dict[str, int]:
    """Return the bytes for the program and its weights by flash, with what the bytes are for; none
    of them is 0."""
    flashes = [(x.name.upper(), x) for x in chip.optional_levels if x.program_bytes]
    sizes = {f"{name} for streamed weights": x.room_bytes for name, x in flashes}
    for name, x in flashes:
        program = f"{name} for the program and its weights in L2"
        sizes[program] = x.boot_room_bytes(x.room_bytes)
    if limits.board is not None and limits.parts != "none":
        sizes["the flash beside the chip"] = stored_bytes(chip, limits.board)
    return {text: size for text, size in sizes.items() if size}


def check_weights(graph: Graph, request: BuildRequest) -> None:
    """Raise TooManyWeights if the weights alone exceed L2 and the memory levels behind it."""
    chip, bits, limits = request.chip, request.weight_bits, request.limits
    allowed = allowed_levels(chip, limits)
    room, weight_bytes = _room(allowed, limits), _weight_bytes(graph, bits)
    if weight_bytes <= room.data_bytes:
        return
    sizes = room.within(limits)
    parts = ", ".join(f"{size:,} B of {memory}" for memory, size in sizes.items())
    code = f"code {room.code_bytes:,} B or more, " * bool(room.code_bytes)
    total_bytes = weight_bytes + room.code_bytes
    rows = sorted(
        ((_layer_weight_bytes(graph, n, bits), n.where) for n in _weighted_layers(graph)),
        reverse=True,
    )
    facts = {
        "needs": f"{total_bytes:,} B: {bits}-bit weights {weight_bytes:,} B, {code}and activations",
        "has": f"{sum(sizes.values()):,} B: {parts}" if len(sizes) > 1 else parts,
        "largest": "\n".join(f"{size:,} B  {where}" for size, where in rows[:SHOWN]),
    }
    owner = chip.name
    if limits.board is not None and is_limited_by_board(limits, chip):
        owner = f"the board {limits.board.id}"
    raise TooManyWeights(f"the weights alone do not fit {owner}'s memories", facts)


def _weighted_layers(graph: Graph) -> Iterator[Node]:
    """Yield layers with weights that are stored in memory."""
    for node in graph.nodes:
        stores = OPS[node.op].weights.multiplicands is not None or node.op == "embedding"
        if stores and node.inputs[OPS[node.op].weights.at[0]] in graph.constants:
            yield node


def _layer_weight_bytes(graph: Graph, node: Node, bits: int) -> int:
    """Return the minimum bytes of a layer's weights, without recurrent weights."""
    has_few = OPS[node.op].weights.multiplicands is not None
    constant = graph.constants[node.inputs[OPS[node.op].weights.at[0]]]
    least = LEAST_BITS if constant.format is not None else bits
    return constant.array.size * (least if has_few else INT8.bits) // INT8.bits


def _weight_bytes(graph: Graph, bits: int) -> int:
    """Return the bytes of all weights; equal arrays count once."""
    sizes = {}
    for node in _weighted_layers(graph):
        array = graph.constants[node.inputs[OPS[node.op].weights.at[0]]].array
        sizes[hashlib.sha256(array.tobytes()).digest()] = _layer_weight_bytes(graph, node, bits)
    return sum(sizes.values())
