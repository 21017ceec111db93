# SPDX-License-Identifier: Apache-2.0
"""Plan -> Plan with hauls: what does not fit L2 comes from L3; or why that does not help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from myoedge.errors import MyoedgeError
from myoedge.plan.far import far_hauls
from myoedge.plan.moments import Piece, candidates, pieces
from myoedge.plan.planned import Plan
from myoedge.plan.residence import residences
from myoedge.plan.shared import Key, stored_once
from myoedge.plan.stream import Haul, Rate, in_order, place_hauls
from myoedge.plan.whole import durations

PIECE_BYTES = 32768  # of a haul, at most: its own cost is then 0.4 % of its bytes'
PIECES = 8  # that the room for hauls holds at least, where tiles are small enough
CHOICES = 8  # of what stays in L2 that are tried


def fits(plan: Plan) -> bool:
    """Whether all of it stays in L2."""
    chip = plan.chip
    return plan.l2_bytes <= (plan.l2_room_bytes if chip.l3_bytes else chip.l2_bytes)


def window_bytes(plan: Plan) -> int:
    """What L2 has for constants, wherever these come from."""
    every = candidates(plan.steps, plan.tilings)
    constants = sum(size for index, name, size in every if _owns(plan, (index, name)))
    return plan.l2_room_bytes - plan.l2_bytes + constants


def with_hauls(plan: Plan) -> Plan | None:
    """With what does not stay in L2 on its way from L3; None where L2 is too small even so."""
    window, arena = window_bytes(plan), plan.placement.arena_bytes
    most = min(PIECE_BYTES, max(window, 0) // PIECES)
    known = _known(plan, most)
    maps = map_hauls(plan)
    others = [(plan.placement.offsets[life.name], plan.clock.alive(life)) for life in plan.lives]
    rate = Rate.of(plan.chip)
    for choice in residences(known, durations(plan), window, rate)[:CHOICES]:
        hauls = _streamed(known, choice.streamed)
        found = place_hauls(hauls, others, window + arena - choice.stays_bytes, maps)
        if found is not None:
            made = replace(plan, hauls=tuple(stored_once(found, plan.content)))
            return made if made.l3_bytes + made.map_bytes <= plan.chip.l3_bytes else None
    return None


def _known(plan: Plan, most: int) -> dict[Key, list[Piece]]:
    """Pieces of every constant that can come from L3, those that are alike together."""
    found: dict[Key, list[Piece]] = {}
    for index, name, size in candidates(plan.steps, plan.tilings):
        own = pieces(index, name, size, plan.tilings[index], plan.clock, most)
        found.setdefault(plan.owners[index, name], []).extend(own)
    return found


def _owns(plan: Plan, key: Key) -> bool:
    return plan.owners[key] == key


def map_hauls(plan: Plan) -> list[Haul]:
    """Of feature maps that lie in L3, through windows that have their places."""
    found = []
    for access in plan.accesses:
        tiling, l2 = plan.tilings[access.step], plan.windows(access.step)[access.operand]
        assert tiling is not None, "a feature map in L3 is used as a whole"
        found += far_hauls(access, tiling, plan.clock, plan.maps[access.tensor], l2)
    return found


def _streamed(known: Mapping[Key, Sequence[Piece]], keys: frozenset[Key]) -> list[Piece]:
    return in_order([piece for key in keys for piece in known[key]])


def too_large(plan: Plan) -> MyoedgeError:
    """E301, with what stays in L2 whatever comes from L3."""
    chip = plan.chip
    return MyoedgeError(
        "E301",
        f"the network does not fit {chip.name}'s L2 memory",
        {
            "needs": f"{plan.l2_bytes:,} B: weights {plan.weight_bytes:,} B, "
            f"activations {plan.arena_bytes:,} B, inputs and outputs {plan.border_bytes:,} B",
            "has": f"{plan.l2_room_bytes if chip.l3_bytes else chip.l2_bytes:,} B",
            "stays in L2": _stays(plan),
            "largest": "\n".join(_largest(plan)),
        },
        ["fewer channels in the layers named", "--target host, to see the rest of the report"],
    )


def _stays(plan: Plan) -> str:
    if not plan.chip.l3_bytes:
        return "everything: there is no L3"
    return "what a few tiles of a layer need at a time, and all that layers without tiles touch"


def _largest(plan: Plan) -> list[str]:
    sizes = [
        (sum(a.nbytes for a in plan.stored(index).values()), step.node.where)
        for index, step in enumerate(plan.steps)
    ]
    sizes += [
        (life.size_bytes, f"output of {plan.quant.graph.producer[life.name].where}")
        for life in plan.lives
        if life.name in plan.quant.graph.producer
    ]
    return [f"{size:,} B  {what}" for size, what in sorted(sizes, reverse=True)[:3]]
