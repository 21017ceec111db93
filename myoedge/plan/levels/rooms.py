# SPDX-License-Identifier: Apache-2.0
"""Whether a plan's data fits in L2, and in the memory levels behind it."""

from __future__ import annotations

from dataclasses import replace

from myoedge.plan.levels.distribution import with_room
from myoedge.plan.plan import Plan
from myoedge.targets.chip import Chip
from myoedge.targets.memories import MemoryLevel


def fits(plan: Plan) -> bool:
    """Return whether all data of a plan fits in L2."""
    return plan.l2_bytes <= plan.l2_most_bytes


def bytes_beside_levels(plan: Plan) -> int:
    """Return the bytes of a plan's distinct constants for which the memory levels have no room."""
    constants_bytes = plan.weight_bytes + sum(a.nbytes for _, a in plan.l3_tables.values())
    return max(constants_bytes - plan.chip.levels_room_bytes, 0)


def exceed_levels(plan: Plan) -> bool:
    """Return whether the distinct constants of a network exceed L2 and the memory levels
    together."""
    return bytes_beside_levels(plan) > plan.l2_room_bytes


def with_larger_levels(chip: Chip, more_bytes: int) -> Chip:
    """Return the chip with `more_bytes` for constants in each memory level."""
    larger = (
        replace(x, bytes=x.bytes + more_bytes, filled_bytes=x.constants_bytes + more_bytes)
        for x in chip.levels
    )
    return replace(chip, levels=tuple(larger))


def levels_for_constants(plan: Plan) -> tuple[MemoryLevel, ...]:
    """Return the memory levels of a plan's chip without the bytes of its feature maps and tables,
    and without those that only maps can take."""
    tables, level = sum(array.nbytes for _, array in plan.l3_tables.values()), plan.chip.map_level
    of_maps = max(plan.map_bytes, level.room_bytes - level.constants_bytes)
    return with_room(plan.chip.levels, {level.name: of_maps + tables})


def bytes_over_levels(plan: Plan) -> int:
    """Return the bytes of a plan's data for which its memory levels have no room."""
    return sum(
        max(
            plan.level_bytes(x.name) - x.room_bytes, plan.image_bytes(x.name) - x.constants_bytes, 0
        )
        for x in plan.chip.levels
    )
