# SPDX-License-Identifier: Apache-2.0
"""Consistency checks of a plan, and of its transfers between L2 and other memory levels; a
violation is a bug in myoedge. check_l1 has the checks of layers' buffers and transfers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from itertools import accumulate, pairwise
from operator import itemgetter

import numpy as np

from myoedge.operators.checks import Check, Spec
from myoedge.plan.check_in_place import replaces
from myoedge.plan.check_l1 import L1_PLANNED
from myoedge.plan.l1.tile_iteration import Transfer
from myoedge.plan.levels.loop_residency import is_held
from myoedge.plan.levels.transfers import LevelTransfer, resident_ranges
from myoedge.plan.placement import LiveRange
from myoedge.plan.plan import Plan, scratch_name
from myoedge.plan.timeline import WORD


def _check_level_bounds(plan: Plan) -> Iterator[str]:
    """Yield layers with transfers that are not whole words inside the arena and their level, or
    whose constants differ from the level's image."""
    images, map_level = _level_images(plan), plan.chip.map_level.name
    for x in plan.transfers:
        size, chunk = x.chunk.room_bytes, x.chunk
        words = x.l2 % WORD == x.address % WORD == 0
        if chunk.tensor:
            there = x.address <= plan.map_bytes - size and x.level == map_level
        else:
            content = images.get(x.level, b"")[x.address : x.address + size]
            there = content == plan.content(chunk) and not x.out
            words &= x.address % plan.chip.level(x.level).word_bytes == 0
        if not (words and there and 0 <= x.l2 <= plan.arena_bytes - size and x.address >= 0):
            yield plan.steps[chunk.step].node.name


def _level_images(plan: Plan) -> dict[str, bytes]:
    return {level.name: plan.image(level.name) for level in plan.chip.levels}


def _check_level_room(plan: Plan) -> Iterator[str]:
    """Yield levels with more data than their room."""
    images, map_level = _level_images(plan), plan.chip.map_level.name
    for level in plan.chip.levels:
        image = len(images[level.name])
        size = image + plan.map_bytes * (level.name == map_level)
        if size > level.room_bytes or image > level.constants_bytes:
            yield f"{level.name}: {size:,} B"


def _check_each_byte_once(plan: Plan) -> Iterator[str]:
    """Yield layers with streamed constants of which a byte is in several chunks or in none, where
    the constant of equal bytes that is stored has no such byte in L2."""
    for (index, array), transfers in plan.streamed.items():
        content, owner = plan.stored(index)[array], plan.owners[index, array]
        marks = np.zeros(content.nbytes, np.uint8)
        for x in transfers:
            marks[x.chunk.start : x.chunk.start + x.chunk.size_bytes] += 1
        near = np.ascontiguousarray(content).reshape(-1).view(np.int8)[marks == 0]
        if marks.max() > 1 or not np.array_equal(near, plan.resident(owner).view(np.int8)):
            yield plan.steps[index].node.name


def _check_transfer_order(plan: Plan) -> Iterator[str]:
    """Yield layers whose transfers begin out of order or too late, or in other iterations than
    those that read their bytes; those of a transfer before a loop may stay to its end."""
    for a, b in pairwise(plan.transfers):
        if b.begins < a.begins:
            yield plan.steps[b.chunk.step].node.name
    steps = plan.timeline_steps
    for h in plan.transfers:
        used = (h.needed,) if is_held(h.chunk, steps) else (h.needed, h.chunk.last, h.owned_from)
        loops = {*map(steps.loop_at, (h.begins, *used))}
        if len(loops) > 1 or not h.begins <= h.needed <= h.chunk.last + 1:
            yield plan.steps[h.chunk.step].node.name


def _check_transfer_overlap(plan: Plan) -> Iterator[str]:
    """Yield layers whose transfers use bytes of L2 that other data occupies between the start of
    the transfer and the last read."""
    at = plan.placement.offsets
    alive = plan.timeline_steps.alive
    rows = [(at[x.name], at[x.name] + x.size_bytes, alive(x)) for x in plan.lives]
    windows = {(a.step, a.operand): a.window(len(plan.steps) - 1).name for a in plan.accesses}
    for x in plan.transfers:
        chunk, start, end = x.chunk, x.l2, x.l2 + x.chunk.room_bytes
        name = plan.steps[chunk.step].node.name
        window = windows.get((chunk.step, chunk.array)) if chunk.tensor else None
        own = LiveRange(name, chunk.room_bytes, x.owned_from, chunk.last)
        others = (row for row in rows if row[2].name != window and own.meets(row[2]))
        if any(max(start, first) < min(end, stop) for first, stop, _ in others):
            yield name
        rows.append((start, end, own))


def _check_arrival(plan: Plan) -> Iterator[str]:
    """Yield layers with tiles whose part of a streamed constant is not completely in one chunk, or
    not in L2 in time, or not completely in one part that stays in L2."""
    for (index, array), transfers in plan.streamed.items():
        near = resident_ranges(transfers, plan.stored(index)[array].nbytes)
        for first, last, at, end in _constant_reads(plan, index, array):
            arrives = any(_covers_bytes(h, at, end, first, last) for h in transfers)
            if not arrives and not any(start <= at and end <= stop for start, stop in near):
                yield plan.steps[index].node.name


def _constant_reads(plan: Plan, index: int, array: str) -> Iterator[tuple[int, int, int, int]]:
    """Yield (first timeline step, last timeline step, first byte, end) for every read of a layer's
    constant in L2: by the kernel itself, or by the loads of tiles."""
    tiling, steps = plan.tilings[index], plan.timeline_steps
    operand = next(o.name for o in tiling.kernel.operands if o.source == array)
    if operand in tiling.choice.in_l2:
        yield steps.enters[index], steps.enters[index + 1] - 1, 0, plan.stored(index)[array].nbytes
    for t, tile in enumerate(tiling.tiles):
        for x in tile.moved(operand):
            ahead = tiling.begun_ahead(t, x)
            begins = (
                steps.stage(index, tiling.loads_in(t)) if ahead is None else steps.beside(ahead)
            )
            first, last = sorted((begins, steps.stage(index, t)))  # across passes: all their steps
            yield first, last, x.at, x.end


def _check_maps_in_windows(plan: Plan) -> Iterator[str]:
    """Yield layers whose tiles move bytes of a feature map in a level that no L2 window holds
    then."""
    transfers: dict[tuple[int, str], list[LevelTransfer]] = {}
    for h in filter(lambda h: h.chunk.tensor, plan.transfers):
        transfers.setdefault((h.chunk.step, h.chunk.array), []).append(h)
    for found in plan.accesses:
        tiling, enter = plan.tilings[found.step], plan.timeline_steps.enters[found.step]
        for t, tile in enumerate(tiling.tiles):
            timeline_step = enter + min(t + 2 * found.written, len(tiling.tiles))
            now, windows = (timeline_step, timeline_step), (found.step, found.operand)
            possible = transfers.get(windows, ())
            there = [h for h in possible if _covers_bytes(h, h.chunk.start, h.chunk.start, *now)]
            for x in tile.moved(found.operand):
                if not all(
                    any(_covers_bytes(h, *line, *now) for h in there) for line in _transfer_rows(x)
                ):
                    yield plan.steps[found.step].node.name
    yield from _check_maps_written_first(plan)


def _transfer_rows(x: Transfer) -> Iterator[tuple[int, int]]:
    """Yield the first byte and the end of each row of a transfer."""
    starts = (x.at + k * x.stride for k in range(x.bytes // x.line))
    return ((start, start + x.line) for start in starts)


def _check_maps_written_first(plan: Plan) -> Iterator[str]:
    """Yield layers whose feature map is loaded from its level before it has been written there
    completely."""
    for n, h in enumerate(plan.transfers):
        # Inputs are there at the start; other maps are written completely before any byte is read.
        if not h.chunk.tensor or h.out or h.chunk.tensor in plan.graph_inputs:
            continue
        at = h.address
        for low, high in sorted(
            (x.address, x.address + x.chunk.room_bytes) for x in plan.transfers[:n] if x.out
        ):
            at = high if low <= at < high else at
        if at < h.address + h.chunk.size_bytes:
            yield plan.steps[h.chunk.step].node.name


def _covers_bytes(transfer: LevelTransfer, start: int, stop: int, first: int, last: int) -> bool:
    chunk = transfer.chunk
    inside = chunk.start <= start and stop <= chunk.start + chunk.size_bytes
    end = transfer.begins - 1 if transfer.out else chunk.last
    return inside and chunk.first <= first and last <= end


def _if_moved(find: Check[Plan]) -> Check[Plan]:
    """Return a check of plans that move data between L2 and other levels."""
    return lambda plan: find(plan) if plan.transfers or plan.accesses else iter(())


LEVELS_PLANNED: Spec[Plan] = (
    (_if_moved(_check_level_bounds), "a transfer leaves the arena, or differs from its level"),
    (_check_level_room, "a memory level has more data than room"),
    (_if_moved(_check_transfer_order), "transfers are out of turn"),
    (_if_moved(_check_transfer_overlap), "a transfer overwrites live bytes, or is overwritten"),
    (_if_moved(_check_arrival), "a streamed constant is read before it has arrived"),
    (_if_moved(_check_each_byte_once), "a byte of a constant is not in exactly one level"),
    (
        _if_moved(_check_maps_in_windows),
        "a feature map in a level is used while it is not in its L2 window",
    ),
)


def _check_l2_size(plan: Plan) -> Iterator[str]:
    if plan.l2_bytes > plan.chip.l2_bytes:
        yield f"{plan.l2_bytes:,} B"


def _check_arena_bounds(plan: Plan) -> Iterator[str]:
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


def _check_no_overlap(plan: Plan) -> Iterator[str]:
    """Yield buffers that overlap another buffer that is alive in the same step, unless the step
    replaces one by the other in order."""
    starting = {max(life.first, 0) for life in plan.lives}
    for index, alive in enumerate(_alive_by_step(plan)):
        pairs = _overlapping(alive) if index in starting else ()
        yield from (name for name, *other in pairs if not replaces(plan, index, (name, *other)))


def _overlapping(alive: Alive) -> Iterator[tuple[str, str]]:
    """Yield the pairs of buffers that share bytes."""
    before = Alive()
    for start, end, name in alive:
        before = [row for row in before if start < row[1]]
        yield from ((other, name) for _, _, other in before)
        before.append((start, end, name))


def _check_alive_when_used(plan: Plan) -> Iterator[str]:
    """Yield steps that read or write arena bytes outside every buffer that is alive."""
    for step, alive in zip(plan.steps, _alive_by_step(plan), strict=False):
        ends = [*accumulate((end for _, end, _ in alive), max)]  # buffers may overlap
        for name in step.tensors.values():
            place = plan.where[name]
            before = bisect_right(alive, place.offset, key=itemgetter(0))
            inside = before > 0 and place.offset < ends[before - 1]
            if place.kind == "arena" and not inside:
                yield name


def _check_l2_scratch(plan: Plan) -> Iterator[str]:
    """Yield layers whose scratch does not fit in L1 and has no arena buffer while they run."""
    lives = {life.name: life for life in plan.lives}
    for index, tiling in enumerate(plan.tilings):
        life = lives.get(scratch_name(index), LiveRange("", 0, 0, 0))
        held = life.first <= index <= life.last and tiling.l2_scratch_bytes <= life.size_bytes
        if tiling.l2_scratch_bytes and not held:
            yield plan.steps[index].node.name


PLANNED: Spec[Plan] = (
    (_check_l2_size, "there is more than L2 has"),
    (_check_arena_bounds, "a buffer leaves the arena"),
    (
        lambda plan: (name for name, at in plan.placement.offsets.items() if at % 4),
        "a buffer does not start at a word",
    ),
    (_check_no_overlap, "two buffers share bytes while both are alive"),
    (_check_alive_when_used, "a tensor is used while its buffer is not alive"),
    (_check_l2_scratch, "scratch in L2 has no live buffer"),
    *L1_PLANNED,
    *LEVELS_PLANNED,
)
