# SPDX-License-Identifier: Apache-2.0
"""The specs of quantised networks and of plans refuse what was broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.building.pipeline import run_quantize
from myoedge.building.pipeline_options import Options
from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.export import from_exported
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import QuantizedNode
from myoedge.operators.checks import enforce
from myoedge.operators.kernel import SCRATCH
from myoedge.passes import prepare
from myoedge.plan.check import PLANNED
from myoedge.plan.l1.tiling import Buffer
from myoedge.plan.placement import LiveRange
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.plan.timeline import LoopSteps
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.consistency import QUANTIZED
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.targets import find_chip
from tests.conftest import save_exported


@pytest.fixture(scope="module")
def sound() -> QuantGraph:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    )
    graph = prepare(from_exported(torch.export.export(model.eval(), (torch.zeros(1, 1, 6, 6),))))
    windows = np.random.default_rng(0).standard_normal((8, 1, 1, 6, 6), np.float32)
    return quantize_graph(graph, calibrate(graph, {graph.inputs[0]: windows}, Observer(), "test"))


def with_step(
    q: QuantGraph, op: str, change: Callable[[QuantizedNode], QuantizedNode]
) -> QuantGraph:
    return replace(q, steps=tuple(change(s) if s.node.op == op else s for s in q.steps))


def with_array(name: str, value: Any) -> Callable[[QuantizedNode], QuantizedNode]:
    def change(step: QuantizedNode) -> QuantizedNode:
        filled = np.full_like(getattr(step.integers, name), value)
        return replace(step, integers=replace(step.integers, **{name: filled}))

    return change


def with_params(q: QuantGraph, op: str, params: QuantParams) -> QuantGraph:
    name = next(s.node.name for s in q.steps if s.node.op == op)
    return replace(q, params={**q.params, name: params})


BROKEN: dict[str, Callable[[QuantGraph], QuantGraph]] = {
    "do not go together": lambda q: replace(q, steps=q.steps[1:]),
    "has no scale": lambda q: replace(q, params=dict(list(q.params.items())[1:])),
    "zero point or scale": lambda q: with_params(q, "conv", QuantParams(0.0, 0)),
    "changes their scale": lambda q: with_params(q, "max_pool", QuantParams(0.5, 3)),
    "out of range": lambda q: with_step(q, "conv", with_array("shift", 31)),
    "limits or pre-shift": lambda q: with_step(q, "conv", lambda s: replace(s, low=5, high=4)),
    "may leave int32": lambda q: with_step(q, "linear", with_array("bias", 2**31 - 1)),
}


@pytest.mark.parametrize("message", BROKEN)
def test_broken_networks_are_refused(sound: QuantGraph, message: str) -> None:
    enforce(QUANTIZED, sound, sound.graph, "quantized")
    broken = BROKEN[message](sound)
    with pytest.raises(MyoedgeError, match=message) as refused:
        enforce(QUANTIZED, broken, broken.graph, "quantized")
    assert refused.value.code == "E920"


def moved(plan: Plan, offset: int) -> Plan:
    """The last buffer at another offset; nothing else follows it."""
    name = plan.lives[-1].name
    offsets = {**plan.placement.offsets, name: offset}
    return replace(plan, placement=replace(plan.placement, offsets=offsets))


PLANS: dict[str, Callable[[Plan], Plan]] = {
    "leaves the arena": lambda p: moved(p, p.arena_bytes),
    "start at a word": lambda p: moved(p, p.placement.offsets[p.lives[-1].name] - 2),
    "share bytes": lambda p: moved(p, p.placement.offsets[p.lives[-2].name]),
    "share bytes|before": lambda p: moved(from_before(p), p.placement.offsets[p.lives[-2].name]),
    "not alive": lambda p: replace(p, lives=p.lives[:-1]),
}


def from_before(plan: Plan) -> Plan:
    """All buffers are alive from before the first step on."""
    return replace(plan, lives=tuple(replace(life, first=-1) for life in plan.lives))


@pytest.mark.parametrize("change", PLANS)
def test_broken_plans_are_refused(sound: QuantGraph, change: str) -> None:
    plan = make_plan(sound, find_chip("host"))
    assert len(plan.lives) >= 2
    broken = PLANS[change](plan)
    with pytest.raises(MyoedgeError, match=change.split("|")[0]):
        enforce(PLANNED, broken, sound.graph, "planned")


@pytest.fixture(scope="module")
def streaming() -> tuple[QuantGraph, Plan]:
    """Two layers of which L2 holds one: each comes in chunks, while the one before computes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 96), nn.Linear(96, 8))
    graph = prepare(from_exported(torch.export.export(model.eval(), (torch.zeros(1, 64),))))
    windows = np.random.default_rng(0).standard_normal((8, 1, 64), np.float32)
    q = quantize_graph(graph, calibrate(graph, {graph.inputs[0]: windows}, Observer(), "test"))
    return q, make_plan(q, replace(find_chip("gap9"), l2_bytes=16384, l2_reserved_bytes=0))


def with_transfer(plan: Plan, index: int, **changes: Any) -> Plan:
    transfers = list(plan.transfers)
    transfers[index] = replace(transfers[index], **changes)
    return replace(plan, transfers=tuple(transfers))


def too_early(plan: Plan) -> Plan:
    """A transfer begins one timeline step before its place is free."""
    index = next(n for n, h in enumerate(plan.transfers) if h.begins > plan.transfers[n - 1].begins)
    return with_transfer(plan, index, begins=plan.transfers[index].begins - 1)


def upon_another(plan: Plan) -> Plan:
    """A transfer begins with the one before it, in its place."""
    first = plan.transfers[0]
    return with_transfer(plan, 1, l2=first.l2, begins=first.begins)


def other_bytes(plan: Plan) -> Plan:
    """A chunk is thought to be of other rows of its array."""
    chunk = plan.transfers[0].chunk
    return with_transfer(plan, 0, chunk=replace(chunk, start=chunk.start + 4))


def before_its_loop(plan: Plan) -> Plan:
    """A loop begins between the start of a transfer and the tile that needs it."""
    early = next(h for h in plan.transfers if h.begins < h.chunk.first)
    loop = LoopSteps(early.chunk.first, plan.timeline_steps.count, 2)
    return replace(plan, timeline_steps=replace(plan.timeline_steps, loops=(loop,)))


STREAMS: dict[str, Callable[[Plan], Plan]] = {
    "more than L2 has": lambda p: replace(p, chip=replace(p.chip, l2_bytes=p.l2_bytes - 1)),
    "or differs from its level": lambda p: with_transfer(p, 1, address=p.transfers[1].address + 4),
    "a transfer leaves": lambda p: with_transfer(p, 1, l2=p.transfers[1].l2 + 2),
    "out of turn": lambda p: with_transfer(p, -1, begins=0),
    "are out of turn": before_its_loop,
    "overwrites live bytes": too_early,
    "is overwritten": upon_another,
    "read before it has arrived": other_bytes,
}


@pytest.fixture(scope="module")
def far() -> tuple[QuantGraph, Plan]:
    """A feature map that is larger than L2, and than what L1 keeps."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 3, stride=4))
    graph = prepare(from_exported(torch.export.export(model.eval(), (torch.zeros(1, 1, 42, 42),))))
    windows = np.random.default_rng(0).standard_normal((2, 1, 1, 42, 42), np.float32)
    q = quantize_graph(graph, calibrate(graph, {graph.inputs[0]: windows}, Observer(), "test"))
    little = replace(find_chip("gap9"), l1_bytes=24 << 10, l2_bytes=9000, l2_reserved_bytes=0)
    return q, make_plan(q, little)


def first_in(plan: Plan) -> int:
    return next(
        n for n, transfer in enumerate(plan.transfers) if transfer.chunk.tensor and not transfer.out
    )


def without(plan: Plan, index: int) -> Plan:
    return replace(plan, transfers=tuple(h for n, h in enumerate(plan.transfers) if n != index))


FAR: dict[str, Callable[[Plan], Plan]] = {
    "while it is not in its L2 window": lambda p: without(p, first_in(p)),
    "feature map in a level is used": lambda p: without(p, first_in(p) - 1),
    "a transfer leaves": lambda p: with_transfer(p, first_in(p), address=p.map_bytes),
    "is overwritten": lambda p: with_transfer(p, first_in(p) + 1, l2=p.transfers[first_in(p)].l2),
    "out of turn": lambda p: with_transfer(p, first_in(p) + 1, begins=0),
}


@pytest.mark.parametrize("message", FAR)
def test_broken_maps_are_refused(far: tuple[QuantGraph, Plan], message: str) -> None:
    q, plan = far
    enforce(PLANNED, plan, q.graph, "planned")
    assert plan.map_bytes >= 12_800
    with pytest.raises(MyoedgeError, match=message) as refused:
        enforce(PLANNED, FAR[message](plan), q.graph, "planned")
    assert refused.value.code == "E920"


@pytest.mark.parametrize("message", STREAMS)
def test_broken_streams_are_refused(streaming: tuple[QuantGraph, Plan], message: str) -> None:
    q, plan = streaming
    enforce(PLANNED, plan, q.graph, "planned")
    assert len(plan.transfers) >= 3
    with pytest.raises(MyoedgeError, match=message) as refused:
        enforce(PLANNED, STREAMS[message](plan), q.graph, "planned")
    assert refused.value.code == "E920"


def kept_elsewhere(plan: Plan) -> Plan:
    """A tensor that stays in L1, said to be four bytes further on."""
    name = next(n for n, at in plan.where.items() if at.kind == "l1")
    place = replace(plan.where[name], offset=plan.where[name].offset + 4)
    return replace(plan, where={**plan.where, name: place})


def with_buffers(plan: Plan, change: Callable[[Buffer], Buffer]) -> Plan:
    tilings = [replace(t, buffers=tuple(change(b) for b in t.buffers)) for t in plan.tilings]
    return replace(plan, tilings=tuple(tilings))


def prefetched_in(plan: Plan, tile: int) -> Plan:
    """The last layer's constants fetched from a tile on."""
    *others, last = plan.tilings
    assert last is not None
    assert last.prefetch_tile is not None
    return replace(plan, tilings=(*others, replace(last, prefetch_tile=tile)))


TILED: dict[str, Callable[[Plan], Plan]] = {
    "read at another offset": kept_elsewhere,
    "after its release": lambda p: with_buffers(p, lambda b: replace(b, last=b.first)),
    "share bytes": lambda p: with_buffers(p, lambda b: replace(b, offset=0)),
    "ends inside a word": lambda p: with_buffers(
        p, lambda b: replace(b, size_bytes=b.size_bytes - 1)
    ),
    "has no buffer yet": lambda p: prefetched_in(p, 0),
    "too many are in flight": lambda p: prefetched_in(p, 99),
}


def with_scratch(plan: Plan, change: Callable[[LiveRange], LiveRange]) -> Plan:
    """Changed buffers of scratch in L2."""
    lives = [change(x) if x.name not in plan.quant.graph.tensors else x for x in plan.lives]
    return replace(plan, lives=tuple(lives))


SCRATCHES: dict[str, Callable[[Plan], Plan]] = {
    "not at all": lambda p: with_scratch(p, lambda x: replace(x, first=-2, last=-1)),
    "of another layer": lambda p: with_scratch(p, lambda x: replace(x, first=1, last=1)),
    "too small": lambda p: with_scratch(p, lambda x: replace(x, size_bytes=x.size_bytes - 1)),
}


@pytest.mark.parametrize("change", SCRATCHES)
def test_scratch_in_l2_has_a_buffer_while_its_layer_runs(sound: QuantGraph, change: str) -> None:
    """Eight cores copy windows of 9 taps, in 256 bytes of L1."""
    chip = find_chip("gap9").cores_alone()
    plan = make_plan(sound, replace(chip, l1_bytes=chip.l1_reserved_bytes + 256))
    assert [SCRATCH in t.choice.in_l2 for t in plan.tilings] == [True, False, False]
    with pytest.raises(MyoedgeError, match="scratch in L2 has no live buffer"):
        enforce(PLANNED, SCRATCHES[change](plan), sound.graph, "planned")


@pytest.mark.parametrize("message", TILED)
def test_broken_tiles_are_refused(sound: QuantGraph, message: str) -> None:
    plan = make_plan(sound, find_chip("gap9"))
    with pytest.raises(MyoedgeError, match=message):
        enforce(PLANNED, TILED[message](plan), sound.graph, "planned")


def test_results_of_tiles_that_begin_early_are_apart(tmp_path: Path) -> None:
    """NE16 goes on to the next tile of outputs beside the cores: its results would lie on bytes
    that a buffer has until then."""
    model = save_exported(nn.Linear(96, 400).eval(), (torch.zeros(151, 96),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((2, 151, 96)).astype(np.float32)
    q = run_quantize(Options(model, calib, chip=find_chip("gap9"), engine="ne16")).network
    plan = make_plan(q, replace(find_chip("gap9"), l1_bytes=64 * 1024))
    enforce(PLANNED, plan, q.graph, "planned")
    (tiling,) = plan.tilings
    assert len(tiling.tiles) > 2
    second = next(b for b in tiling.buffers if b.operand == "y" and b.first == tiling.first + 1)
    until_then = replace(second, operand="weights", first=0, last=tiling.first)
    broken = replace(tiling, buffers=(*tiling.buffers, until_then))
    with pytest.raises(MyoedgeError, match="which begin early"):
        enforce(PLANNED, replace(plan, tilings=(broken,)), q.graph, "planned")
