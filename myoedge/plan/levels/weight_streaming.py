# SPDX-License-Identifier: Apache-2.0
"""Weight streaming: constants that do not fit L2 are loaded from other memory levels during the
run."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from functools import cache

from myoedge.plan.cost.network import (
    computed,
    modelled_cycles,
    moved_pj,
    waiting_cycles,
    waits,
)
from myoedge.plan.levels.distribution import distribute, tolerance, with_room
from myoedge.plan.levels.feature_maps import map_transfers
from myoedge.plan.levels.loop_residency import held_as_in, with_loop_residents
from myoedge.plan.levels.residency import (
    Key,
    Part,
    content_digest,
    fill,
    most_read,
    residences,
    sizes_bytes,
    stored_once,
)
from myoedge.plan.levels.transfers import LevelTransfer, in_order, place_transfers
from myoedge.plan.placement import peak
from myoedge.plan.plan import Plan
from myoedge.plan.timeline import Chunk, candidates, chunks
from myoedge.targets.memory_level import MemoryLevel

PIECE_BYTES = 32768  # maximum bytes of a transfer: its start then costs 0.4 % of its time
# Transfers that fit the window at least, if tiles are small enough: parts that become resident
# leave less room for those of the other parts.
PIECES = 8, 16, 32
CHOICES = 8  # sets of resident constants that are tried


def fits(plan: Plan) -> bool:
    """Return whether all data of a plan fits in L2."""
    chip = plan.chip
    return plan.l2_bytes <= (plan.l2_room_bytes if chip.levels else chip.l2_bytes)


def window_bytes(plan: Plan) -> int:
    """Return the bytes of L2 that a plan leaves for constants, resident or streamed."""
    owners = plan.owners
    rows = _streamable_constants(plan)
    constants = sum(size for index, name, size in rows if owners[index, name] == (index, name))
    return plan.l2_room_bytes - plan.l2_bytes + constants


def exceed_levels(plan: Plan) -> bool:
    """Return whether the distinct constants of a network exceed L2 and the memory levels
    together."""
    constants_bytes = plan.weight_bytes + sum(a.nbytes for _, a in plan.l3_tables.values())
    return constants_bytes > plan.chip.levels_room_bytes + plan.l2_room_bytes


def levels_for_constants(plan: Plan) -> tuple[MemoryLevel, ...]:
    """Return the memory levels of a plan's chip without the bytes of its feature maps and
    tables."""
    tables = sum(array.nbytes for _, array in plan.l3_tables.values())
    return with_room(plan.chip.levels, {plan.chip.map_level.name: plan.map_bytes + tables})


def with_transfers(plan: Plan) -> Plan | None:
    """Return the plan with transfers of constants that do not fit L2; None if L2 is still too
    small."""
    digest, best = _make_digest_cache(plan), None
    for pieces in PIECES:
        known = _chunks_of_constants(plan, pieces)
        made = _stream(plan, known, digest)
        if made is not None and waits(made):
            made = _with_loop_residents(plan, made, known, digest)
        best = min(filter(None, (best, made)), key=_parts_and_cycles, default=None)
        if best is not None and not waits(best):
            break
    return best


def _stream(
    plan: Plan, known: Mapping[Part, Sequence[Chunk]], digest: Callable[[Chunk], bytes]
) -> Plan | None:
    """Return the fastest plan with transfers of some of these chunks; None if L2 is too small.

    known   part of a constant -> its chunks
    """
    several = len(plan.chip.levels) > 1  # parts that become resident may undo a balance of channels
    made = (_stream_some(plan, known, digest, balanced=x) for x in (True, False)[: 1 + several])
    return min(filter(None, made), key=_parts_and_cycles, default=None)


def _parts_and_cycles(plan: Plan) -> tuple[int, float]:
    return _parts_beside(plan), modelled_cycles(plan)


def _parts_beside(plan: Plan) -> int:
    """Return the number of parts beside the chip that a plan needs for constants."""
    return len({x.external for x in plan.chip.levels if x.external and plan.level_bytes(x.name)})


def _stream_some(
    plan: Plan,
    known: Mapping[Part, Sequence[Chunk]],
    digest: Callable[[Chunk], bytes],
    *,
    balanced: bool,
) -> Plan | None:
    """Return the plan of `_stream`; resident parts are chosen with channels balanced or not."""
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


def _with_loop_residents(
    plan: Plan, made: Plan, known: Mapping[Part, Sequence[Chunk]], digest: Callable[[Chunk], bytes]
) -> Plan:
    """Return a plan with transfers, of which some are made once per loop if this is faster.

    plan    the plan without transfers
    made    the plan with transfers
    known   as for `_stream`
    """
    work, sizes = computed(plan), sizes_bytes(known)
    stays = sum(sizes[part] for part in known if not _is_moved(made, known[part]))
    room = window_bytes(plan) + plan.placement.arena_bytes - stays
    return with_loop_residents(
        made,
        room,
        lambda chunks: _place_streaming(plan, in_order(chunks), stays, digest),
        lambda other: (_parts_beside(other), waiting_cycles(other, work)),
    )


def _resident_room(plan: Plan, known: Mapping[Part, Sequence[Chunk]]) -> int:
    """Return the bytes of L2 for resident ones of these parts.

    plan    a plan without transfers
    known   as for `_stream`
    """
    room, most = window_bytes(plan), plan.chip.resident_bytes
    if most is None:
        return room
    others = plan.weight_bytes - sum(sizes_bytes(known).values())
    return min(room, max(most - others, 0))


def _fits_levels(plan: Plan) -> bool:
    """Return whether the data of a plan fits its memory levels."""
    return all(plan.level_bytes(x.name) <= x.room_bytes for x in plan.chip.levels)


def filled(plan: Plan) -> Plan:
    """Return the plan with more constants resident in L2, as long as no run gets slower; this saves
    the energy of transfers."""
    return min((_fill_l2(plan, pieces) for pieces in PIECES), key=moved_pj)


def _fill_l2(plan: Plan, pieces: int) -> Plan:
    """Return the plan with more resident constants, and transfers of which at least `pieces` fit in
    the window: small ones take less space, but more time."""
    bare, work, best = replace(plan, transfers=()), computed(plan), plan
    known, digest = _chunks_of_constants(bare, pieces), _make_digest_cache(bare)
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
    stays = sum(size for key, size in sizes_bytes(known).items() if key not in streamed)
    chunks_in_order = in_order([chunk for key in streamed for chunk in known[key]])
    return _place_streaming(plan, chunks_in_order, stays, digest)


def _place_streaming(
    plan: Plan, chunks_in_order: Sequence[Chunk], stays: int, digest: Callable[[Chunk], bytes]
) -> Plan | None:
    """Return the plan that streams these chunks; None if a transfer or a level does not fit.

    stays   bytes of constants that stay in L2
    """
    at, alive = plan.placement.offsets, plan.timeline_steps.alive
    others = [(at[life.name], alive(life)) for life in plan.lives]
    room = window_bytes(plan) + plan.placement.arena_bytes - stays
    maps: list[LevelTransfer] = []  # through windows whose addresses are known
    for access in plan.accesses:
        tiling, l2 = plan.tilings[access.step], plan.windows(access.step)[access.operand]
        start = plan.chip.map_level.name, plan.maps[access.tensor]
        maps += map_transfers(access, tiling, plan.timeline_steps, start, l2)
    placed = place_transfers(chunks_in_order, others, room, maps)
    if placed is None:
        return None
    levels = _levels_of(plan, [x for x in placed if not x.chunk.tensor], digest)
    made = stored_once(placed, [levels.get(x.chunk, plan.chip.map_level) for x in placed], digest)
    streaming = replace(plan, transfers=tuple(made))
    return streaming if _fits_levels(streaming) else None


def _levels_of(
    plan: Plan, transfers: Sequence[LevelTransfer], digest: Callable[[Chunk], bytes]
) -> dict[Chunk, MemoryLevel]:
    """Return the level of each streamed chunk.

    transfers   of all chunks, in their order
    """
    levels, chunks = levels_for_constants(plan), [x.chunk for x in transfers]
    if len(levels) == 1:
        return dict.fromkeys(chunks, levels[0])
    contents = [digest(chunk) for chunk in chunks]
    begins = [x.begins for x in transfers]
    found = distribute(chunks, contents, computed(plan), begins, levels)
    return dict(zip(chunks, found, strict=True))


def _chunks_of_constants(plan: Plan, pieces: int = 0) -> dict[Part, list[Chunk]]:
    """Return the chunks of every part of a constant that can be streamed. Parts of equal constants
    are equal: where their tiles read other ranges, the constant is one part.

    pieces   chunks that fit the window at least; 0: chunks are as small as tiles allow
    """
    room = min(max(window_bytes(plan), 0), PIECES[0] * PIECE_BYTES)
    most = room // pieces if pieces else 0
    cuts: dict[Key, list[list[Chunk]]] = {}
    for index, name, size in _streamable_constants(plan):
        own = chunks(index, name, size, plan.tilings[index], plan.timeline_steps, most)
        cuts.setdefault(plan.owners[index, name], []).append(own)
    parts: dict[Part, list[Chunk]] = {}
    for key, cut in cuts.items():
        alike = len({tuple(chunk.start for chunk in own) for own in cut}) == 1
        for chunk in itertools.chain.from_iterable(cut):
            parts.setdefault((*key, chunk.start if alike else 0), []).append(chunk)
    return parts


def _streamable_constants(plan: Plan) -> list[tuple[int, str, int]]:
    """Return (layer, constant, bytes) of the constants that may be streamed; not of those equal to
    one that stays in L1 for a loop and is loaded from L2."""
    rows, owners = [*candidates(plan.tilings)], plan.owners
    may = {(index, name) for index, name, _ in rows}
    near = {owners[key] for key in owners if key not in may}
    return [row for row in rows if owners[row[:2]] not in near]


def least_bytes(plan: Plan) -> int:
    """Return the minimum bytes of L2 that a plan needs, with all constants streamed."""
    parts = _chunks_of_constants(plan, PIECES[-1]).values()
    read = most_read([*itertools.chain.from_iterable(parts)])
    return plan.l2_room_bytes - window_bytes(plan) + read


def least_beside(plan: Plan, maps: Sequence[str], steps: Container[int]) -> int:
    """Return the bytes of L2 that a plan needs whichever of its feature maps leave L2: all other
    buffers, and the constants of steps that read none of these maps, in the smallest chunks.

    maps    feature maps that may leave L2
    steps   steps that read or write them
    """
    lives = tuple(life for life in plan.lives if life.name not in maps)
    ports = [name for name in (*plan.graph_inputs, *plan.graph_outputs) if name not in maps]
    fixed = plan.l2_room_bytes - window_bytes(plan) - plan.arena_bytes - plan.border_bytes
    chunks = (chunk for chunks in _chunks_of_constants(plan).values() for chunk in chunks)
    read = most_read([chunk for chunk in chunks if chunk.step not in steps])
    return fixed + peak(lives, plan.chip.alignment_bytes)[0] + plan.port_bytes(ports) + read


def read_at_once(plan: Plan) -> dict[int, int]:
    """Return layer -> minimum bytes of constants in L2 at a time, in the smallest chunks that its
    tiles allow."""
    chunks_of: dict[int, list[Chunk]] = {}
    for found in _chunks_of_constants(plan).values():
        for chunk in found:
            chunks_of.setdefault(chunk.step, []).append(chunk)
    return {index: most_read(own) for index, own in chunks_of.items()}
