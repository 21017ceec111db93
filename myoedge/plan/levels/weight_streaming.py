# SPDX-License-Identifier: Apache-2.0
"""Weight streaming: constants that do not fit L2 are loaded from other memory levels during the
run."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from myoedge.plan.cost.network import (
    computed,
    moved_pj,
    waiting_cycles,
    waits,
)
from myoedge.plan.levels.constant_chunks import (
    FINEST_PIECES,
    PIECE_BYTES,
    PIECES,
    chunks_of_constants,
    window_bytes,
)
from myoedge.plan.levels.distribution import distribute, tolerance
from myoedge.plan.levels.equal_constants import content_digest, stored_once
from myoedge.plan.levels.feature_maps import map_transfers
from myoedge.plan.levels.loop_residency import held_as_in, with_loop_residents
from myoedge.plan.levels.residency import (
    Part,
    fill,
    residences,
    sizes_bytes,
    streamed_beside,
)
from myoedge.plan.levels.rooms import bytes_over_levels, levels_for_constants
from myoedge.plan.levels.transfers import (
    ComputeCycles,
    LevelTransfer,
    in_order,
    place_transfers,
)
from myoedge.plan.plan import Plan
from myoedge.plan.timeline import Chunk

CHOICES = 8  # sets of resident constants that are tried


def with_transfers(plan: Plan, *, tight: bool = False) -> Plan | None:
    """Return the plan with transfers of constants that do not fit L2; None if L2 is still too
    small.

    tight   whether the fewest bytes may stay, and chunks be as small as tiles allow
    """
    digest, best = _make_digest_cache(plan), None
    cuts = [chunks_of_constants(plan, n) for n in (*PIECES, *(FINEST_PIECES,) * tight)]
    for known in (cut for at, cut in enumerate(cuts) if cut not in cuts[:at]):
        made = _fastest_of_chunks(plan, known, digest, tight=tight)
        best = min(filter(None, (best, made)), key=_parts_and_cycles, default=None)
        if best is not None and not waits(best):
            break
    return best


def _fastest_of_chunks(
    plan: Plan,
    known: Mapping[Part, Sequence[Chunk]],
    digest: Callable[[Chunk], bytes],
    *,
    tight: bool,
) -> Plan | None:
    """Return the fastest plan with transfers of some of these chunks, or None, as of
    `with_transfers`.

    known   part of a constant -> its chunks
    """
    plans = [_stream_most(plan, known, digest)] if tight else []
    if all(plans):  # parts that become resident may undo a balance of channels
        plans += [_stream_some(plan, known, digest, balanced=x) for x in _balances(plan)]
    made = min(filter(None, plans), key=_parts_and_cycles, default=None)
    if made is not None and waits(made):
        return _with_loop_residents(plan, made, known, digest)
    return made


def _balances(plan: Plan) -> tuple[bool, ...]:
    """Return whether channels should end together: both, if there is a choice of levels."""
    return (False, True)[: len(plan.chip.levels)]


def _parts_and_cycles(plan: Plan, work: ComputeCycles | None = None) -> tuple[int, float]:
    """Return the number of parts beside the chip that a plan needs for constants, and its estimated
    cycles with waits: plans with fewer parts come first.

    work   compute cycles by timeline step; None: they are those of the plan
    """
    parts = {x.external for x in plan.chip.levels if x.external and plan.level_bytes(x.name)}
    return len(parts), waiting_cycles(plan, work or computed(plan))


def _stream_some(
    plan: Plan,
    known: Mapping[Part, Sequence[Chunk]],
    digest: Callable[[Chunk], bytes],
    *,
    balanced: bool,
) -> Plan | None:
    """Return the fastest plan with transfers of some of these chunks; None if L2 is too small.

    known      part of a constant -> its chunks
    balanced   whether resident parts are chosen so that channels end together
    """
    window, work = window_bytes(plan), computed(plan)
    most, less, levels = _resident_room(plan, known), PIECE_BYTES, levels_for_constants(plan)
    fastest = residences(known, work, window, levels, most, balanced=balanced)
    best, fewest = None, math.inf
    for _ in range(CHOICES):
        choice = next((c for c in fastest if c.resident_bytes <= most and c.cycles < fewest), None)
        if choice is None:  # addresses only delay transfers
            break
        fastest.remove(choice)
        made = _plan_streaming(plan, known, choice.streamed, digest)
        if made is None:  # too little room beside resident parts
            most, less = choice.resident_bytes - less, 2 * less
        elif (cycles := waiting_cycles(made, work)) < fewest:
            best, fewest = made, cycles
    return best


def _stream_most(
    plan: Plan, known: Mapping[Part, Sequence[Chunk]], digest: Callable[[Chunk], bytes]
) -> Plan | None:
    """Return the plan that streams as many of these chunks as its levels hold, of those at the
    peaks of L2 as few as possible; None if L2 is too small.

    known   as for `_stream_some`
    """
    levels, sizes = levels_for_constants(plan), sizes_bytes(known)
    stays = sum(sizes.values()) - sum(level.room_bytes for level in levels)
    for _ in range(CHOICES):
        streamed = streamed_beside(known, stays)
        made = _plan_transfers(plan, known, streamed, digest)
        over = 0 if made is None else bytes_over_levels(made)
        if not over:
            return made
        stays = over + sum(size for key, size in sizes.items() if key not in streamed)
    return None


def _with_loop_residents(
    plan: Plan, made: Plan, known: Mapping[Part, Sequence[Chunk]], digest: Callable[[Chunk], bytes]
) -> Plan:
    """Return a plan with transfers, of which some are made once per loop if this is faster.

    plan    the plan without transfers
    made    the plan with transfers
    known   as for `_stream_some`
    """
    work, sizes = computed(plan), sizes_bytes(known)
    stays = sum(sizes[part] for part in known if not _is_moved(made, known[part]))
    room = window_bytes(plan) + plan.placement.arena_bytes - stays
    return with_loop_residents(
        made,
        room,
        lambda chunks: _fitting(_place_streaming(plan, in_order(chunks), stays, digest)),
        lambda other: _parts_and_cycles(other, work),
    )


def _resident_room(plan: Plan, known: Mapping[Part, Sequence[Chunk]]) -> int:
    """Return the bytes of L2 for resident ones of these parts.

    plan    a plan without transfers
    known   as for `_stream_some`
    """
    room, most = window_bytes(plan), plan.chip.resident_bytes
    if most is None:
        return room
    others = plan.weight_bytes - sum(sizes_bytes(known).values())
    return min(room, max(most - others, 0))


def filled(plan: Plan) -> Plan:
    """Return the plan with more constants resident in L2, as long as no run gets slower; this saves
    the energy of transfers."""
    return min((_fill_l2(plan, pieces) for pieces in PIECES), key=moved_pj)


def _fill_l2(plan: Plan, pieces: int) -> Plan:
    """Return the plan with more resident constants, and transfers of which at least `pieces` fit in
    the window: small ones take less space, but more time."""
    bare, work, best = replace(plan, transfers=()), computed(plan), plan
    known, digest = chunks_of_constants(bare, pieces), _make_digest_cache(bare)
    streamed = frozenset(part for part in known if _is_moved(plan, known[part]))
    held = {part: held_as_in(plan, chunks) for part, chunks in known.items()}
    keys = fill(known, streamed, work, window_bytes(bare), levels_for_constants(bare))
    sizes = sizes_bytes(known)
    stays = sum(sizes[part] for part in known if part not in streamed)
    totals = itertools.accumulate(map(sizes.__getitem__, keys), initial=stays)
    keys = keys[: max(bisect_right([*totals], _resident_room(bare, known)) - 1, 0)]
    cycles = waiting_cycles(plan, work) * tolerance(plan.chip.levels)
    fewest, most = 0, len(keys)
    count = most
    while fewest < most:  # placement may fail although the sizes fit: as many as can be placed
        made = _plan_streaming(bare, held, streamed.difference(keys[:count]), digest)
        if made is not None and waiting_cycles(made, work) <= cycles:
            fewest, best = count, made
        else:
            most = count - 1
        count = (fewest + most + 1) // 2
    return best


def _is_moved(plan: Plan, chunks: Sequence[Chunk]) -> bool:
    """Return whether a plan's transfers move bytes of these chunks."""
    return any(
        x.chunk.start < chunk.start + chunk.size_bytes
        and chunk.start < x.chunk.start + x.chunk.size_bytes
        for chunk in chunks
        for x in plan.streamed.get((chunk.step, chunk.array), ())
    )


def _make_digest_cache(plan: Plan) -> Callable[[Chunk], bytes]:
    """Return a function chunk -> digest of its bytes, with a cache; of small ones that may be equal
    by chance, with their place in the network."""

    @cache
    def digest(chunk: Chunk) -> bytes:
        content = plan.content(chunk)
        if len(content) < plan.shared_from_bytes:
            content += f"{chunk.step} {chunk.array} {chunk.start}".encode()
        return content_digest(content)

    return digest


def _plan_streaming(
    plan: Plan,
    known: Mapping[Part, Sequence[Chunk]],
    streamed: frozenset[Part],
    digest: Callable[[Chunk], bytes],
) -> Plan | None:
    """Return the plan that streams these constants; None if a transfer or a level does not fit."""
    return _fitting(_plan_transfers(plan, known, streamed, digest))


def _fitting(plan: Plan | None) -> Plan | None:
    """Return the plan; None if its levels have no room for its data."""
    return None if plan is None or bytes_over_levels(plan) else plan


def _plan_transfers(
    plan: Plan,
    known: Mapping[Part, Sequence[Chunk]],
    streamed: frozenset[Part],
    digest: Callable[[Chunk], bytes],
) -> Plan | None:
    """Return the plan that streams these constants, whose levels may not hold them; None if a
    transfer does not fit."""
    stays = sum(size for key, size in sizes_bytes(known).items() if key not in streamed)
    chunks_in_order = in_order([chunk for key in streamed for chunk in known[key]])
    return _place_streaming(plan, chunks_in_order, stays, digest)


def _place_streaming(
    plan: Plan, chunks_in_order: Sequence[Chunk], stays: int, digest: Callable[[Chunk], bytes]
) -> Plan | None:
    """Return the plan that streams these chunks, whose levels may not hold them; None if a transfer
    does not fit.

    stays   bytes of constants that stay in L2
    """
    if (left := window_bytes(plan) - stays) < 0:
        return None
    at, alive = plan.placement.offsets, plan.timeline_steps.alive
    others = [(at[life.name], alive(life)) for life in plan.lives]
    room = left + plan.placement.arena_bytes
    maps: list[LevelTransfer] = []  # through windows whose addresses are known
    for access in plan.accesses:
        tiling, l2 = plan.tilings[access.step], plan.windows(access.step)[access.operand]
        start = plan.chip.map_level.name, plan.maps[access.tensor]
        maps += map_transfers(access, tiling, plan.timeline_steps, start, l2)
    loops = plan.timeline_steps.loops
    placed = place_transfers(chunks_in_order, others, room, maps, loops)
    if placed is None:
        return None
    work = computed(plan)
    made = (_with_levels(plan, placed, digest, work, balanced=x) for x in _balances(plan))
    return min(made, key=lambda x: (bytes_over_levels(x), _parts_and_cycles(x, work)))


def _with_levels(
    plan: Plan,
    placed: Sequence[LevelTransfer],
    digest: Callable[[Chunk], bytes],
    work: ComputeCycles,
    *,
    balanced: bool,
) -> Plan:
    """Return the plan with these transfers and a level for each.

    placed     transfers without levels and addresses, but for those of feature maps
    balanced   as for `distribute`
    """
    own = [x for x in placed if not x.chunk.tensor]
    chunks, begins = [x.chunk for x in own], [x.begins for x in own]
    contents = [digest(chunk) for chunk in chunks]
    levels = levels_for_constants(plan)
    found = iter(distribute(chunks, contents, work, begins, levels, balanced=balanced))
    of_all = [plan.chip.map_level if x.chunk.tensor else next(found) for x in placed]
    return replace(plan, transfers=tuple(stored_once(placed, of_all, digest)))
