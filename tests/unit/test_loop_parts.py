# SPDX-License-Identifier: Apache-2.0
"""A loop is divided in front of products that need only some of its states."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.graph.ir import Graph
from myoedge.operators.turns import loop_of, loop_spans
from myoedge.plan.cost.network import modelled_cycles, moved_bytes
from myoedge.plan.levels import weight_streaming
from myoedge.plan.levels.distribution import distribute
from myoedge.plan.levels.loop_residency import is_held
from myoedge.plan.levels.transfers import ComputeCycles
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.plan.timeline import Chunk, TimelineSteps
from myoedge.quantization.scales import QuantGraph
from myoedge.targets import find_chip
from myoedge.targets.memories import MemoryLevel
from tests.e2e.test_less_l2 import quantized
from tests.support.feedback import EarlyFeedback, LateFeedback
from tests.support.networks.stacks import CELLS, INPUTS, WIDTH, Stack
from tests.unit.test_loops import prepared
from tests.unit.test_memory_levels import check_l2

STEPS = 18  # so that a product of all of them is worth a loop


def stack(cells: list[str], **options: Any) -> Graph:
    """Of a stack, which computes what torch does."""
    torch.manual_seed(len(cells))
    return prepared(Stack(cells, **options), 1, STEPS, INPUTS)


def products_in_loops(graph: Graph) -> int:
    inside = loop_of(graph.nodes)
    return sum(node.op == "linear" and node.name in inside for node in graph.nodes)


@pytest.mark.parametrize("last", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "cells",
    [
        ["fired"] * 4,
        ["summed", "mixed"],
        ["delayed", "fired"],
        # Where a delayed state is the result, a body has two steps: half as many products each.
        *(
            pytest.param([*x], marks=pytest.mark.slow)
            for x in product(CELLS, repeat=2)
            if x[-1] != "delayed"
        ),
    ],
)
def test_layers_of_a_stack_are_loops_of_elements(cells: list[str], last: bool) -> None:
    """Products are in front of the loops; leaky sums are scans."""
    graph = stack(cells, last=last)
    assert products_in_loops(graph) == 0
    nonlinear = sum(cell != "summed" for cell in cells)
    assert len(loop_spans(graph.nodes)) <= len(cells)
    assert len(loop_spans(graph.nodes)) >= nonlinear


@pytest.mark.parametrize("cell", ["fired", "mixed"])
def test_products_of_own_results_stay(cell: str) -> None:
    graph = stack([cell, cell], own=(0, 1))
    assert products_in_loops(graph) >= 2
    assert len(loop_spans(graph.nodes)) == 2


def test_rows_of_the_input_are_read_by_every_loop() -> None:
    graph = stack(["mixed"] * 3, skips=(1, 2))
    assert (products_in_loops(graph), len(loop_spans(graph.nodes))) == (0, 3)


@pytest.mark.parametrize("cell", ["fired", "mixed"])
def test_a_loop_whose_first_layer_reads_the_last_is_whole(cell: str) -> None:
    graph = stack([cell, cell, cell], back=True)
    assert len(loop_spans(graph.nodes)) == 1


def test_a_product_of_few_steps_stays() -> None:
    """Two more layers cost more than such a product saves."""
    network = Stack(["fired", "fired"])
    graph = prepared(network, 1, 12, INPUTS)
    assert 12 * WIDTH * WIDTH < 1 << 14
    assert len(loop_spans(graph.nodes)) == 1


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 40))]
)
def test_drawn_stacks_compute_what_torch_does(seed: int) -> None:
    """`prepared` compares; products of own results alone stay in loops."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 5))
    cells = [str(x) for x in rng.choice([*CELLS], count)]
    own, skips = ([at for at in range(first, count) if rng.random() < 0.4] for first in (0, 1))
    options = {"back": bool(rng.random() < 0.2), "last": bool(rng.random() < 0.5)}
    graph = stack(cells, own=own, skips=skips, **options)
    if not options["back"] and "delayed" not in cells:  # whose loops may have two steps in one
        assert products_in_loops(graph) <= len(own)


# --- constants of loops ---------------------------------------------------------------------------


SHAPE = (1, 4, 4802)


@cache
def network(make: type[nn.Module], shape: tuple[int, ...]) -> QuantGraph:
    torch.manual_seed(0)
    calib = np.random.default_rng(0).standard_normal((4, *shape), np.float32)
    return quantized(torch.export.export(make().eval(), (torch.zeros(shape),)), calib)


def plan_in(
    l2_bytes: int,
    name: str,
    make: type[nn.Module] = LateFeedback,
    shape: tuple[int, ...] = SHAPE,
) -> Plan:
    chip = replace(find_chip("gap9"), l2_bytes=l2_bytes, l2_reserved_bytes=0)
    return make_plan(network(make, shape), chip.with_optional(name) if name else chip)


@pytest.mark.parametrize(("l2_bytes", "name"), [(145_000, ""), (160_000, "mram")])
def test_weights_of_a_loop_are_loaded_once_where_earlier_results_were(
    l2_bytes: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_in(l2_bytes, name)
    (loop,) = plan.timeline_steps.loops
    held = [x for x in plan.transfers if is_held(x.chunk, plan.timeline_steps)]
    assert {x.chunk.turns for x in held} == {1}
    assert all(x.begins <= x.chunk.first < loop.first for x in held)
    assert all(x.chunk.last == loop.end - 1 for x in held)
    assert {x.chunk.step for x in held} <= {*range(plan.timeline_steps.layer(loop.first), 99)}
    check_l2(plan)
    monkeypatch.setattr(weight_streaming, "with_loop_residents", lambda plan, *_: plan)
    without = plan_in(l2_bytes, name)
    assert not any(is_held(x.chunk, without.timeline_steps) for x in without.transfers)
    assert modelled_cycles(plan) < 0.9 * modelled_cycles(without)
    assert sum(moved_bytes(plan).values()) < 0.8 * sum(moved_bytes(without).values())


@pytest.mark.parametrize("name", ["", "mram"])
def test_weights_of_layers_behind_a_loop_are_loaded_during_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without this, they are loaded when the loop has ended."""
    plan = plan_in(230_000, name, EarlyFeedback, (1, 12, 64))
    (loop,) = plan.timeline_steps.loops
    early = [x for x in plan.transfers if x.begins < loop.first and x.needed >= loop.end]
    assert early
    check_l2(plan)

    def after_loops(steps: TimelineSteps, step: int) -> int:
        ends = (border for x in steps.loops for border in (x.first, x.end) if border <= step)
        return max(ends, default=0)

    monkeypatch.setattr(TimelineSteps, "earliest", after_loops)
    late = plan_in(230_000, name, EarlyFeedback, (1, 12, 64))
    assert modelled_cycles(plan) < 0.97 * modelled_cycles(late)


def test_a_fast_level_first_gets_what_is_read_most_often() -> None:
    """Eight chunks read once, eight of a loop read 40 times; the level has room for four."""
    once = [Chunk(n, "w", 0, 1024, n, n) for n in range(8)]
    often = [Chunk(n, "w", 0, 1024, n, n, earliest=8, turns=40) for n in range(8, 16)]
    chunks = [*once, *often]
    slow = MemoryLevel("slow", 1 << 25, bytes_per_cycle=0.5, pj_per_byte=(0.0, 600.0, 900.0))
    fast = MemoryLevel(
        "fast", 4096, bytes_per_cycle=1.0, channel="own", pj_per_byte=(0.0, 20.0, 100.0)
    )
    begins = [x.earliest for x in chunks]
    found = distribute(chunks, range(16), ComputeCycles((1.0,) * 16), begins, (slow, fast))
    names = [level.name for level in found]
    assert names[:8] == ["slow"] * 8
    assert names[8:].count("fast") == 4
