# SPDX-License-Identifier: Apache-2.0
"""Choice of the parts of constants that stay in L2; the others are streamed from other levels in
every run.

First, as long as a run waits for transfers, the part that saves the most cycles per byte becomes
resident. Then the rest of L2 is filled as long as no run gets slower, to save energy: a streamed
byte costs energy in every run, a resident byte only at start.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.plan.levels.distribution import distribute, tolerance, transfer_rates
from myoedge.plan.levels.equal_constants import Key
from myoedge.plan.levels.transfers import (
    ComputeCycles,
    Timeline,
    in_order,
    schedule_in_window,
    timeline,
)
from myoedge.plan.timeline import Chunk
from myoedge.targets.memories import MemoryLevel

SMALL_BYTES = 4096  # smaller constants become resident first, by size, while they take at most
SMALL_SHARE = 4  # 1 / SMALL_SHARE of the L2 that no timeline step needs

ONE_BY_ONE = 512  # up to this many parts, one at a time becomes resident; otherwise
SHARES = 16  # 1 / SHARES of them

Part = tuple[int, str, int]  # (layer, constant, first byte)


@dataclass(frozen=True, slots=True)
class WeightResidency:
    """A choice of parts of constants that stay in L2 for the whole run; the others are streamed.

    streamed         the streamed parts
    resident_bytes   bytes of the resident ones
    cycles           estimated cycles of a run
    """

    streamed: frozenset[Part]
    resident_bytes: int
    cycles: float


class ChunkRow(NamedTuple):
    """A chunk of a constant, with the cycles of its transfer, its channel and the energy of a
    byte."""

    key: Part
    chunk: Chunk
    cycles: float
    channel: int
    pj_per_byte: float


def residences(
    known: Mapping[Part, Sequence[Chunk]],
    computed: ComputeCycles,
    room: int,
    levels: Sequence[MemoryLevel],
    most: int,
    *,
    balanced: bool = True,
) -> list[WeightResidency]:
    """Return choices of resident parts that fit in L2, fastest first.

    known      part of a constant -> its chunks and those of equal constants, which share one
               resident copy
    computed   compute cycles by timeline step
    room       bytes of L2 for constants
    levels     memory levels from which the others are streamed
    most       bytes of these at most for the resident parts
    balanced   as for `distribute`, for the choices
    """
    rows = _chunk_rows(known, computed, room, levels, balanced=balanced)
    choices = _resident_choices(known, rows, computed, room, levels, most)
    return sorted(choices, key=lambda c: (c.cycles, c.resident_bytes))


def _resident_choices(
    known: Mapping[Part, Sequence[Chunk]],
    rows: Sequence[ChunkRow],
    computed: ComputeCycles,
    room: int,
    levels: Sequence[MemoryLevel],
    most: int,
) -> Iterator[WeightResidency]:
    sizes = sizes_bytes(known)
    least_resident = sum(sizes.values()) - sum(level.room_bytes for level in levels)
    spare = min(room - most_read([*itertools.chain.from_iterable(known.values())]), most)
    streamed = {*known} - {*_small_constants(sizes, spare)}
    while True:
        stays = _resident_bytes(sizes, streamed)
        chosen = [row for row in rows if row.key in streamed]
        late, cycles = _late_transfers(chosen, computed, room - stays)
        if stays < least_resident:
            late = [True] * len(chosen)
        elif cycles is not None:
            yield WeightResidency(frozenset(streamed), stays, cycles)
        best = _best_candidates(rows, sizes, itertools.compress(chosen, late), most - stays)
        if not best:
            return
        totals = [*itertools.accumulate(map(sizes.__getitem__, best), initial=stays)]
        streamed.difference_update(best[: bisect_right(totals, most) - 1])


def _late_transfers(
    rows: Sequence[ChunkRow], computed: ComputeCycles, window: int
) -> tuple[Sequence[bool], float | None]:
    """Return (per transfer, whether the run waits for it; cycles of the run); cycles are None if a
    transfer does not fit in the window."""
    chunks = [row.chunk for row in rows]
    begins, stuck = schedule_in_window(chunks, window, computed.loops)
    if stuck is None:
        times = _simulate_transfers(rows, begins, computed)
        return times.late, times.cycles
    blocked = chunks[stuck].first
    return [chunk.first <= blocked <= chunk.last for chunk in chunks[: stuck + 1]], None


def _simulate_transfers(
    rows: Sequence[ChunkRow], begins: Sequence[int], computed: ComputeCycles
) -> Timeline:
    costs, channels = [row.cycles for row in rows], [row.channel for row in rows]
    return timeline(costs, begins, [row.chunk.first for row in rows], computed, channels)


def _best_candidates(
    rows: Sequence[ChunkRow], sizes: Mapping[Part, int], late: Iterable[ChunkRow], left: int
) -> list[Part]:
    """Return the parts of late chunks that save the most cycles per byte, of those with at most
    `left` bytes: one if there are few, otherwise a fraction of them."""
    fits = [key for key in dict.fromkeys(row.key for row in late) if sizes[key] <= left]
    saved, room = dict.fromkeys(sizes, 0.0), Counter[Part]()
    for key, chunk, cycles, *_ in rows:
        saved[key] += cycles * chunk.turns
        room[key] += chunk.room_bytes * (chunk.last - chunk.first + 1)

    def worth(key: Part) -> tuple[int, int, int]:
        """Return (cycles saved per byte, bytes times timeline steps in L2 if the part is streamed,
        minus the first layer that needs the part), to rank parts."""
        return round(saved[key] / sizes[key]), room[key], -key[0]

    count = 1 if len(fits) <= ONE_BY_ONE else len(fits) // SHARES
    return sorted(fits, key=worth, reverse=True)[:count]


def fill(
    known: Mapping[Part, Sequence[Chunk]],
    streamed: frozenset[Part],
    computed: ComputeCycles,
    room: int,
    levels: Sequence[MemoryLevel],
) -> list[Part]:
    """Return the streamed parts that can stay in L2 without making a run slower, those whose
    bytes cost the most energy first, then in order of use.

    streamed   the parts streamed so far
    known, computed, room, levels   as in `residences`
    """
    sizes, left, found = sizes_bytes(known), {*streamed}, []
    of_streamed = {key: known[key] for key in known if key in left}
    rows = _chunk_rows(of_streamed, computed, room - _resident_bytes(sizes, left), levels)
    cycles = _run_cycles(rows, computed, room - _resident_bytes(sizes, left)) or math.inf
    energy = {row.key: row.pj_per_byte for row in sorted(rows, key=lambda row: row.pj_per_byte)}
    in_turn, count = sorted(left, key=lambda key: (-energy[key], key)), -(-len(left) // ONE_BY_ONE)
    for at in range(0, len(in_turn), max(count, 1)):
        keys = in_turn[at : at + count]
        tried = left.difference(keys)
        fewer = [row for row in rows if row.key in tried]
        now = _run_cycles(fewer, computed, room - _resident_bytes(sizes, tried))
        if now is not None and now <= cycles * tolerance(levels):
            left, rows, cycles = tried, fewer, min(now, cycles)
            found += keys
    return found


def streamed_beside(known: Mapping[Part, Sequence[Chunk]], stays: int) -> frozenset[Part]:
    """Return the streamed parts if at least `stays` bytes are resident: parts that are needed at
    the peak of L2, one after another, the largest that is not more than is missing.

    known   as in `residences`
    """
    sizes, left, missing = sizes_bytes(known), {*known}, stays
    chunks = [*itertools.chain.from_iterable(known.values())]
    needed = _bytes_by_step(chunks, 1 + max((x.last for x in chunks), default=0))

    def rank(key: Part) -> tuple[bool, int, Part]:
        fits = sizes[key] <= missing
        return fits, sizes[key] if fits else -sizes[key], key

    while missing > 0 and left:
        peak = int(needed.argmax())
        there = [key for key in left if any(x.first <= peak <= x.last for x in known[key])]
        key = max(there or left, key=rank)
        left.remove(key)
        missing -= sizes[key]
        needed -= _bytes_by_step(known[key], len(needed))
    return frozenset(left)


def _bytes_by_step(chunks: Sequence[Chunk], steps: int) -> Array:
    """Return the bytes of these chunks that each timeline step needs in L2."""
    needed = np.zeros(steps, np.int64)
    for chunk in chunks:
        needed[chunk.first : chunk.last + 1] += chunk.room_bytes
    return needed


def sizes_bytes(known: Mapping[Part, Sequence[Chunk]]) -> dict[Part, int]:
    """Return the bytes of L2 that each part takes if it is resident; equal ones are counted
    once.

    known   as in `residences`
    """
    return {
        key: sum(chunk.room_bytes for chunk in chunks if (chunk.step, chunk.array) == key[:2])
        for key, chunks in known.items()
    }


def _resident_bytes(sizes: Mapping[Part, int], streamed: Collection[Part]) -> int:
    return sum(size for key, size in sizes.items() if key not in streamed)


def _chunk_rows(
    known: Mapping[Part, Sequence[Chunk]],
    computed: ComputeCycles,
    window: int,
    levels: Sequence[MemoryLevel],
    *,
    balanced: bool = True,
) -> list[ChunkRow]:
    """Return the rows of all chunks, in order of use."""
    owner = {p: key for key, chunks in known.items() for p in chunks}
    chunks = in_order([*owner])
    keys = [owner[p] for p in chunks]
    contents = [(key, p.start, p.size_bytes) for key, p in zip(keys, chunks, strict=True)]
    begins, stuck = schedule_in_window(chunks, window, computed.loops)
    placed = begins if stuck is None else None
    found = distribute(chunks, contents, computed, placed, levels, balanced=balanced)
    costs, channels = transfer_rates(chunks, found)
    energies = (level.pj_per_byte[1] for level in found)
    return [*map(ChunkRow, keys, chunks, costs, channels, energies)]


def _run_cycles(rows: Sequence[ChunkRow], computed: ComputeCycles, window: int) -> float | None:
    """Return the cycles of a run with these transfers in `window` bytes of L2; None if it is too
    small."""
    begins, stuck = schedule_in_window([row.chunk for row in rows], window, computed.loops)
    if stuck is not None or window < 0:
        return None
    return _simulate_transfers(rows, begins, computed).cycles


def most_read(chunks: Sequence[Chunk]) -> int:
    """Return the maximum number of bytes of these chunks that one timeline step needs in L2."""
    change: dict[int, int] = {}
    for chunk in chunks:
        change[chunk.first] = change.get(chunk.first, 0) + chunk.room_bytes
        change[chunk.last + 1] = change.get(chunk.last + 1, 0) - chunk.room_bytes
    return max(itertools.accumulate(change[step] for step in sorted(change)), default=0)


def _small_constants(sizes: Mapping[Part, int], room: int) -> Iterator[Part]:
    whole = Counter[Key]()
    for key, size in sizes.items():
        whole[key[:2]] += size
    taken = 0
    for key in sorted(sizes, key=lambda key: (whole[key[:2]], key)):
        taken += sizes[key]
        if whole[key[:2]] > SMALL_BYTES or taken > room // SMALL_SHARE:
            return
        yield key
