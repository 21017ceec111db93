# SPDX-License-Identifier: Apache-2.0
"""Results over what a layer has read: displacements, placement, and plans that are refused."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.export import from_exported
from myoedge.operators.checks import enforce
from myoedge.operators.kernel import OUT, Operand, TiledKernel
from myoedge.operators.result_order import ResultOrder
from myoedge.passes import prepare
from myoedge.plan.check import PLANNED
from myoedge.plan.check_in_place import Replay, replaces
from myoedge.plan.displacement import displacement
from myoedge.plan.packing import place
from myoedge.plan.placement import LiveRange, Replacement
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.reports.memory import own_bytes
from myoedge.reports.report_json import Outcome, make_report
from myoedge.targets import find_chip
from tests.unit.test_plan import buffers


def window(
    rows: int,
    columns: int,
    kernel: int,
    stride: int,
    pad: int,
    dilation: int,
    channels: tuple[int, int],
) -> tuple[dict[str, int], Operand, Operand]:
    """Axes, input [rows, columns, c] and result of a layer with windows."""
    c, k = channels
    out = [(n + 2 * pad - (kernel - 1) * dilation - 1) // stride + 1 for n in (rows, columns)]
    axes = {"t0": out[0], "t1": out[1], "r0": kernel, "r1": kernel}
    index = tuple(((f"t{d}", stride), (f"r{d}", dilation)) for d in range(2))
    x = Operand("x", 0, (rows, columns, c), (*index, ()), (-pad, -pad, 0))
    y = Operand("y", OUT, (*out, k), ((("t0", 1),), (("t1", 1),), ()))
    return axes, x, y


def layer(axes: dict[str, int], x: Operand, y: Operand, order: ResultOrder) -> TiledKernel:
    return TiledKernel("f", axes, (), (x, y), {}, lambda regions: {}, lambda sizes: 1, order=order)


def is_sound(kernel: TiledKernel, below: int) -> bool:
    """Whether a replay with the result so many bytes below the input reads nothing replaced."""
    x, y = kernel.operands
    start = math.prod(y.shape) * y.itemsize
    arena_bytes = 2 * start + math.prod(x.shape) * x.itemsize + abs(below)
    at = start + max(below, 0)
    assert kernel.order is not None
    return Replay(kernel, kernel.order, arena_bytes, [(x, at)], [(y, at - below)]).is_sound


windows = st.builds(
    window,
    rows=st.integers(5, 9),
    columns=st.integers(5, 9),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    pad=st.integers(0, 1),
    dilation=st.integers(1, 2),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 9)),
)


@settings(max_examples=200, deadline=None)
@given(windows, st.integers(1, 9), st.booleans())
def test_a_displacement_is_the_smallest(
    made: tuple[dict[str, int], Operand, Operand], together: int, reads_first: bool
) -> None:
    """The check replays it, and refuses one byte less."""
    kernel = layer(*made, ResultOrder(("t0", "t1"), together, reads_first=reads_first))
    found = displacement(kernel, *kernel.operands)
    assert found is not None
    assert is_sound(kernel, found.size_bytes)
    if found.size_bytes > -math.prod(made[1].shape):
        assert not is_sound(kernel, found.size_bytes - 1)


@pytest.mark.parametrize(
    ("kernel", "stride", "channels", "order", "bytes_below"),
    [
        (1, 1, (4, 4), ResultOrder(("t0", "t1")), 4),  # a pixel over itself, channel by channel
        (1, 1, (4, 4), ResultOrder(("t0", "t1"), reads_first=True), 0),
        (1, 1, (4, 8), ResultOrder(("t0", "t1"), reads_first=True), 4 * 8 * 8 - 4),
        (3, 1, (4, 4), ResultOrder(("t0", "t1"), 4, reads_first=True), 4 * 9),  # a row, a pixel
        (3, 1, (4, 4), ResultOrder(("t0",)), 4 * 16),  # two rows
        (3, 2, (4, 4), ResultOrder(("t0",)), 4 * 4),  # half a row: the next begins in row 1
        (3, 1, (4, 4), ResultOrder((), reads_first=True), -4 * 64),  # anywhere
    ],
)
def test_displacements_follow_from_the_windows(
    kernel: int, stride: int, channels: tuple[int, int], order: ResultOrder, bytes_below: int
) -> None:
    made = layer(*window(8, 8, kernel, stride, kernel // 2, 1, channels), order)
    found = displacement(made, *made.operands)
    assert found is not None
    assert found.size_bytes == bytes_below


def test_channels_one_after_another_keep_their_places() -> None:
    """A depthwise layer goes over all rows of four channels, then of the next four."""
    axes, x, y = window(8, 8, 3, 1, 1, 1, (8, 8))
    x, y = (replace(a, dims=(*a.dims[:2], (("k", 4), ("in", 1)))) for a in (x, y))
    order = ResultOrder(("t0",), 2, reads_first=True, channels="k")
    kernel = layer({**axes, "k": 2, "in": 4}, x, y, order)
    found = displacement(kernel, x, y)
    assert found is not None
    assert (found.size_bytes, found.multiple) == (64, 8)
    assert is_sound(kernel, 64)
    assert is_sound(kernel, 72)
    assert not is_sound(kernel, 56)
    assert not is_sound(kernel, 68), "channels in the places of others"


# ---- placement


@settings(max_examples=60, deadline=None)
@given(buffers(), st.data())
def test_buffers_that_may_overlap_are_placed_legally(
    lives: list[LiveRange], data: st.DataObject
) -> None:
    handed_on = [(a, b) for a, b in itertools.permutations(lives, 2) if a.first < a.last == b.first]
    pairs = [
        Replacement(a.name, b.name, data.draw(st.integers(-a.size_bytes, b.size_bytes)), multiple)
        for a, b in handed_on
        for multiple in [data.draw(st.sampled_from([1, 12]))]
    ]
    found, known = place(lives, 4, pairs), {(p.read, p.written): p for p in pairs}
    at = found.offsets
    assert found.lower_bound_bytes <= found.arena_bytes <= place(lives, 4).arena_bytes
    for a, b in itertools.combinations(lives, 2):
        apart = at[a.name] + a.size_bytes <= at[b.name] or at[b.name] + b.size_bytes <= at[a.name]
        over = (known.get((a.name, b.name)), known.get((b.name, a.name)))
        allowed = [p.allows(at[p.read], at[p.written]) for p in over if p]
        assert apart or not a.meets(b) or any(allowed)
    assert all(at[x.name] % 4 == 0 <= at[x.name] <= found.arena_bytes - x.size_bytes for x in lives)
    assert place(lives, 4, pairs) == found, "the same offsets again"


def test_a_chain_slides_down_the_arena() -> None:
    """Three buffers of 100 words, each 10 words below the one before."""
    lives = [LiveRange(f"b{n}", 400, n, n + 1) for n in range(3)]
    found = place(lives, 4, [Replacement(f"b{n}", f"b{n + 1}", 37) for n in range(2)])
    assert found.arena_bytes == 400 + 2 * 40
    assert [found.offsets[x.name] for x in lives] == [80, 40, 0]


# ---- plans


class Chain(nn.Module):
    """Layers with windows, one after another; `again`: the first result is read once more."""

    def __init__(self, *, again: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise((1, 8, 8, 8))
        )
        self.again = again

    def forward(self, x: Tensor) -> Tensor:
        first = self.layers[0](x).relu()
        y = self.layers[2](self.layers[1](first).relu())
        found: Tensor = y * first if self.again else y
        return found.mean((2, 3))


def network(*, again: bool = False) -> QuantGraph:
    torch.manual_seed(0)
    model, shape = Chain(again=again).eval(), (1, 1, 12, 8)
    graph = prepare(from_exported(torch.export.export(model, (torch.zeros(shape),))))
    windows = np.random.default_rng(0).standard_normal((4, *shape), np.float32)
    return quantize_graph(graph, calibrate(graph, {graph.inputs[0]: windows}, Observer(), "test"))


def overlaps(plan: Plan) -> list[tuple[int, str, str]]:
    """(layer, buffer that it reads, buffer that it writes over a part of it)."""
    at = plan.placement.offsets
    return [
        (b.first, a.name, b.name)
        for a, b in itertools.permutations(plan.lives, 2)
        if a.first < a.last == b.first
        and max(at[a.name], at[b.name]) < min(at[a.name] + a.size_bytes, at[b.name] + b.size_bytes)
    ]


def below(plan: Plan, name: str, size_bytes: int) -> Plan:
    """The plan with a buffer that starts higher by so many bytes, in a larger arena."""
    offsets = {**plan.placement.offsets, name: plan.placement.offsets[name] + size_bytes}
    placement = replace(
        plan.placement, offsets=offsets, arena_bytes=plan.placement.arena_bytes + size_bytes
    )
    where = {
        tensor: replace(place, offset=place.offset + size_bytes) if tensor == name else place
        for tensor, place in plan.where.items()
    }
    return replace(plan, placement=placement, where=where)


def test_one_byte_less_is_refused() -> None:
    q = network()
    plan = make_plan(q, find_chip("cortex-m4"))
    found = overlaps(plan)
    assert len(found) == 2
    for index, *names in found:
        assert replaces(plan, index, names)
        kernel = plan.tilings[index].kernel
        least = displacement(kernel, kernel.operand("x"), kernel.out)
        assert least is not None
        at = plan.placement.offsets
        slack = at[names[0]] - at[names[1]] - least.size_bytes
        assert 0 <= slack < 8, "offsets are multiples of 8"
        assert replaces(below(plan, names[1], slack), index, names)
        assert not replaces(below(plan, names[1], slack + 1), index, names)
        with pytest.raises(MyoedgeError, match="two buffers share bytes") as refused:
            enforce(PLANNED, below(plan, names[1], 8), q.graph, "planned")
        assert refused.value.code == "E920"


@pytest.mark.parametrize("chip", ["host", "gap9"])
def test_several_cores_keep_buffers_apart(chip: str) -> None:
    q = network()
    plan = make_plan(q, find_chip(chip))
    assert overlaps(plan) == []
    little = make_plan(q, find_chip("cortex-m4"))
    if chip == "host":
        scratch_bytes = max(tiling.l2_scratch_bytes for tiling in little.tilings)
        assert little.arena_bytes - scratch_bytes <= 0.7 * plan.arena_bytes


def test_reports_count_bytes_once() -> None:
    plan = make_plan(network(), find_chip("cortex-m4"))
    memory = make_report(plan, Outcome("net"))["memory"]
    step = memory["peak_step"]
    alive = [row for row in memory["buffers"] if row["from"] <= step < row["to"]]
    used = {at for row in alive for at in range(row["offset"], row["offset"] + row["size_bytes"])}
    assert sum(own_bytes(alive)) == len(used) <= memory["arena_bytes"]
    assert len(used) < sum(row["size_bytes"] for row in alive)


CHANGES: dict[str, Callable[[Plan], Plan]] = {
    "no order": lambda p: with_order(p, None),
    "whole layers at a time": lambda p: with_order(p, ResultOrder(())),
    "eight cores": lambda p: replace(p, chip=replace(p.chip, engines=find_chip("host").engines)),
    "read later": lambda p: replace(
        p, lives=tuple(replace(x, last=x.last + (x.first == 0)) for x in p.lives)
    ),
}


def with_order(plan: Plan, order: ResultOrder | None) -> Plan:
    tilings = (replace(t, kernel=replace(t.kernel, order=order)) for t in plan.tilings)
    return replace(plan, tilings=tuple(tilings))


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_in_order_is_refused(change: str) -> None:
    q = network()
    plan = make_plan(q, find_chip("cortex-m4"))
    with pytest.raises(MyoedgeError, match="two buffers share bytes"):
        enforce(PLANNED, CHANGES[change](plan), q.graph, "planned")


def test_a_tensor_that_is_read_later_stays() -> None:
    plan = make_plan(network(again=True), find_chip("cortex-m4"))
    first = next(life for life in plan.lives if life.first == 0 and life.last > 1)
    found = overlaps(plan)
    assert 2 in {index for index, *_ in found}
    assert all(index == first.last for index, *names in found if first.name in names)
