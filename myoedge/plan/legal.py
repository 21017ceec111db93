# SPDX-License-Identifier: Apache-2.0
"""What is legal in a plan, as (check, message) pairs; a violation is a bug."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from myoedge.spec import Spec

if TYPE_CHECKING:
    from myoedge.plan.schedule import Plan


def _inside(plan: Plan) -> Iterator[str]:
    at = plan.placement.offsets
    return (
        life.name
        for life in plan.lives
        if not 0 <= at[life.name] <= plan.arena_bytes - life.size_bytes
    )


def _aligned(plan: Plan) -> Iterator[str]:
    at = plan.placement.offsets
    return (life.name for life in plan.lives if at[life.name] % 4)


def _apart(plan: Plan) -> Iterator[str]:
    """Two buffers that are alive at one step share no byte."""
    at = plan.placement.offsets
    for a, b in combinations(plan.lives, 2):
        before, after = at[a.name] + a.size_bytes, at[b.name] + b.size_bytes
        if a.meets(b) and at[a.name] < after and at[b.name] < before:
            yield a.name


def _alive_when_used(plan: Plan) -> Iterator[str]:
    """Whatever a step reads or writes in the arena lies in a buffer that is alive then."""
    for index, step in enumerate(plan.steps):
        for name in (*step.operands, step.node.name):
            if plan.where[name].kind == "arena" and not _held(plan, name, index):
                yield name


def _held(plan: Plan, name: str, index: int) -> bool:
    offset = plan.where[name].offset
    return any(
        life.first <= index <= life.last
        and 0 <= offset - plan.placement.offsets[life.name] < life.size_bytes
        for life in plan.lives
    )


PLANNED: Spec[Plan] = (
    (_inside, "a buffer leaves the arena"),
    (_aligned, "a buffer does not start at a word"),
    (_apart, "two buffers share bytes while both are alive"),
    (_alive_when_used, "a tensor is used while its buffer is not alive"),
)
