# SPDX-License-Identifier: Apache-2.0
"""Layers that have no tile in L1: what the smallest one needs, and why operands stay in L2."""

from __future__ import annotations

from myoedge.errors import MyoedgeError, Notice, notice
from myoedge.operators.base import QuantizedNode
from myoedge.plan.l1.layer_kernels import declared
from myoedge.plan.l1.tile_search import MOST_TILES, smallest
from myoedge.targets.chip import Chip


def least_bytes(step: QuantizedNode, chip: Chip) -> int:
    """Bytes of L1 that the smallest tile of a node takes."""
    kernel = declared(step, chip)
    return sum(smallest(kernel)[1].values())


def tile_facts(step: QuantizedNode, room: int, chip: Chip) -> dict[str, str]:
    """The smallest tile of a step, what there is, and the operand that takes most of it."""
    kernel = declared(step, chip)
    sizes, parts = smallest(kernel)
    largest = max(parts, key=lambda name: parts[name])
    tile = " ".join(f"{axis} {n}" for axis, n in sizes.items() if axis in kernel.split)
    return {
        "needs": f"{sum(parts.values()):,} B for the smallest tile ({tile or 'the whole'})",
        "has": f"{room:,} B",
        "largest": f"{largest}, {parts[largest]:,} B",
    }


def without_room(name: str, step: QuantizedNode, room: int, chip: Chip) -> MyoedgeError:
    """E304 where what does not fit L1 is not one run of bytes in L2 either."""
    facts, tries = tile_facts(step, room, chip), ["smaller kernels, fewer channels"]
    return MyoedgeError("E304", f"{name} has no tile in L1, nor with operands in L2", facts, tries)


def too_small(name: str, step: QuantizedNode, room: int, chip: Chip) -> Notice:
    """Why a layer stays in L2; `name` is what people know it by."""
    reason = "does not fit L1 in any tile"
    if least_bytes(step, chip) <= room:
        reason = f"needs more than {MOST_TILES:,} tiles to fit L1"
    return notice(
        "W301",
        f"{name} {reason}: it is computed in L2, slowly",
        tile_facts(step, room, chip),
        ["fewer channels or smaller kernels in this layer"],
    )
