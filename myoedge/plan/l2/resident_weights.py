# SPDX-License-Identifier: Apache-2.0
"""Choice of the constants that stay in L2; the others are streamed from L3 in every run.

First, as long as a run waits for L3, the array that saves the most cycles per byte becomes
resident. Then the rest of L2 is filled as long as no run gets slower, to save energy: a streamed
byte costs energy in every run, a resident byte only at start.
"""

from __future__ import annotations

import hashlib
import itertools
from bisect import bisect_right
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from myoedge.numerics.arrays import Array
from myoedge.plan.l3.transfers import (
    ComputeCycles,
    L3Transfer,
    L3TransferCost,
    in_order,
    schedule_in_window,
    timeline,
)
from myoedge.plan.timeline import Chunk

SMALL_BYTES = 4096  # smaller arrays become resident first, by size, while they take at most
SMALL_SHARE = 4  # 1 / SMALL_SHARE of the L2 that no timeline step needs

ONE_BY_ONE = 512  # up to this many arrays, one at a time becomes resident; otherwise
SHARES = 16  # 1 / SHARES of them

Key = tuple[int, str]  # (layer, constant)
Row = tuple[Key, Chunk, float]  # constant, chunk, cycles of its transfer
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class WeightResidency:
    """A choice of constants that stay in L2 for the whole run; the others are streamed from L3.

    streamed         the streamed constants
    resident_bytes   bytes of the resident ones
    cycles           estimated cycles of a run
    """

    streamed: frozenset[Key]
    resident_bytes: int
    cycles: float


def residences(
    known: Mapping[Key, Sequence[Chunk]],
    computed: ComputeCycles,
    room: int,
    rate: L3TransferCost,
) -> list[WeightResidency]:
    """Return choices of resident constants that fit in L2, fastest first.

    known      constant -> its chunks and those of equal constants, which share one resident copy
    computed   compute cycles by timeline step
    room       bytes of L2 for constants
    rate       cost of L3 transfers
    """
    return sorted(
        _resident_choices(known, computed, room, rate), key=lambda c: (c.cycles, c.resident_bytes)
    )


def _resident_choices(
    known: Mapping[Key, Sequence[Chunk]],
    computed: ComputeCycles,
    room: int,
    rate: L3TransferCost,
) -> Iterator[WeightResidency]:
    sizes, rows = sizes_bytes(known), _chunk_rows(known, rate)
    spare = room - most_read([*itertools.chain.from_iterable(known.values())])
    streamed = {*known} - {*_small_constants(sizes, spare)}
    while True:
        stays = _resident_bytes(sizes, streamed)
        chosen = [row for row in rows if row[0] in streamed]
        late, cycles = _late_transfers(chosen, computed, room - stays)
        if cycles is not None:
            yield WeightResidency(frozenset(streamed), stays, cycles)
        helps = dict.fromkeys(key for key, _, _ in itertools.compress(chosen, late))
        fits = [key for key in helps if stays + sizes[key] <= room]
        if not fits:
            return
        best = _best_candidates(known, sizes, fits, rate)
        totals = [*itertools.accumulate(map(sizes.__getitem__, best), initial=stays)]
        streamed.difference_update(best[: bisect_right(totals, room) - 1])


def _late_transfers(
    rows: Sequence[tuple[Key, Chunk, float]], computed: ComputeCycles, window: int
) -> tuple[Sequence[bool], float | None]:
    """Return (per transfer, whether the run waits for it; cycles of the run); cycles are None if a
    transfer does not fit in the window."""
    chunks = [chunk for _, chunk, _ in rows]
    begins, stuck = schedule_in_window(chunks, window)
    if stuck is None:
        costs = [cycles for _, _, cycles in rows]
        times = timeline(costs, begins, [chunk.first for chunk in chunks], computed)
        return times.late, times.cycles
    blocked = chunks[stuck].first
    return [chunk.first <= blocked <= chunk.last for chunk in chunks[: stuck + 1]], None


def _best_candidates(
    known: Mapping[Key, Sequence[Chunk]],
    sizes: Mapping[Key, int],
    fits: Sequence[Key],
    rate: L3TransferCost,
) -> list[Key]:
    """Return the candidates that save the most cycles per byte: one if there are few candidates,
    otherwise a fraction of them."""

    def worth(key: Key) -> tuple[float, int]:
        """Return (cycles saved per byte, minus the first layer that needs the constant), to rank
        constants."""
        saved = sum(rate.cycles(chunk) * chunk.turns for chunk in known[key])
        return saved / sizes[key], -key[0]

    count = 1 if len(fits) <= ONE_BY_ONE else len(fits) // SHARES
    return sorted(fits, key=worth, reverse=True)[:count]


def fill(
    known: Mapping[Key, Sequence[Chunk]],
    streamed: frozenset[Key],
    computed: ComputeCycles,
    room: int,
    rate: L3TransferCost,
) -> list[Key]:
    """Return the streamed constants, in order of use, that can stay in L2 without making a run
    slower.

    streamed   the constants streamed so far
    known, computed, room, rate   as in `residences`
    """
    sizes, left, found = sizes_bytes(known), {*streamed}, []
    rows = [row for row in _chunk_rows(known, rate) if row[0] in left]
    cycles = _run_cycles(rows, computed, room - _resident_bytes(sizes, left))
    in_order_of_use, count = sorted(streamed), -(-len(streamed) // ONE_BY_ONE)
    for at in range(0, len(in_order_of_use), max(count, 1)):
        keys = in_order_of_use[at : at + count]
        tried = left.difference(keys)
        fewer = [row for row in rows if row[0] in tried]
        now = _run_cycles(fewer, computed, room - _resident_bytes(sizes, tried))
        if now is not None and (cycles is None or now <= cycles):
            left, rows, cycles = tried, fewer, now
            found += keys
    return found


def sizes_bytes(known: Mapping[Key, Sequence[Chunk]]) -> dict[Key, int]:
    """Return the bytes of L2 that each constant takes if it is resident; equal ones are counted
    once.

    known   as in `residences`
    """
    return {
        key: sum(p.room_bytes for p in chunks if (p.step, p.array) == key)
        for key, chunks in known.items()
    }


def _resident_bytes(sizes: Mapping[Key, int], streamed: Collection[Key]) -> int:
    return sum(size for key, size in sizes.items() if key not in streamed)


def _chunk_rows(known: Mapping[Key, Sequence[Chunk]], rate: L3TransferCost) -> list[Row]:
    """Return (constant, chunk, transfer cycles) for all chunks, in order of use."""
    owner = {(p.step, p.array): key for key, chunks in known.items() for p in chunks}
    chunks = in_order([p for chunks in known.values() for p in chunks])
    return [(owner[p.step, p.array], p, rate.cycles(p)) for p in chunks]


def _run_cycles(rows: Sequence[Row], computed: ComputeCycles, window: int) -> float | None:
    """Return the cycles of a run with these transfers in `window` bytes of L2; None if it is too
    small."""
    l3_transfers = [chunk for _, chunk, _ in rows]
    begins, stuck = schedule_in_window(l3_transfers, window)
    if stuck is not None or window < 0:
        return None
    costs = [cycles for _, _, cycles in rows]
    return timeline(costs, begins, [p.first for p in l3_transfers], computed).cycles


def most_read(chunks: Sequence[Chunk]) -> int:
    """Return the maximum number of bytes of these chunks that one timeline step needs in L2."""
    change: dict[int, int] = {}
    for chunk in chunks:
        change[chunk.first] = change.get(chunk.first, 0) + chunk.room_bytes
        change[chunk.last + 1] = change.get(chunk.last + 1, 0) - chunk.room_bytes
    return max(itertools.accumulate(change[step] for step in sorted(change)), default=0)


def _small_constants(sizes: Mapping[Key, int], room: int) -> Iterator[Key]:
    taken = 0
    for key in sorted(sizes, key=lambda key: (sizes[key], key)):
        taken += sizes[key]
        if sizes[key] > SMALL_BYTES or taken > room // SMALL_SHARE:
            return
        yield key


# Bytes of the smallest arrays that are stored once in builds whose weights another training may
# replace: smaller ones, numbers and tables, may be equal by chance.
SHARED_FROM = 2049

# --- equal constants ------------------------------------------------------------------------------


def owners(arrays: Iterable[tuple[K, Array]], shared_from: int = 0) -> dict[K, K]:
    """Map the name of every array to the name of the first array with the same type and bytes.

    shared_from   bytes of the smallest arrays that are stored once
    """
    first: dict[tuple[str, bytes], K] = {}
    return {
        key: first.setdefault((a.dtype.str, content_digest(a.tobytes())), key)
        if a.nbytes >= shared_from
        else key
        for key, a in arrays
    }


def stored_once(
    l3_transfers: Sequence[L3Transfer], digest: Callable[[Chunk], bytes]
) -> list[L3Transfer]:
    """Return the transfers with constants of equal bytes stored once in L3; feature maps are
    unchanged.

    digest   chunk -> digest of its bytes
    """
    known: dict[bytes, int] = {}
    placed, end = [], 0
    for x in l3_transfers:
        if not x.chunk.tensor:
            at = known.setdefault(digest(x.chunk), end)
            end = max(end, at + x.chunk.room_bytes)
        placed.append(x if x.chunk.tensor else replace(x, l3=at))
    return placed


def content_digest(content: bytes) -> bytes:
    """Return a digest, equal for equal bytes."""
    return hashlib.sha256(content).digest()
