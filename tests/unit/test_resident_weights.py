# SPDX-License-Identifier: Apache-2.0
"""Which constants stay in L2, of more than can be judged one by one; bytes of those from L3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.plan.cost.network import modelled_cycles, moved_bytes
from myoedge.plan.levels import residency, weight_streaming
from myoedge.plan.levels.equal_constants import SHARED_FROM
from myoedge.plan.levels.residency import (
    ONE_BY_ONE,
    SMALL_BYTES,
    WeightResidency,
    fill,
    residences,
)
from myoedge.plan.levels.transfers import ComputeCycles
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.plan.timeline import Chunk
from myoedge.targets import find_chip
from myoedge.targets.memories import MemoryLevel
from tests.e2e.test_less_l2 import quantized

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
