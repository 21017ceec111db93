# SPDX-License-Identifier: Apache-2.0
"""Levels of streamed chunks, held against all other choices for drawn runs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from statistics import median

import numpy as np
import pytest

from myoedge.plan.levels.distribution import distribute, transfer_rates
from myoedge.plan.levels.transfers import ComputeCycles, schedule_in_window, timeline
from myoedge.plan.timeline import Chunk, LoopSteps
from myoedge.targets.memories import MemoryLevel

ROOM_BYTES = 1 << 20


def levels_of(rates: Sequence[float], rooms: Sequence[int]) -> list[MemoryLevel]:
    """Levels of channels of their own, the first with the dearest bytes."""
    rows = enumerate(zip(rates, rooms, strict=True))
    return [
        MemoryLevel(f"level {n}", room, rate, 250.0, (0.0, 600.0 / 5**n, 900.0), channel=f"own {n}")
        for n, (rate, room) in rows
    ]


def cycles_of(
    chunks: Sequence[Chunk],
    begins: Sequence[int],
    computed: ComputeCycles,
    levels: Sequence[MemoryLevel],
) -> float:
    costs, channels = transfer_rates(chunks, levels)
    return timeline(costs, begins, [x.first for x in chunks], computed, channels).cycles


def drawn_share(seed: int) -> float:
    """Return the cycles of the levels chosen for a drawn run, of those of the best choice."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(6, 9))
    turns = int(rng.choice([1, 20]))
    sizes = 1024 * rng.integers(1, 5, count)
    chunks = [Chunk(n, "w", 0, int(b), n + 1, n + 1, turns=turns) for n, b in enumerate(sizes)]
    steps = tuple(float(x) for x in rng.choice([0, 100, 1000, 3000], count + 2))
    computed = ComputeCycles(steps, (), (LoopSteps(0, count + 2, turns),))
    begins, stuck = schedule_in_window(chunks, int(rng.choice([9000, 14_000, 20_000])))
    assert stuck is None
    levels = levels_of(
        (0.5, float(rng.choice([0.5, 1.19, 2.0]))),
        (ROOM_BYTES, int(rng.choice([ROOM_BYTES, 8000]))),
    )
    sized = [
        found
        for found in itertools.product(levels, repeat=count)
        if all(
            sum(x.size_bytes for x, own in zip(chunks, found, strict=True) if own is level)
            <= level.room_bytes
            for level in levels
        )
    ]
    best = min(cycles_of(chunks, begins, computed, found) for found in sized)
    chosen = distribute(chunks, range(count), computed, begins, levels)
    return cycles_of(chunks, begins, computed, chosen) / best


def test_levels_of_chunks_are_close_to_the_best_of_all_choices() -> None:
    shares = [drawn_share(seed) for seed in range(24)]
    assert max(shares) < 1.3
    assert median(shares) < 1.1


@pytest.mark.parametrize("rates", [(0.5, 1.19), (0.5, 1.19, 0.8), (1.0, 1.0)])
def test_channels_of_a_loop_end_together(rates: tuple[float, ...]) -> None:
    """Each step of the loop reads 64 chunks and computes next to nothing: all channels are busy
    until its end, which is what all bytes take at the sum of the rates."""
    count, size_bytes, turns = 64, 8192, 50
    chunks = [
        Chunk(n, "w", 0, size_bytes, n + 1, n + 1, earliest=1, turns=turns) for n in range(count)
    ]
    computed = ComputeCycles((1.0,) * (count + 1), (), (LoopSteps(1, count + 1, turns),))
    levels = levels_of(rates, (ROOM_BYTES,) * len(rates))
    chosen = distribute(chunks, range(count), computed, [1] * count, levels)
    step = (cycles_of(chunks, [1] * count, computed, chosen) - 1) / turns
    assert step < 1.08 * count * size_bytes / sum(rates)
