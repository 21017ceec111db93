# SPDX-License-Identifier: Apache-2.0
"""What is legal in a plan, as (check, message) pairs; a violation is a bug."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

from myoedge.plan.tiling import Buffer, Tiling, Transfer
from myoedge.spec import Spec

if TYPE_CHECKING:
    from myoedge.op import Step
    from myoedge.plan.planned import Plan


LONGEST_TRANSFER = 2**17 - 1  # bytes: the length field of mchan's command


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


def _l1_inside(plan: Plan) -> Iterator[str]:
    """Buffers of L1 end before its end."""
    room = plan.chip.l1_room_bytes
    for step, tiling in _tiled(plan):
        if any(b.offset < 0 or b.offset + b.size_bytes > room for b in tiling.buffers):
            yield step.node.name


def _l1_apart(plan: Plan) -> Iterator[str]:
    """Buffers of a layer, and of the one behind it, share no byte while both are alive."""
    rows = [*_tiled(plan)]
    for at, (step, tiling) in enumerate(rows):
        behind = rows[at + 1][1].buffers if at + 1 < len(rows) else ()
        own = combinations(tiling.buffers, 2)
        if any(_clash(a, b) for a, b in (*own, *product(tiling.buffers, behind))):
            yield step.node.name


def _clash(a: Buffer, b: Buffer) -> bool:
    in_time = a.first <= b.last and b.first <= a.last
    return in_time and a.offset < b.offset + b.size_bytes and b.offset < a.offset + a.size_bytes


def _l1_aligned(plan: Plan) -> Iterator[str]:
    for step, tiling in _tiled(plan):
        if any(b.offset % 4 for b in tiling.buffers):
            yield step.node.name


def _covered(plan: Plan) -> Iterator[str]:
    """Every byte of the results is stored, and stored once."""
    for step, tiling in _tiled(plan):
        whole = math.prod(tiling.tiled.out.shape) * tiling.tiled.out.item
        counts = np.zeros(whole, np.uint8)
        for tile in tiling.tiles:
            for x in tile.stores:
                for line in range(x.bytes // x.line):
                    at = x.at + line * x.stride
                    counts[at : at + x.line] += 1
        if not (counts == 1).all():
            yield step.node.name


def _movable(plan: Plan) -> Iterator[str]:
    """Transfers keep within what the DMA takes, their operands and their buffers."""
    for step, tiling in _tiled(plan):
        shapes = {o.name: math.prod(o.shape) * o.item for o in tiling.tiled.operands}
        for tile in tiling.tiles:
            for x in (*tile.loads, *tile.stores):
                end = x.at + (x.bytes // x.line - 1) * x.stride + x.line
                whole = x.bytes % x.line == 0 and 0 < x.bytes <= LONGEST_TRANSFER
                if not whole or x.at < 0 or end > shapes[x.operand] or not _in_buffer(tiling, x):
                    yield step.node.name


def _in_buffer(tiling: Tiling, x: Transfer) -> bool:
    return any(
        b.operand == x.operand and b.offset <= x.l1 and x.l1 + x.bytes <= b.offset + b.size_bytes
        for b in tiling.buffers
    )


def _tiled(plan: Plan) -> Iterator[tuple[Step, Tiling]]:
    pairs = zip(plan.steps, plan.tilings, strict=True)
    return ((step, tiling) for step, tiling in pairs if tiling is not None)


PLANNED: Spec[Plan] = (
    (_inside, "a buffer leaves the arena"),
    (_aligned, "a buffer does not start at a word"),
    (_apart, "two buffers share bytes while both are alive"),
    (_alive_when_used, "a tensor is used while its buffer is not alive"),
    (_l1_inside, "a buffer leaves L1"),
    (_l1_aligned, "a buffer of L1 does not start at a word"),
    (_l1_apart, "two buffers of L1 share bytes while both are alive"),
    (_covered, "a byte of a layer's results is not stored once"),
    (_movable, "a transfer is not what the DMA can do, or leaves its operand or buffer"),
)
