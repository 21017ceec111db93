# SPDX-License-Identifier: Apache-2.0
"""Estimated cycles of kernels, of timeline steps and of products, against formulas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myoedge.graph.ir import Node
from myoedge.operators.base import OPS
from myoedge.operators.kernel import TiledKernel
from myoedge.operators.library.rows import (
    CALL,
    COPIED,
    Windows,
    _int16_work,
    block_work,
    fours_copied,
    gather_work,
)
from myoedge.plan.cost.timing import Load, TimelineStep, tile_cycles
from myoedge.plan.l1.content_key import content_key
from myoedge.plan.l1.layer_kernels import accelerator_gain, candidates, layer_cycles
from myoedge.plan.schedule import make_plan
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from myoedge.targets import find_chip
from myoedge.targets.chip import Engine
from myoedge.targets.costs import KernelCost, TransferCost
from tests.ops.harness import batches, drawn
from tests.support.each import each
from tests.support.onnx.quantized import network
from tests.support.oracles.least_squares import non_negative

CASES = 12
BATCHES = pytest.mark.parametrize("ops", batches(sorted(n for n in OPS if OPS[n].kernels)))
COST = TransferCost(command_cycles=10)
GAP9 = find_chip("gap9")


def tilings(op: str) -> Iterator[TiledKernel]:
    """Of drawn layers; a kernel without a row of costs is a KeyError."""
    for case in drawn(op, CASES):
        yield from candidates(case.step, GAP9)


@BATCHES
def test_every_kernel_costs_something_on_its_engine(ops: list[str]) -> None:
    """The search asks for all sizes in one call; a whole layer has as much to do as a small tile,
    of up to a word: four columns at once can take less than one alone."""
    names = {engine.name for engine in GAP9.engines}
    for kernel in (kernel for op in ops for kernel in tilings(op)):
        assert kernel.engine in names
        assert kernel.cycles(kernel.axes) > kernel.cost.tile_cycles > 0
        assert kernel.nine_cores in (None, kernel.engine != "cluster")
        sizes = [{**kernel.axes, **dict.fromkeys(kernel.split, n)} for n in (1, 2, 3, 4)]
        sizes = [{a: min(n, kernel.axes[a]) for a, n in each.items()} for each in sizes]
        together = {a: np.array([each[a] for each in sizes]) for a in kernel.axes}
        found = np.broadcast_to(kernel.work(together), len(sizes))
        assert found == pytest.approx([float(kernel.work(each)) for each in sizes])
        assert found.min() > 0
        assert float(kernel.work(kernel.axes)) >= 0.99 * found.min()


@pytest.mark.parametrize("count", [CASES // 2, pytest.param(CASES, marks=pytest.mark.slow)])
@BATCHES
def test_estimates_of_layers_do_not_depend_on_those_that_were_asked_before(
    ops: list[str], count: int
) -> None:
    """Equal content is looked up: names are not in it, numbers are. A copy of a layer has nothing
    that was derived from the layer."""
    steps = [case.step for op in ops for case in drawn(op, CASES)[:count]]
    shared, gain = layer_cycles(GAP9), accelerator_gain(GAP9)
    for step in steps:
        assert shared(step) == layer_cycles(GAP9)(replace(step))
        assert gain(step) == accelerator_gain(GAP9)(replace(step))
        named = replace(step, node=step.node.but(outputs=("other",), origin=()))
        assert content_key(named) == content_key(step)
        assert content_key(replace(step, high=step.high - 1)) != content_key(step)
        for name, array in step.integers.arrays.items():
            other = replace(step, integers=replace(step.integers, **{name: array ^ 1}))
            assert content_key(other) != content_key(step) or not array.size


def test_a_layer_that_reads_one_tensor_twice_is_another() -> None:
    step = next(c.step for c in drawn("add", CASES) if c.step.shapes[0] == c.step.shapes[1])
    twice = replace(step, operands=step.operands[:1] * 2)
    assert content_key(twice) != content_key(step)


def test_tiles_behind_the_third_of_a_layer_have_warm_caches() -> None:
    """Groups of a convolution are tiles of one size."""
    attrs = {"stride": (1, 1), "dilation": (1, 1), "pads": ((0, 0), (0, 0)), "groups": 5}
    rng = np.random.default_rng(0)
    samples = {"x": rng.standard_normal((2, 1, 1, 16, 10))}
    weights = {"w": rng.standard_normal((15, 1, 3, 2))}
    graph = network([Node("conv", ("x", "w"), ("y",), attrs)], {"x": (1, 1, 16, 10)}, weights)
    q = quantize_graph(graph, calibrate(graph, samples, Observer(), "test"))
    (tiling,) = make_plan(q, GAP9.cores_alone()).tilings
    assert tiling.kernel.function == "me_conv_s8"
    each = float(tiling.kernel.cycles({**tiling.kernel.axes, **tiling.choice.sizes}))
    warm = each - tiling.kernel.cost.warm_cycles
    assert each > warm > 0
    assert tile_cycles(tiling) == [each, each, each, warm, warm]


@pytest.mark.parametrize("engine", GAP9.engines, ids=lambda engine: engine.name)
def test_a_warm_tile_costs_something(engine: Engine) -> None:
    assert all(cost.warm_cycles < cost.tile_cycles for cost in engine.kernels.values())
    assert KernelCost(2.5, 100.0).cycles(np.array([0, 8])).tolist() == [100.0, 120.0]


@given(*map(st.integers, (1, 1, 1, 1), (40, 30, 200, 9)))
def test_blocks_of_a_product_are_shared_by_the_cores(
    rows: int, blocks: int, words: int, cores: int
) -> None:
    """No core can have less than its part of all blocks, and one has a whole block at least."""
    alone = float(block_work(rows, blocks, words, 1))
    found = float(block_work(rows, blocks, words, cores))
    of_one = float(block_work(min(rows, 4), 1, words, 1))
    assert alone / cores <= found * (1 + 1e-9)
    assert found <= alone / cores + of_one * (1 + 1e-9)
    if rows % 4 == 0 and rows // 4 * blocks % cores == 0:
        assert found == pytest.approx(alone / cores)


def gathered(first: int, end: int, blocks: int, at_once: int) -> tuple[int, int]:
    """Fours of windows that a core copies for its blocks [first, end), and calls to do so: whole
    fours together as far as scratch holds them, parts alone."""
    fours = calls = 0
    while first < end:
        four, block = divmod(first, blocks)
        whole = min(end // blocks - four, at_once) if block == 0 else 0
        fours, calls = fours + max(whole, 1), calls + 1
        first = (four + max(whole, 1)) * blocks
    return fours, calls


@given(*map(st.integers, (1, 1, 1), (60, 60, 9)))
def test_every_core_copies_the_windows_of_its_blocks(fours: int, blocks: int, cores: int) -> None:
    """Blocks of 4 windows x 4 channels are numbered window by window and cut into equal parts."""
    windows = Windows(words=7, copied=True)
    ends = [fours * blocks * part // cores for part in range(cores + 1)]
    at_once = fours_copied(4 * windows.words)
    parts = [gathered(*part, blocks, at_once) for part in pairwise(ends)]

    def copies(fours: int, blocks: int, cores: int) -> float:
        return float(gather_work(4 * fours, 4 * fours, blocks, windows, cores)) - COPIED

    each = copies(1, 1, 1) - CALL
    least, most = max(each * n + CALL * calls for n, calls in parts), each + 2 * CALL
    found = copies(fours, blocks, cores)
    assert least - CALL - 1e-9 <= found <= least + most + 1e-9
    if fours % cores == 0 or cores % fours == 0:
        assert found == pytest.approx(least)
    assert float(gather_work(1, 1, blocks, windows, cores)) - COPIED == copies(1, 1, 1)


def test_a_step_lasts_as_long_as_the_longer_of_computation_and_transfers() -> None:
    due, later = (0, 1), (0, 2)
    step = TimelineStep(1000.0, 0.0, [Load(due, 300.0)], [], due)
    assert step.lasts([], COST) == (1000.0, [])
    step = TimelineStep(100.0, 0.0, [Load(due, 300.0)], [50.0], due)
    assert step.lasts([], COST)[0] == 2 * 10 + 300  # the store's command, the load's, the load
    step = TimelineStep(100.0, 0.0, [Load(later, 300.0)], [], due)
    assert step.lasts([], COST) == (100.0, [Load(later, 300.0 - (100.0 - 10))])


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(0, 200))
def test_the_dma_works_off_loads_in_turn(cycles: list[int], compute: int) -> None:
    """What is left behind a step is what all loads take beyond it."""
    loads = [Load((1, 0), float(n)) for n in cycles]
    lasted, left = TimelineStep(float(compute), 0.0, [], [], (0, 0)).lasts(loads, TransferCost())
    assert lasted == compute
    assert sum(load.cycles for load in left) == max(sum(cycles) - compute, 0)


def test_nine_cores_begin_when_all_commands_are_issued() -> None:
    cost = TransferCost(command_cycles=10, ninth_core_cycles=5)
    step = TimelineStep(100.0, 7.0, [], [1.0, 1.0], (0, 0), nine_cores=True)
    assert step.lasts([], cost)[0] == 7 + 2 * 10 + 100 + 5


@each("seed", range(20))
def test_non_negative_least_squares_are_the_best(seed: int) -> None:
    """Nowhere would a little more help, nor a little less where there is some."""
    rng = np.random.default_rng(seed)
    a, b = rng.random((30, 8)), rng.normal(size=30)
    x = non_negative(a, b)
    slope = a.T @ (b - a @ x)
    assert (x >= 0).all()
    assert slope.max() <= 1e-8
    assert np.abs(slope[x > 0]).max(initial=0.0) <= 1e-8


def test_non_negative_least_squares_find_what_was_there() -> None:
    rng = np.random.default_rng(1)
    a, x = rng.random((40, 6)), np.array([3.0, 0.0, 1.5, 0.0, 20.0, 0.25])
    for order in list(permutations(range(6)))[::97]:
        assert non_negative(a[:, order], a @ x) == pytest.approx(x[list(order)], abs=1e-9)


@given(*map(st.integers, (1, 1), (40, 30)), st.sampled_from([1, 3, 4, 8, 10, 64]))
def test_rows_of_gates_are_shared_by_the_cores(rows: int, blocks: int, c: int) -> None:
    """Core by core as me_linear_s8_s16 shares blocks of four rows: of the last, leftover rows are
    computed one by one, and all rows of no whole words."""
    cores, groups = 8, -(-rows // 4)
    alone = float(_int16_work(1, 1, c, 1))
    whole = float(_int16_work(4, 1, c, 1))

    def cost(block: int) -> float:
        of_group = min(rows - block // blocks * 4, 4)
        return whole if of_group == 4 else of_group * alone

    shares = [
        range(n * groups * blocks // cores, (n + 1) * groups * blocks // cores)
        for n in range(cores)
    ]
    slowest = max(sum(map(cost, share)) for share in shares)
    assert float(_int16_work(rows, blocks, c, cores)) == pytest.approx(slowest)
