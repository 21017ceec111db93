# SPDX-License-Identifier: Apache-2.0
"""Consistency checks of a plan; a violation is a bug in myoedge. check_l1 has the checks of layers'
buffers and transfers, check_l3 those of L3."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from itertools import pairwise
from operator import itemgetter

from myoedge.operators.checks import Spec
from myoedge.plan.check_l1 import L1_PLANNED
from myoedge.plan.check_l3 import L3_PLANNED
from myoedge.plan.placement import LiveRange
from myoedge.plan.plan import Plan, scratch_name


def _fits(plan: Plan) -> Iterator[str]:
    if plan.l2_bytes > plan.chip.l2_bytes:
        yield f"{plan.l2_bytes:,} B"


def _inside(plan: Plan) -> Iterator[str]:
    at, end = plan.placement.offsets, plan.arena_bytes
    return (x.name for x in plan.lives if not 0 <= at[x.name] <= end - x.size_bytes)


Alive = list[tuple[int, int, str]]  # (offset, end, name) of arena buffers, sorted


def _alive_by_step(plan: Plan) -> Iterator[Alive]:
    """Yield, for each step and the time after the last one, the buffers that are alive."""
    at, alive = plan.placement.offsets, Alive()
    lives = [x for x in plan.lives if max(x.first, 0) <= x.last]  # alive in some step
    rows = [(x, (at[x.name], at[x.name] + x.size_bytes, x.name)) for x in lives]
    begins = sorted(rows, key=lambda row: row[0].first, reverse=True)
    ends = sorted(rows, key=lambda row: row[0].last, reverse=True)
    for index in range(len(plan.steps) + 1):
        while ends and ends[-1][0].last < index:
            del alive[bisect_left(alive, ends.pop()[1])]
        while begins and begins[-1][0].first <= index:
            insort(alive, begins.pop()[1])
        yield alive


def _apart(plan: Plan) -> Iterator[str]:
    """Yield buffers that overlap another buffer that is alive in the same step."""
    starting = {max(life.first, 0) for life in plan.lives}
    for index, alive in enumerate(_alive_by_step(plan)):
        pairs = pairwise(alive) if index in starting else ()
        yield from (name for (_, end, name), (start, _, _) in pairs if start < end)


def _alive_when_used(plan: Plan) -> Iterator[str]:
    """Yield steps that read or write arena bytes outside every buffer that is alive."""
    for step, alive in zip(plan.steps, _alive_by_step(plan), strict=False):
        for name in step.tensors.values():
            place = plan.where[name]
            before = bisect_right(alive, place.offset, key=itemgetter(0))
            inside = before > 0 and place.offset < alive[before - 1][1]
            if place.kind == "arena" and not inside:
                yield name


def _scratch_in_l2(plan: Plan) -> Iterator[str]:
    """Yield layers whose scratch does not fit in L1 and has no arena buffer while they run."""
    lives = {life.name: life for life in plan.lives}
    for index, tiling in enumerate(plan.tilings):
        life = lives.get(scratch_name(index), LiveRange("", 0, 0, 0))
        held = life.first <= index <= life.last and tiling.l2_scratch_bytes <= life.size_bytes
        if tiling.l2_scratch_bytes and not held:
            yield plan.steps[index].node.name


PLANNED: Spec[Plan] = (
    (_fits, "there is more than L2 has"),
    (_inside, "a buffer leaves the arena"),
    (
        lambda plan: (name for name, at in plan.placement.offsets.items() if at % 4),
        "a buffer does not start at a word",
    ),
    (_apart, "two buffers share bytes while both are alive"),
    (_alive_when_used, "a tensor is used while its buffer is not alive"),
    (_scratch_in_l2, "scratch in L2 has no live buffer"),
    *L1_PLANNED,
    *L3_PLANNED,
)
