# SPDX-License-Identifier: Apache-2.0
"""Plans for drawn chips with 1 to 5 memory levels, held against a replay of their bytes."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from myoedge.building.budget import (
    STREAMED_CODE_BYTES,
    STREAMED_LAYER_BYTES,
    Budget,
)
from myoedge.building.plan_within import plan_within
from myoedge.errors import MyoedgeError
from myoedge.plan.cost.network import modelled_cycles, moved_bytes, moved_pj
from myoedge.plan.l1.tile_iteration import Transfer
from myoedge.plan.l1.tiling import Tiling
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.quantization.scales import QuantGraph
from myoedge.reports.memory import external_parts, planned_image_bytes
from myoedge.reports.report_json import Outcome, make_report
from myoedge.targets import find_chip
from myoedge.targets.chip import Chip
from myoedge.targets.memories import MemoryLevel
from tests.e2e.test_less_l2 import quantized

WIDTHS = (128, 96, 160, 160, 96, 64)
CONSTANT_BYTES = sum((a + 16) * b for a, b in itertools.pairwise(WIDTHS))


@cache
def network() -> QuantGraph:
    torch.manual_seed(0)
    pairs = itertools.pairwise(WIDTHS)
    model = nn.Sequential(*(layer for a, b in pairs for layer in (nn.Linear(a, b), nn.ReLU())))
    calib = np.random.default_rng(0).standard_normal((4, 1, WIDTHS[0]), np.float32)
    return quantized(torch.export.export(model.eval(), (torch.zeros(1, WIDTHS[0]),)), calib)


@st.composite
def chips(draw: st.DrawFn) -> Chip:
    """L2 and up to four levels behind it, some of which share a channel."""
    levels = tuple(
        MemoryLevel(
            f"level{n}",
            bytes=draw(st.integers(1000, 2 * CONSTANT_BYTES)),
            bytes_per_cycle=draw(st.sampled_from([0.1, 0.5, 1.19, 4.0])),
            start_cycles=draw(st.sampled_from([0.0, 250.0, 635.0])),
            pj_per_byte=(0.0, draw(st.sampled_from([1.0, 20.0, 600.0])), 1000.0),
            channel=draw(st.sampled_from(["one", "two", f"own {n}"])),
            writable=draw(st.booleans()),
            reserved_bytes=draw(st.integers(0, 900)),
            word_bytes=draw(st.sampled_from([4, 16, 64])),
        )
        for n in range(draw(st.integers(0, 4)))
    )
    l2_bytes = draw(st.integers(1000, CONSTANT_BYTES))
    return replace(find_chip("gap9"), l2_bytes=l2_bytes, l2_reserved_bytes=0, levels=levels)


def level_owners(plan: Plan, level: MemoryLevel) -> dict[int, int]:
    """Return address -> byte that the transfers of a level expect there."""
    expected: dict[int, int] = {}
    for x in (x for x in plan.transfers if x.level == level.name):
        content = plan.tilings[x.chunk.step].kernel.arrays[x.chunk.array].tobytes()
        assert x.address % level.word_bytes == 0
        for at in range(x.chunk.size_bytes):
            byte = content[x.chunk.start + at]
            assert expected.setdefault(x.address + at, byte) == byte
    return expected


def loads_of(tiling: Tiling, constant: str) -> list[Transfer]:
    """Loads of a layer's constant into L1."""
    operands = {o.name for o in tiling.kernel.operands if o.source == constant}
    return [x for tile in tiling.tiles for x in tile.loads if x.operand in operands]


def check_constants(plan: Plan) -> None:
    """Each byte of a constant comes from exactly one place: L2, or one chunk of one level; each
    load of a tile, from one of them."""
    chunks: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for x in plan.transfers:
        span = (x.chunk.start, x.chunk.start + x.chunk.size_bytes)
        chunks.setdefault((x.chunk.step, x.chunk.array), []).append(span)
    resident = 0
    for index, tiling in enumerate(plan.tilings):
        for name, array in tiling.kernel.arrays.items():
            spans = sorted(chunks.get((index, name), ()))
            covered = {at for start, end in spans for at in range(start, end)}
            assert len(covered) == sum(end - start for start, end in spans)
            assert covered <= {*range(array.nbytes)}
            resident += array.nbytes - len(covered)
            for x in loads_of(tiling, name):
                around = [span for span in spans if x.at < span[1] and span[0] < x.end]
                assert not around or around == [s for s in spans if s[0] <= x.at and x.end <= s[1]]
    ends = [x.l2 + x.chunk.size_bytes for x in plan.transfers]
    assert max([*ends, plan.placement.arena_bytes]) + resident <= plan.chip.l2_bytes


def check_l2(plan: Plan) -> None:
    """No byte of L2 has two owners from the start of a transfer to its last read."""
    rows = [(x.begins, x.chunk.last, x.l2, x.l2 + x.chunk.size_bytes) for x in plan.transfers]
    at = plan.placement.offsets
    for life in plan.lives:
        alive = plan.timeline_steps.alive(life)
        rows.append((alive.first, alive.last, at[life.name], at[life.name] + life.size_bytes))
    for n, (first, last, start, end) in enumerate(rows):
        for other in rows[:n]:
            together = first <= other[1] and other[0] <= last
            assert not together or end <= other[2] or other[3] <= start


PORT_BYTES = WIDTHS[0] + WIDTHS[-1]
# Two of the smallest tiles, four rows of weights each, which are read at once, with their channels;
# per level, what is left where such a tile has no room.
TILE_BYTES = 4 * max(WIDTHS) + 4 * 16
SLACK_BYTES = 2 * TILE_BYTES


def least_l2_bytes(chip: Chip) -> int:
    """Bytes of L2 without which no placement exists: constants for which levels have no room, and
    the caller's buffers; results can be in L1."""
    rooms = (level.room_bytes // level.word_bytes * level.word_bytes for level in chip.levels)
    return max(CONSTANT_BYTES - sum(rooms), 0) + PORT_BYTES


def plan_of(chip: Chip) -> Plan | None:
    """Return the plan; None if it is refused, which needs a reason: too few bytes in all levels."""
    try:
        return make_plan(network(), chip)
    except MyoedgeError as error:
        slack_bytes = SLACK_BYTES + TILE_BYTES // 2 * len(chip.levels)
        if error.code != "E301" or chip.l2_bytes >= least_l2_bytes(chip) + slack_bytes:
            raise
        return None


@settings(max_examples=30, derandomize=True, database=None, deadline=None)
@given(chips())
def test_every_list_of_levels_has_sound_placements(chip: Chip) -> None:
    plan = plan_of(chip)
    if plan is None:
        return
    names = {level.name: level for level in chip.levels}
    assert {x.level for x in plan.transfers} <= {*names}
    for level in chip.levels:
        expected, image = level_owners(plan, level), plan.image(level.name)
        assert all(image[at] == byte for at, byte in expected.items())
        assert max(expected, default=-1) < len(image) <= level.bytes - level.reserved_bytes or (
            not expected and not image
        )
    check_constants(plan)
    check_l2(plan)
    for channel in {level.channel for level in chip.levels}:
        mine = [x for x in plan.transfers if names[x.level].channel == channel]
        assert [x.begins for x in mine] == sorted(x.begins for x in mine)
    assert all(x.begins <= x.chunk.first <= x.chunk.last for x in plan.transfers)


@settings(max_examples=8, derandomize=True, database=None, deadline=None)
@given(chips())
def test_a_chip_is_refused_only_if_its_bytes_are_too_few(chip: Chip) -> None:
    """Of L2 just larger and just smaller than what no placement can do without."""
    slack_bytes = SLACK_BYTES + TILE_BYTES // 2 * len(chip.levels)
    fits = replace(chip, l2_bytes=least_l2_bytes(chip) + slack_bytes)
    plan = make_plan(network(), fits)
    check_constants(plan)
    check_l2(plan)
    with pytest.raises(MyoedgeError, match="E301"):
        make_plan(network(), replace(chip, l2_bytes=least_l2_bytes(chip) - 1))


@pytest.mark.parametrize("room_bytes", [10**6, 40_000])
def test_a_second_level_with_its_own_channel_saves_cycles_and_energy(room_bytes: int) -> None:
    small = replace(find_chip("gap9"), l2_bytes=24_000, l2_reserved_bytes=0)
    both = small.with_optional("mram")
    mram = both.level("mram")
    both = both.with_level("mram", reserved_bytes=mram.bytes - room_bytes)
    one, two = make_plan(network(), small), make_plan(network(), both)
    assert modelled_cycles(two) < modelled_cycles(one)
    assert moved_pj(two) < moved_pj(one)
    assert 0 < moved_bytes(two)["mram"] <= room_bytes


@pytest.mark.parametrize(
    ("memory", "external", "parts"),
    [(False, "ram", ["flash", "ram"]), (True, "flash", []), (True, "none", [])],
)
def test_a_build_says_what_it_needs_beside_the_chip(
    memory: bool, external: str, parts: list[str]
) -> None:
    chip = replace(find_chip("gap9"), l2_bytes=24_000, l2_reserved_bytes=0)
    chip = chip.with_optional("mram") if memory else chip
    plan = plan_within(network(), chip, Budget(external=external))
    assert external_parts(plan, planned_image_bytes(plan)) == parts


def test_a_network_that_needs_external_ram_is_refused_without_it() -> None:
    chip = replace(find_chip("gap9"), l2_bytes=24_000, l2_reserved_bytes=0)
    with pytest.raises(MyoedgeError, match="L2"):
        plan_within(network(), chip, Budget(external="none"))


def test_weights_in_l2_need_a_flash_that_the_chip_has() -> None:
    """A program whose weights in L2 exceed the flash's part for programs starts from another."""
    (mram,) = find_chip("gap9").optional_levels
    large = replace(mram, program_bytes=1000, bytes=mram.reserved_bytes + 1000)
    chip = replace(find_chip("gap9"), optional_levels=(large,))
    plan = make_plan(network(), chip)
    assert external_parts(plan, planned_image_bytes(plan)) == ["flash"]
    assert external_parts(plan, 2000) == []
    with pytest.raises(MyoedgeError, match="external"):
        plan_within(network(), chip, Budget(external="none"))


@pytest.mark.parametrize(
    ("l2_bytes", "reserved_bytes", "streams"), [(60_000, 0, True), (120_000, 60_000, False)]
)
def test_a_program_starts_from_the_chips_flash_if_another_is_excluded(
    l2_bytes: int, reserved_bytes: int, streams: bool
) -> None:
    """Weights beside streamed ones leave L2, as the program with them must fit its part of the
    flash; weights that L2 holds without its reserve are not streamed: they have the whole flash."""
    (mram,) = find_chip("gap9").optional_levels
    layers, weights_bytes = len(network().steps), 5000
    code_bytes = STREAMED_CODE_BYTES + layers * STREAMED_LAYER_BYTES
    small = replace(mram, program_bytes=code_bytes + weights_bytes)
    chip = replace(find_chip("gap9"), l2_bytes=l2_bytes, l2_reserved_bytes=reserved_bytes)
    chip = replace(chip, optional_levels=(small,)).with_optional("mram")
    plan, free = (plan_within(network(), chip, Budget(external=x)) for x in ("none", "flash"))
    assert free.image_bytes("mram")
    assert free.weight_bytes > weights_bytes
    if streams:
        assert plan.weight_bytes <= weights_bytes
    assert bool(plan.image_bytes("mram")) == streams
    assert external_parts(plan, plan.weight_bytes + code_bytes) == []


def test_the_report_counts_each_level_alone() -> None:
    """Addresses of one level say nothing of another: report.json has each level's bytes."""
    small = replace(find_chip("gap9"), l2_bytes=24_000, l2_reserved_bytes=0).with_optional("mram")
    (mram,) = small.optional_levels
    plan = make_plan(network(), small.with_level("mram", bytes=mram.reserved_bytes + 20_000))
    report = make_report(plan, Outcome("net"))
    levels = report["memory"]["levels"]
    assert levels == {level.name: len(plan.image(level.name)) for level in plan.chip.levels}
    assert all(levels.values())
    of_l3 = sum(row["weights_l3_bytes"] for row in report["layers"])
    assert of_l3 == report["memory"]["l3_weights_bytes"] == levels["l3"]
