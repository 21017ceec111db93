# SPDX-License-Identifier: Apache-2.0
"""Which feature maps go to L3: those at the peak of L2, as many at once as must; room for code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from myoedge.building.budget import Budget, within
from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.export import from_exported
from myoedge.passes import prepare
from myoedge.plan.levels import spill
from myoedge.plan.lowered import LoweredNetwork
from myoedge.plan.packing import place
from myoedge.plan.placement import LiveRange, Placement, Replacement, lower_bound, peak
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import LINKED_CODE_BYTES, make_plan
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from myoedge.targets import find_chip

SHAPE = (1, 8, 40, 40)  # 12,800 B
BLOCKS = 6


class TwoPeaks(nn.Module):
    """Results of several layers wait for their sums; much later the largest map is alone."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(BLOCKS))
        self.pool = nn.AvgPool2d(8)
        self.widen = nn.ConvTranspose2d(8, 9, 8, stride=8)
        self.narrow = nn.Conv2d(9, 1, 8, stride=8)

    def forward(self, x: Tensor) -> Tensor:
        waiting = []
        for layer in self.before:
            x = torch.tanh(layer(x))
            waiting.append(x)
        for y in reversed(waiting):
            x = x * y
        return self.narrow(torch.relu(self.widen(self.pool(x))))


def planned(l2_bytes: int) -> tuple[Plan, int]:
    """The plan in so much of L2, and how often its buffers were placed."""
    torch.manual_seed(0)
    graph = prepare(from_exported(torch.export.export(TwoPeaks().eval(), (torch.zeros(SHAPE),))))
    x = np.random.default_rng(0).standard_normal((1, *SHAPE)).astype(np.float32)
    q = quantize_graph(graph, calibrate(graph, {"x": x}, Observer(), "random"))
    counted: list[int] = []

    def placing(
        lives: Sequence[LiveRange], alignment: int, may_replace: Sequence[Replacement] = ()
    ) -> Placement:
        counted.append(len(lives))
        return place(lives, alignment, may_replace)

    chip = find_chip("gap9")
    reserved = chip.l2_bytes - chip.l2_room_bytes
    chip = replace(chip, l2_bytes=l2_bytes + reserved, l1_bytes=40 << 10)
    return make_plan(q, chip, placing=placing), len(counted)


def test_maps_that_are_not_at_the_peak_stay_in_l2() -> None:
    plan, _ = planned(64 << 10)
    sizes = {life.name: life.size_bytes for life in plan.lives}
    largest = {name for name, size in sizes.items() if size == 9 * 40 * 40}
    assert plan.maps
    assert largest
    assert not largest & {*plan.maps}


def test_as_many_maps_as_must_leave_are_planned_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A further size of parts takes no more plans than the first one."""
    (_, compared), sizes = planned(48 << 10), len(spill.PARTS)
    monkeypatch.setattr(spill, "PARTS", spill.PARTS[:1])
    (wide, _), (narrow, placed) = planned(1 << 20), planned(48 << 10)
    assert compared <= sizes * placed
    assert not wide.maps
    assert len(narrow.maps) >= 3
    assert placed < len(narrow.maps) + 3


@pytest.mark.parametrize(("l2_bytes", "is_tried"), [(400, False), (3 << 10, True)])
def test_no_map_leaves_l2_for_a_layer_that_reads_more_constants_than_all_of_it(
    monkeypatch: pytest.MonkeyPatch, l2_bytes: int, is_tried: bool
) -> None:
    """Convolutions read 960 B at once wherever their maps lie; the transposed one's 5,184 B are
    fewer where its result leaves in parts. One plan with all maps in L3 tells what is needed."""
    tried: list[int] = []
    monkeypatch.setattr(spill, "_plan_with_maps", lambda n, plan, maps, *_: tried.append(len(maps)))
    with pytest.raises(MyoedgeError) as found:
        planned(l2_bytes)
    assert found.value.notice.code == "E301"
    assert (len(tried) > 3) == is_tried  # one plan on NE16, on the cores, by bytes


class Many(nn.Module):
    """Many small maps, of which none is at the peak, before the weights of one large layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(12 + n, 13 + n) for n in range(40))
        self.last = nn.Linear(52, 52)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return self.last(x)


def test_maps_that_do_not_help_are_not_tried_one_after_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The least L2 is known after a few; all 40 in three sizes of parts took a minute in loops."""
    torch.manual_seed(0)
    graph = prepare(from_exported(torch.export.export(Many().eval(), (torch.zeros(1, 12),))))
    x = np.random.default_rng(0).standard_normal((1, 1, 12)).astype(np.float32)
    q = quantize_graph(graph, calibrate(graph, {"x": x}, Observer(), "random"))
    tried: list[int] = []
    made = spill._plan_with_maps

    def counted(n: LoweredNetwork, plan: Plan, maps: Sequence[str], *more: Any) -> Plan | None:
        tried.append(len(maps))
        return made(n, plan, maps, *more)

    monkeypatch.setattr(spill, "_plan_with_maps", counted)
    monkeypatch.setattr(spill, "_cannot_fit", lambda *_: False)
    chip = find_chip("gap9").cores_alone()
    reserved = chip.l2_bytes - chip.l2_room_bytes
    with pytest.raises(MyoedgeError, match="E301"):
        make_plan(q, replace(chip, l2_bytes=100 + reserved))
    assert 0 < len(tried) <= 2 * len(spill.PARTS) * (spill.MOST_IDLE + 4)  # by cycles, by bytes


def test_a_loop_that_needs_more_than_l2_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No map outside of it makes room for its states; one plan tells what is needed."""

    class Loop(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            state, rows = torch.zeros(1, 300), []
            for row in (x * x.flip(2) * x.flip(1)).unbind(1):
                state = torch.softmax(state * 0.5 + row, 1)
                rows.append(state)
            return torch.stack(rows, 1).amax(1)

    graph = prepare(from_exported(torch.export.export(Loop().eval(), (torch.zeros(1, 30, 300),))))
    x = np.random.default_rng(0).standard_normal((1, 1, 30, 300)).astype(np.float32)
    q = quantize_graph(graph, calibrate(graph, {"x": x}, Observer(), "random"))
    tried: list[int] = []
    monkeypatch.setattr(spill, "_plan_with_maps", lambda n, plan, maps, *_: tried.append(len(maps)))
    chip = find_chip("gap9").cores_alone()
    reserved = chip.l2_bytes - chip.l2_room_bytes
    with pytest.raises(MyoedgeError, match="E301"):
        make_plan(q, replace(chip, l2_bytes=12_000 + reserved))
    assert len(tried) == 2  # by cycles, by bytes


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(0, 9), st.integers(0, 5)), max_size=9))
def test_the_peak_is_the_first_step_with_most_bytes(found: list[tuple[int, int, int]]) -> None:
    lives = [LiveRange(str(n), size, at, at + more) for n, (size, at, more) in enumerate(found)]
    alive = [
        sum(-(-x.size_bytes // 8) * 8 for x in lives if x.first <= t <= x.last) for t in range(16)
    ]
    assert peak(lives, 8) == (max(alive), alive.index(max(alive)))
    assert lower_bound(lives, 8) == max(alive)


class Long(nn.Module):
    """Layers of which no part repeats often enough for a loop."""

    def forward(self, x: Tensor) -> Tensor:
        for index in (0, 1, 2, 2, 0, 1, 1, 0, 2, 0, 0, 1):
            x = torch.tanh(x * x[:, index:][:, :1]).softmax(-1)
        return x


def test_more_layers_than_the_estimate_of_code_has_room_for_are_planned_for_less_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("targets.chip", "plan.schedule"):
        monkeypatch.setattr(f"myoedge.{module}.LAYERS", 4)
    program = torch.export.export(Long().eval(), (torch.zeros(1, 4),))
    graph = prepare(from_exported(program))
    x = np.random.default_rng(0).standard_normal((1, 1, 4)).astype(np.float32)
    q = quantize_graph(graph, calibrate(graph, {"x": x}, Observer(), "random"))
    chip = find_chip("gap9")
    layers = len(make_plan(q, chip).steps) - 4
    assert layers > 4
    too_much = replace(chip, layer_code_bytes=chip.l2_room_bytes)
    assert make_plan(q, too_much).l2_room_bytes == chip.l2_room_bytes - layers * LINKED_CODE_BYTES
    with pytest.raises(MyoedgeError, match="E301"):
        make_plan(q, replace(too_much, l2_bytes=chip.l2_reserved_bytes + 16))


def test_a_budget_of_data_leaves_code_the_rest() -> None:
    chip = find_chip("gap9")
    limited = within(chip, Budget(l2_bytes=chip.l2_bytes // 2))
    assert limited.l2_room_bytes == limited.l2_bytes == chip.l2_bytes // 2
    assert limited.l2_reserved_bytes == chip.l2_reserved_bytes - chip.l2_bytes // 2
