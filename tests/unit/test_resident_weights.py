# SPDX-License-Identifier: Apache-2.0
"""Which constants stay in L2, of more than can be judged one by one; bytes of those from L3."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from myoedge.plan.cost.network import modelled_cycles, moved_bytes
from myoedge.plan.l1.prefetch import MOST_AHEAD, latest_starts
from myoedge.plan.levels import residency, weight_streaming
from myoedge.plan.levels.distribution import distribute, transfer_rates
from myoedge.plan.levels.equal_constants import SHARED_FROM
from myoedge.plan.levels.residency import ONE_BY_ONE, SMALL_BYTES, WeightResidency, fill, residences
from myoedge.plan.levels.transfers import ComputeCycles, schedule_in_window, timeline
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.plan.timeline import Chunk, LoopSteps
from myoedge.targets import find_chip
from myoedge.targets.memories import MemoryLevel
from tests.e2e.test_less_l2 import quantized
from tests.support.each import each

COUNT, SIZE = 3 * ONE_BY_ONE, SMALL_BYTES + 4
KNOWN = {(at, "weights", 0): [Chunk(at, "weights", 0, SIZE, at, at)] for at in range(COUNT)}
ROOM = COUNT * SIZE // 2
COMPUTED = ComputeCycles((10.0,) * COUNT)
LEVELS = (MemoryLevel("l3", 1 << 25, bytes_per_cycle=0.5, start_cycles=100),)


def test_of_many_arrays_several_stay_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are late: L3 takes longer than the cores. As many stay as have room beside transfers."""
    calls, schedule_in_window = [0], residency.schedule_in_window

    def counted(*given: Any) -> Any:
        calls[0] += 1
        return schedule_in_window(*given)

    monkeypatch.setattr(residency, "schedule_in_window", counted)
    best = residences(KNOWN, COMPUTED, ROOM, LEVELS, ROOM)[0]
    assert calls[0] < COUNT // 4
    assert ROOM - (COUNT // 8) * SIZE < best.resident_bytes <= ROOM
    more = fill(KNOWN, best.streamed, COMPUTED, ROOM, LEVELS)
    assert {*more} <= best.streamed
    assert best.resident_bytes + len(more) * SIZE <= ROOM


@pytest.mark.parametrize(("room_bytes", "pads"), [(400_000, True), (150_000, False)])
def test_a_network_that_waits_for_l3_has_kernels_without_padded_weights(
    room_bytes: int, pads: bool
) -> None:
    """The fastest kernel with weights in L2 sums 13 parts of 256 products, of which 3,200 are not
    zero; the loads from L3 of rows that do not fit in L2 take several times its cycles."""
    torch.manual_seed(0)
    x, channels = torch.zeros(1, 3200), 60
    calib = np.random.default_rng(0).standard_normal((4, *x.shape), np.float32)
    layers = nn.Sequential(nn.Linear(3200, channels), nn.ReLU()).eval()
    network = quantized(torch.export.export(layers, (x,)), calib)
    gap9 = find_chip("gap9")
    plan = make_plan(network, replace(gap9, l2_bytes=gap9.l2_reserved_bytes + room_bytes))
    weights = plan.stored(0)["weights"].nbytes
    assert weights == channels * (13 * 256 if pads else 3200)
    assert (moved_bytes(plan)["l3"] > 0) == (not pads)


def test_of_choices_the_fastest_as_placed_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses delay transfers: the choice that seems fastest by sizes alone may be slow."""
    rng, gap9 = np.random.default_rng(0), find_chip("gap9")
    torch.manual_seed(0)
    widths = rng.integers(60, 260, 8).tolist()
    layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(widths)]
    calib = rng.standard_normal((4, 1, widths[0]), np.float32)
    model = torch.export.export(nn.Sequential(*layers).eval(), (torch.zeros(1, widths[0]),))
    network = quantized(model, calib)
    room_bytes = sum(a * b for a, b in pairwise(widths)) * 3 // 5

    def cycles(choose: Callable[[list[WeightResidency]], list[WeightResidency]]) -> float:
        """With some of the choices, in the order of `choose`."""
        monkeypatch.setattr(
            weight_streaming,
            "residences",
            lambda *given, **more: choose(residences(*given, **more)),
        )
        chip = replace(gap9, l2_bytes=gap9.l2_reserved_bytes + room_bytes)
        return modelled_cycles(make_plan(network, chip))

    def slowest(found: list[WeightResidency]) -> list[WeightResidency]:
        return [replace(choice, cycles=0.0) for choice in found[-1:]]

    all_of_them = cycles(lambda found: found)
    assert cycles(lambda found: [*slowest(found), *found]) == all_of_them < cycles(slowest)


class Alike(nn.Module):
    """Layers of which every other one has the weights of the first."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(count))
        for layer in self.layers[2::2]:
            layer.load_state_dict(self.layers[0].state_dict())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x


def shared_bytes(plan: Plan) -> set[int]:
    """Sizes of the constants that have one place in L2 or L3 with another."""
    places: dict[object, list[int]] = {}
    for (index, name), owner in plan.owners.items():
        moved = tuple(x.address for x in plan.streamed.get(owner, ()))
        places.setdefault(moved or owner, []).append(plan.stored(index)[name].nbytes)
    return {sizes[0] for sizes in places.values() if len(sizes) > 1}


@pytest.mark.parametrize(("count", "width", "l2_bytes"), [(3, 64, None), (24, 16, 4000)])
def test_small_constants_that_another_training_may_change_are_stored_apart(
    count: int, width: int, l2_bytes: int | None
) -> None:
    """Two of them that are equal in one training need not be in another, and then the layout of the
    model would be another one."""
    torch.manual_seed(0)
    x = torch.zeros(1, width)
    calib = np.random.default_rng(0).standard_normal((4, *x.shape), np.float32)
    network = quantized(torch.export.export(Alike(count, width).eval(), (x,)), calib)
    gap9 = find_chip("gap9")
    chip = gap9 if l2_bytes is None else replace(gap9, l2_bytes=l2_bytes, l2_reserved_bytes=0)
    fixed, replaceable = (make_plan(x, chip) for x in (network, network.with_numbers_as_data))
    assert bool(replaceable.streamed) == (l2_bytes is not None)
    assert width * width in shared_bytes(fixed)
    assert shared_bytes(replaceable) == ({width * width} if width * width >= SHARED_FROM else set())


# --- levels ---------------------------------------------------------------------------------------


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
    computed = ComputeCycles(steps, loops=(LoopSteps(0, count + 2, turns),))
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
    computed = ComputeCycles((1.0,) * (count + 1), loops=(LoopSteps(1, count + 1, turns),))
    levels = levels_of(rates, (ROOM_BYTES,) * len(rates))
    chosen = distribute(chunks, range(count), computed, [1] * count, levels)
    step = (cycles_of(chunks, [1] * count, computed, chosen) - 1) / turns
    assert step < 1.08 * count * size_bytes / sum(rates)


# --- transfers ahead ------------------------------------------------------------------------------


SPARE, FETCH = (0.0, 10.0, 1e3), (0.0, 10.0, 1e3, 1e5)


@each("seed", range(50))
def test_a_fetch_starts_within_reach_of_its_layer_and_in_turn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tiles = int(rng.integers(1, 60))
    spare = rng.choice(SPARE, tiles).tolist()
    firsts = np.unique(rng.integers(1, tiles + 1, 6)).tolist()
    fetches = [(first, float(rng.choice(FETCH))) for first in firsts]
    found = latest_starts(fetches, spare)
    assert found == sorted(found)
    for first, tile in zip(firsts, found, strict=True):
        assert max(first - MOST_AHEAD, 0) <= tile < first


Fetches = Sequence[tuple[int, float]]


def over(fetches: Fetches, begins: Sequence[int], spare: Sequence[float]) -> list[int]:
    """The tile in which each fetch is over, the DMA working them off in turn in what is spare."""
    left, found, tile = list(spare), [], 0
    for (_, cycles), begin in zip(fetches, begins, strict=True):
        tile, need = max(tile, begin), cycles
        while tile < len(left) and need > left[tile]:
            need -= left[tile]
            left[tile] = 0.0
            tile += 1
        if tile < len(left):
            left[tile] -= need
        found.append(tile)
    return found


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[tuple[int, float]], list[float]]:
    spare = draw(st.lists(st.integers(0, 9).map(float), min_size=2, max_size=40))
    firsts = draw(st.lists(st.integers(1, len(spare) - 1), unique=True, max_size=8).map(sorted))
    return [(first, float(draw(st.integers(1, 25)))) for first in firsts], spare


@settings(deadline=None)
@given(networks())
def test_fetches_are_over_in_time_where_that_can_be(
    drawn: tuple[list[tuple[int, float]], list[float]],
) -> None:
    fetches, spare = drawn
    earliest = [max(first - MOST_AHEAD, 0) for first, _ in fetches]
    begins = latest_starts(fetches, spare)
    ends = over(fetches, earliest, spare)
    if all(end < first for end, (first, _) in zip(ends, fetches, strict=True)):
        found = over(fetches, begins, spare)
        assert all(end < first for end, (first, _) in zip(found, fetches, strict=True))


@pytest.mark.parametrize(
    ("spare", "begin"),
    [
        ([9.0] * 6, 5),  # beside the tile in front of its layer
        ([9.0, 9.0, 9.0, 9.0, 9.0, 4.0], 4),
        ([0.0, 0.0, 0.0, 3.0, 0.0, 1.0], 2),  # too little: behind what leaves the DMA idle first
        ([0.0] * 6, 4),
    ],
)
def test_a_fetch_starts_as_late_as_may_be(spare: list[float], begin: int) -> None:
    assert latest_starts([(6, 9.0)], [*spare, 0.0]) == [begin]
