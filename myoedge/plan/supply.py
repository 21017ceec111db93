# SPDX-License-Identifier: Apache-2.0
"""Plan -> Plan with hauls: what does not fit L2 comes from L3; or why that does not help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from myoedge.errors import MyoedgeError
from myoedge.plan.far import far_hauls
from myoedge.plan.moments import Piece, candidates, pieces
from myoedge.plan.planned import Plan
from myoedge.plan.residence import fill, residences, sizes_bytes
from myoedge.plan.shared import Key, stored_once
from myoedge.plan.stream import Haul, Rate, in_order, place_hauls
from myoedge.plan.whole import durations, waiting_cycles

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
    window, known = window_bytes(plan), _known(plan)
    for choice in residences(known, durations(plan), window, Rate.of(plan.chip))[:CHOICES]:
        made = _hauling(plan, known, choice.streamed)
        if made is not None:
            return made if made.l3_bytes + made.map_bytes <= plan.chip.l3_bytes else None
    return None


def filled(plan: Plan) -> Plan:
    """With more of what comes from L3 in L2, no run waiting longer: that saves its energy."""
    bare, computed, best = replace(plan, hauls=()), durations(plan), plan
    known, streamed = _known(bare), frozenset(plan.owners[key] for key in plan.streamed)
    keys = fill(known, streamed, computed, window_bytes(bare), Rate.of(plan.chip))
    cycles = waiting_cycles(plan, computed)
    fewest, most = 0, len(keys)
    count = most
    while fewest < most:  # places in L2 are worse than its sum: as many as find one
        made = _hauling(bare, known, streamed.difference(keys[:count]))
        if made is not None and waiting_cycles(made, computed) <= cycles:
            fewest, best = count, made
        else:
            most = count - 1
        count = (fewest + most + 1) // 2
    return best


def _hauling(
    plan: Plan, known: Mapping[Key, Sequence[Piece]], streamed: frozenset[Key]
) -> Plan | None:
    """With hauls for these arrays; None where one finds no place."""
    others = [(plan.placement.offsets[life.name], plan.clock.alive(life)) for life in plan.lives]
    stays = sum(size for key, size in sizes_bytes(known).items() if key not in streamed)
    room = window_bytes(plan) + plan.placement.arena_bytes - stays
    found = place_hauls(_streamed(known, streamed), others, room, map_hauls(plan))
    if found is None:
        return None
    return replace(plan, hauls=tuple(stored_once(found, plan.content)))


def _known(plan: Plan) -> dict[Key, list[Piece]]:
    """Pieces of every constant that can come from L3, those that are alike together."""
    found: dict[Key, list[Piece]] = {}
    most = min(PIECE_BYTES, max(window_bytes(plan), 0) // PIECES)
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
