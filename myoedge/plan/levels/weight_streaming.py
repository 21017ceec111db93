# SPDX-License-Identifier: Apache-2.0
"""Weight streaming: constants that do not fit L2 are loaded from other memory levels during the
run."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

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
from myoedge.targets.memories import MemoryLevel

CHOICES = 8  # sets of resident constants that are tried


def with_transfers(plan: Plan, *, tight: bool = False) -> Plan | None:
    """Return the plan with transfers of constants that do not fit L2; None if L2 is still too
    small.

    tight   whether the fewest bytes may stay, and chunks be as small as tiles allow
    """
    digest, best = make_digest_cache(plan), None
    cuts = [chunks_of_constants(plan, n) for n in (*PIECES, *(FINEST_PIECES,) * tight)]
    for known in (cut for at, cut in enumerate(cuts) if cut not in cuts[:at]):
        made = WeightStreaming(plan, known, digest).fastest(tight=tight)
        best = min(filter(None, (best, made)), key=_parts_and_cycles, default=None)
        if best is not None and not waits(best):
            break
    return best


def filled(plan: Plan) -> Plan:
    """Return the plan with more constants resident in L2, as long as no run gets slower; this saves
    the energy of transfers."""
    return min((_fill_l2(plan, pieces) for pieces in PIECES), key=moved_pj)


def _fill_l2(plan: Plan, pieces: int) -> Plan:
    """Return the plan with more resident constants, and transfers of which at least `pieces` fit in
    the window: small ones take less space, but more time."""
    bare, work, best = replace(plan, transfers=()), computed(plan), plan
    known = chunks_of_constants(bare, pieces)
    streamed = frozenset(part for part in known if _is_moved(plan, known[part]))
    held = {part: held_as_in(plan, chunks) for part, chunks in known.items()}
    streaming = WeightStreaming(bare, held, make_digest_cache(bare))
    keys = fill(known, streamed, work, streaming.window, streaming.levels)
    sizes = map(streaming.sizes.__getitem__, keys)
    totals = [*itertools.accumulate(sizes, initial=streaming.resident_bytes(streamed))]
    keys = keys[: max(bisect_right(totals, streaming.resident_room) - 1, 0)]
    cycles = waiting_cycles(plan, work) * tolerance(plan.chip.levels)
    fewest, most = 0, len(keys)
    count = most
    while fewest < most:  # placement may fail although the sizes fit: as many as can be placed
        made = streaming.fitting(streamed.difference(keys[:count]))
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


def make_digest_cache(plan: Plan) -> Callable[[Chunk], bytes]:
    """Return a function chunk -> digest of its bytes, with a cache; of small ones that may be equal
    by chance, with their place in the network."""

    @cache
    def digest(chunk: Chunk) -> bytes:
        content = plan.content(chunk)
        if len(content) < plan.shared_from_bytes:
            content += f"{chunk.step} {chunk.array} {chunk.start}".encode()
        return content_digest(content)

    return digest


def _parts_and_cycles(plan: Plan, work: ComputeCycles | None = None) -> tuple[int, float]:
    """Return the number of parts beside the chip that a plan needs for constants, and its estimated
    cycles with waits: plans with fewer parts come first.

    work   compute cycles by timeline step; None: they are those of the plan
    """
    parts = {x.external for x in plan.chip.levels if x.external and plan.level_bytes(x.name)}
    return len(parts), waiting_cycles(plan, work or computed(plan))


@dataclass(frozen=True, eq=False)
class WeightStreaming:
    """The constants of a plan, cut into chunks of which some may be streamed.

    plan     a plan without transfers
    known    part of a constant -> its chunks
    digest   chunk -> digest of its bytes
    """

    plan: Plan
    known: Mapping[Part, Sequence[Chunk]]
    digest: Callable[[Chunk], bytes]

    @cached_property
    def window(self) -> int:
        return window_bytes(self.plan)

    @cached_property
    def work(self) -> ComputeCycles:
        return computed(self.plan)

    @cached_property
    def sizes(self) -> Mapping[Part, int]:
        return sizes_bytes(self.known)

    @property
    def levels(self) -> Sequence[MemoryLevel]:
        return levels_for_constants(self.plan)

    @property
    def balances(self) -> tuple[bool, ...]:
        """Whether channels should end together: both, if there is a choice of levels."""
        return (False, True)[: len(self.plan.chip.levels)]

    @property
    def resident_room(self) -> int:
        """Bytes of L2 for resident parts."""
        most = self.plan.chip.resident_bytes
        if most is None:
            return self.window
        others = self.plan.weight_bytes - sum(self.sizes.values())
        return min(self.window, max(most - others, 0))

    def resident_bytes(self, streamed: Collection[Part]) -> int:
        """Return the bytes of the parts that are not streamed."""
        return sum(size for key, size in self.sizes.items() if key not in streamed)

    def fastest(self, *, tight: bool) -> Plan | None:
        """Return the fastest plan with transfers; None if L2 or levels are too small.

        tight   whether the fewest bytes may stay
        """
        plans = [self._stream_most()] if tight else []
        if all(plans):  # parts that become resident may undo a balance of channels
            plans += [self._stream_some(balanced=x) for x in self.balances]
        made = min(filter(None, plans), key=_parts_and_cycles, default=None)
        return made if made is None or not waits(made) else self._with_loop_residents(made)

    def _stream_some(self, *, balanced: bool) -> Plan | None:
        """Return the fastest plan; None if L2 is too small.

        balanced   whether resident parts are chosen so that channels end together
        """
        most, less, known, work = self.resident_room, PIECE_BYTES, self.known, self.work
        least = 0
        fastest = residences(known, work, self.window, self.levels, most, balanced=balanced)
        best, fewest = None, math.inf
        for _ in range(CHOICES):
            choices = (c for c in fastest if least <= c.resident_bytes <= most)
            choice = next((c for c in choices if c.cycles < fewest), None)
            if choice is None:  # addresses only delay transfers
                break
            fastest.remove(choice)
            made = self.place(self._chunks(choice.streamed), choice.resident_bytes)
            if made is None:  # too little room beside resident parts
                most, less = choice.resident_bytes - less, 2 * less
            elif over := bytes_over_levels(made):
                least = choice.resident_bytes + over
            elif (cycles := waiting_cycles(made, work)) < fewest:
                best, fewest = made, cycles
        return best

    def _stream_most(self) -> Plan | None:
        """Return the plan that streams as many chunks as its levels hold, of those at the peaks of
        L2 as few as possible; None if L2 is too small."""
        stays = sum(self.sizes.values()) - sum(level.room_bytes for level in self.levels)
        for _ in range(CHOICES):
            streamed = streamed_beside(self.known, stays)
            stays = self.resident_bytes(streamed)
            made = self.place(self._chunks(streamed), stays)
            over = 0 if made is None else bytes_over_levels(made)
            if not over:
                return made
            stays += over
        return None

    def _with_loop_residents(self, made: Plan) -> Plan:
        """Return a plan with transfers, of which some are made once per loop if this is faster."""
        stays = sum(self.sizes[x] for x in self.known if not _is_moved(made, self.known[x]))
        return with_loop_residents(
            made,
            self.window + self.plan.placement.arena_bytes - stays,
            lambda chunks: _if_levels_hold(self.place(in_order(chunks), stays)),
            lambda other: _parts_and_cycles(other, self.work),
        )

    def fitting(self, streamed: frozenset[Part]) -> Plan | None:
        """Return the plan that streams these parts; None if a transfer or a level does not fit."""
        return _if_levels_hold(self.place(self._chunks(streamed), self.resident_bytes(streamed)))

    def _chunks(self, streamed: Collection[Part]) -> list[Chunk]:
        return in_order([chunk for key in streamed for chunk in self.known[key]])

    def place(self, chunks: Sequence[Chunk], stays: int) -> Plan | None:
        """Return the plan that streams these chunks, whose levels may not hold them; None if a
        transfer does not fit.

        chunks   in order
        stays    bytes of constants that stay in L2
        """
        plan, steps = self.plan, self.plan.timeline_steps
        if (left := self.window - stays) < 0:
            return None
        at = plan.placement.offsets
        others = [(at[life.name], steps.alive(life)) for life in plan.lives]
        room = left + plan.placement.arena_bytes
        maps: list[LevelTransfer] = []  # through windows whose addresses are known
        for access in plan.accesses:
            tiling, l2 = plan.tilings[access.step], plan.windows(access.step)[access.operand]
            start = plan.chip.map_level.name, plan.maps[access.tensor]
            maps += map_transfers(access, tiling, steps, start, l2)
        placed = place_transfers(chunks, others, room, maps, steps.loops)
        if placed is None:
            return None
        made = (self._with_levels(placed, balanced=x) for x in self.balances)
        return min(made, key=lambda x: (bytes_over_levels(x), _parts_and_cycles(x, self.work)))

    def _with_levels(self, placed: Sequence[LevelTransfer], *, balanced: bool) -> Plan:
        """Return the plan with these transfers and a level for each.

        placed     transfers without levels and addresses, but for those of feature maps
        balanced   as for `distribute`
        """
        own = [x for x in placed if not x.chunk.tensor]
        chunks, begins = [x.chunk for x in own], [x.begins for x in own]
        contents = [self.digest(chunk) for chunk in chunks]
        levels = distribute(chunks, contents, self.work, begins, self.levels, balanced=balanced)
        found, map_level = iter(levels), self.plan.chip.map_level
        of_all = [map_level if x.chunk.tensor else next(found) for x in placed]
        return replace(self.plan, transfers=tuple(stored_once(placed, of_all, self.digest)))


def _if_levels_hold(plan: Plan | None) -> Plan | None:
    """Return the plan; None if its levels have no room for its data."""
    return None if plan is None or bytes_over_levels(plan) else plan
