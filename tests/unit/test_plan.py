# SPDX-License-Identifier: Apache-2.0
"""Placement against brute checks, views against numpy's own pointers, aliasing through the C."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

import myoedge
from myoedge.building.budget import Budget
from myoedge.building.plan_within import plan_within
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import TiledKernel
from myoedge.plan.chain_choice import join_chains
from myoedge.plan.chains import JoinableLayers
from myoedge.plan.l1 import layer_kernels
from myoedge.plan.l1.tile_search import TileChoice, TilingProblem, choices
from myoedge.plan.lowering import contiguous_slice
from myoedge.plan.packing import place
from myoedge.plan.placement import LiveRange, Placement, lower_bound
from myoedge.plan.plan import Plan, l1_room_bytes
from myoedge.plan.schedule import make_plan
from myoedge.quantization.scales import QuantGraph
from myoedge.targets import Chip, find_chip
from myoedge.targets.chip import Engine
from myoedge.targets.costs import KernelCost
from tests.conftest import save_exported
from tests.support.networks.small import Two
from tests.unit.test_report import quantized, residual


@st.composite
def buffers(draw: st.DrawFn) -> list[LiveRange]:
    count = draw(st.integers(1, 14))
    lives = []
    for i in range(count):
        first = draw(st.integers(0, 10))
        size = draw(st.integers(1, 400))
        lives.append(LiveRange(f"b{i}", size, first, first + draw(st.integers(0, 5))))
    return lives


def at_each_step(lives: Sequence[LiveRange]) -> int:
    """Bytes alive at the fullest step, counted step by step in words of 4."""
    last = max(life.last for life in lives)
    words = [
        sum((b.size_bytes + 3) // 4 for b in lives if b.first <= step <= b.last)
        for step in range(last + 1)
    ]
    return 4 * max(words)


def legal(lives: Sequence[LiveRange], found: Placement) -> None:
    """No byte belongs to two buffers at one step; all lie inside the arena, on words."""
    last = max(life.last for life in lives)
    for step in range(last + 1):
        taken: set[int] = set()
        for life in (b for b in lives if b.first <= step <= b.last):
            at = found.offsets[life.name]
            own = set(range(at, at + life.size_bytes))
            assert at % 4 == 0
            assert not taken & own, f"{life} at step {step}"
            assert max(own) < found.arena_bytes
            taken |= own


@settings(max_examples=60, deadline=None)
@given(buffers())
def test_placement_is_legal_and_not_above_greedy(lives: list[LiveRange]) -> None:
    found = place(lives, 4)
    legal(lives, found)
    assert found.lower_bound_bytes == at_each_step(lives)
    assert found.lower_bound_bytes <= found.arena_bytes
    assert place(lives, 4) == found, "the same offsets again"


@settings(max_examples=30, deadline=None)
@given(buffers())
def test_greedy_alone_without_ortools(lives: list[LiveRange]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "ortools.sat.python", None)
        alone = place(lives, 4)
    legal(lives, alone)
    assert alone.proven == (alone.arena_bytes == lower_bound(lives, 4))
    assert place(lives, 4).arena_bytes <= alone.arena_bytes


def test_solver_beats_greedy_where_it_can() -> None:
    """Largest first leaves b no room at 16; the optimum is found by trying every placement."""
    lives = [
        LiveRange("a", 8, 3, 4),
        LiveRange("b", 4, 2, 3),
        LiveRange("c", 12, 4, 4),
        LiveRange("d", 12, 0, 0),
        LiveRange("e", 16, 1, 2),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "ortools.sat.python", None)
        greedy = place(lives, 4)
    best = min(
        max(at[life.name] + life.size_bytes for life in lives)
        for at in _all_offsets(lives, range(0, 24, 4))
    )
    found = place(lives, 4)
    assert (found.arena_bytes, found.proven) == (best, True) == (20, True)
    assert (greedy.arena_bytes, greedy.proven) == (24, False)


def _all_offsets(lives: Sequence[LiveRange], choices: Sequence[int]) -> list[dict[str, int]]:
    """Every legal way to place a few buffers."""
    names = [life.name for life in lives]
    legal_ones = []
    for offsets in itertools.product(choices, repeat=len(lives)):
        at = dict(zip(names, offsets, strict=True))
        apart = all(
            at[a.name] + a.size_bytes <= at[b.name] or at[b.name] + b.size_bytes <= at[a.name]
            for a, b in itertools.combinations(lives, 2)
            if max(a.first, b.first) <= min(a.last, b.last)
        )
        if apart:
            legal_ones.append(at)
    return legal_ones


@st.composite
def cuts(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[tuple[int, int, int], ...]]:
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    chosen = []
    for n in shape:
        start = draw(st.integers(0, n - 1))
        stop = draw(st.integers(start + 1, n))
        chosen.append((start, stop, draw(st.integers(1, 2))))
    return shape, tuple(chosen)


@settings(max_examples=400, deadline=None)
@given(cuts())
def test_views_are_what_numpy_says_is_contiguous(
    drawn: tuple[tuple[int, ...], tuple[tuple[int, int, int], ...]],
) -> None:
    shape, chosen = drawn
    array = np.zeros(shape, np.int8)
    view = array[tuple(slice(*cut) for cut in chosen)]
    first = view.ctypes.data - array.ctypes.data if view.flags.c_contiguous else None
    assert contiguous_slice(shape, chosen) == first


class Borders(nn.Module):
    """Outputs that are inputs, views, slices, each other, and used inside; an input unused."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(8, 8)

    def forward(self, x: Tensor, unused: Tensor) -> tuple[Tensor, ...]:
        y = torch.relu(self.a(x))
        z = y + 1.0
        return y, z, y.reshape(2, 16), x, z[:2], z[2:, :], x.reshape(-1), y, z.argmax(1), z[1:3, 4:]


def test_outputs_that_share_bytes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Borders()
    save_exported(model, (torch.randn(4, 8), torch.randn(3)), tmp_path / "m.pt2")
    rng = np.random.default_rng(0)
    arrays = {
        "x": rng.standard_normal((32, 4, 8), np.float32),
        "unused": rng.standard_normal((32, 3), np.float32),
    }
    build = myoedge.build(tmp_path / "m.pt2", calib=arrays, output=tmp_path / "out")
    assert myoedge.validate(build, input=arrays).difference is None
    with torch.no_grad():
        wanted = [y.numpy() for y in model(*(torch.from_numpy(v[0]) for v in arrays.values()))]
    found = build.run([arrays["x"][0], arrays["unused"][0]])
    for i, (real, got) in enumerate(zip(wanted, found, strict=True)):
        assert got.shape == real.shape
        if i != 8:
            assert np.abs(real - got).max() < 0.1, i


def test_layers_that_are_alike_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deeper network takes no more searches for tiles, though every layer has its own scales:
    12 blocks have sums of each width."""
    searched: list[str] = []

    def counting(problem: TilingProblem, *rest: Any) -> list[TileChoice]:
        searched.append(problem.kernel.function)
        return choices(problem, *rest)

    def searches(blocks: int) -> int:
        searched.clear()
        made = make_plan(quantized(residual(blocks=blocks)), find_chip("gap9").cores_alone())
        assert len(made.steps) == 3 * blocks
        return len(searched)

    monkeypatch.setattr("myoedge.plan.l1.tile_choice.choices", counting)
    assert 0 < searches(36) == searches(12)


def test_the_layers_of_a_network_are_joined_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search plans a network before the build plans it; another layer or chip counts anew."""
    joined: list[int] = []

    def counting(layers: JoinableLayers, cycles: Any) -> tuple[QuantizedNode, ...]:
        joined.append(len(layers.steps))
        return join_chains(layers, cycles)

    monkeypatch.setattr("myoedge.plan.fused_layers.join_chains", counting)
    q, chip = quantized(residual()), find_chip("gap9")
    first, again = (make_plan(x, chip) for x in (q, replace(q)))
    assert first.steps == again.steps
    assert len(joined) == 1
    make_plan(q, chip.cores_alone())
    make_plan(replace(q, steps=(*q.steps[:-1], replace(q.steps[-1], low=-127))), chip)
    assert len(joined) == 3


def test_a_build_takes_the_plan_of_its_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that no plan depends on change nothing; another network, chip or limit counts anew."""
    planned: list[int] = []

    def counting(q: QuantGraph, chip: Chip, **options: Any) -> Plan:
        planned.append(chip.l1_bytes)
        return make_plan(q, chip, **options)

    monkeypatch.setattr("myoedge.plan.planned_once.make_plan", counting)
    q, chip = quantized(residual()), find_chip("gap9")
    plans = [plan_within(q, chip.at("low"), Budget(latency_s=x)) for x in (None, 0.1)]
    assert plans[0] is plans[1]
    assert len(planned) == 1
    less = plan_within(q, chip.at("low"), Budget(l1_bytes=65536))
    assert less.chip.l1_bytes == planned[-1] == 65536
    plan_within(q, chip, Budget())
    plan_within(replace(q), chip, Budget())
    assert len(planned) == 4


def test_kernels_of_a_layer_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search plans a network several times; a changed layer and other engines count anew."""
    made: list[str] = []

    def counting(kernel: TiledKernel, engine: Engine) -> KernelCost:
        made.append(engine.name)
        return cost_of(kernel, engine)

    cost_of = layer_kernels._kernel_cost
    monkeypatch.setattr(layer_kernels, "_kernel_cost", counting)
    step, chip = quantized(residual()).steps[0], find_chip("gap9")
    first, again = (layer_kernels.candidates(step, x) for x in (chip, replace(chip)))
    assert [*map(id, first)] == [*map(id, again)]
    assert len(made) == len(first)
    assert layer_kernels.candidates(step, find_chip("host"))[0] not in first
    assert layer_kernels.candidates(replace(step, low=-5), chip)[0].op != first[0].op


def test_a_chain_leaves_a_layer_to_another_that_saves_more(tmp_path: Path) -> None:
    """The softmax may join the sum of two linear layers, or these may, which saves more."""
    torch.manual_seed(0)
    given = torch.zeros(1, 5), torch.zeros(1, 7)
    model = save_exported(Two().eval(), given, tmp_path / "m.pt2")
    rng = np.random.default_rng(0)
    calib = {
        n: rng.standard_normal((8, *x.shape), np.float32) for n, x in zip("ab", given, strict=True)
    }
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", simulate=False)
    members = [layer["members"] for layer in build.report["layers"]]
    assert members == [["linear", "linear", "add"], [], []]


class HoleInL1(nn.Module):
    """Three sums of 36,864 bytes behind tensors of 50,000: side by side they fit L1, but behind
    the hole that a larger tensor leaves they do not."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        first = a + 0.5 * a.flip(1)
        second = first[:, :36864] + b
        third = second + b
        fourth = second + third
        return (fourth + third + second) + 1.0


def test_resident_tensors_end_inside_l1(tmp_path: Path) -> None:
    """The sum of their sizes is less than L1, where the last one ends would not be."""
    shapes = {"a": (1, 50000), "b": (1, 36864)}
    arguments = tuple(torch.zeros(shape) for shape in shapes.values())
    model = save_exported(HoleInL1().eval(), arguments, tmp_path / "m.pt2")
    rng = np.random.default_rng(0)
    calib = {name: rng.standard_normal((2, *s), np.float32) for name, s in shapes.items()}
    build = myoedge.build(model, calib=calib, output=tmp_path / "out")
    plan = make_plan(build.network, find_chip("gap9"))
    ends = [b.offset + b.size_bytes for t in plan.tilings for b in t.buffers]
    resident = sum(bool(t.resident) for t in plan.tilings)
    assert max(ends) <= l1_room_bytes(plan.chip, len(plan.steps))
    assert resident >= 3, "results still stay in L1"
