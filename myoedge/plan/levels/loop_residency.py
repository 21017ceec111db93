# SPDX-License-Identifier: Apache-2.0
"""Constants that stay in L2 for the iterations of a loop, loaded once before the loop, into bytes
that other layers use before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from myoedge.plan.levels.distribution import spread
from myoedge.plan.plan import Plan
from myoedge.plan.timeline import Chunk, LoopSteps, TimelineSteps

SHARES = 5  # of the bytes that are free during a loop, 1 - 1 / 2^n are tried, n from 1 on


def with_loop_residents(
    plan: Plan,
    room: int,
    place: Callable[[Sequence[Chunk]], Plan | None],
    costs: Callable[[Plan], tuple[int, float]],
) -> Plan:
    """Return the plan with as many chunks of constants loaded once per loop as make it fastest.

    plan     a plan that streams constants
    room     bytes of L2 for the arena and streamed constants
    place    chunks -> the plan that streams them; None if they do not fit
    costs    plan -> parts beside the chip, and estimated cycles with waits
    """
    best, least = plan, costs(plan)
    turns = plan.timeline_steps.turns  # transfers end before a loop, in a layer that runs once
    loops = (x for x in plan.timeline_steps.loops if x.first > 0 and turns(x.first - 1) == 1)
    for loop in sorted(loops, key=lambda loop: loop.turns, reverse=True):
        chunks = [x.chunk for x in best.constant_transfers]
        free = room - _bytes_of_others(plan, loop)
        for halvings in range(1, SHARES + 1):
            share = free - (free >> halvings)
            made = place(_hold_some(chunks, loop, plan.timeline_steps, share))
            if made is not None and (now := costs(made)) < least:
                best, least = made, now
    return best


def _bytes_of_others(plan: Plan, loop: LoopSteps) -> int:
    """Return the largest number of bytes of other buffers that a step of a loop needs in L2."""
    lives = [plan.timeline_steps.alive(life) for life in plan.lives]
    return max(
        sum(life.size_bytes for life in lives if life.first <= step <= life.last)
        for step in range(loop.first, loop.end)
    )


def _hold_some(
    chunks: Sequence[Chunk], loop: LoopSteps, steps: TimelineSteps, room: int
) -> list[Chunk]:
    """Return the chunks, of which up to `room` bytes stay for all iterations of a loop."""
    sizes = {x: x.room_bytes for x in chunks if loop.first <= x.first < loop.end}
    chosen = {*spread(sizes, room)}
    return [_held(x, loop, steps) if x in chosen else x for x in chunks]


def _held(chunk: Chunk, loop: LoopSteps, steps: TimelineSteps) -> Chunk:
    """Return a chunk of a loop's layer as one that is loaded before the loop."""
    first = loop.first - 1
    return replace(chunk, first=first, last=loop.end - 1, earliest=steps.earliest(first), turns=1)


def is_held(chunk: Chunk, steps: TimelineSteps) -> bool:
    """Return whether a chunk stays for all iterations of its layer's loop."""
    return not chunk.tensor and any(
        chunk.first < loop.first and chunk.last == loop.end - 1 for loop in steps.loops
    )


def held_as_in(plan: Plan, chunks: Sequence[Chunk]) -> list[Chunk]:
    """Return these chunks; those of bytes that a plan holds in L2 for a loop stay for it."""
    steps, held = plan.timeline_steps, dict[tuple[int, str], list[Chunk]]()
    for chunk in (
        x.chunk for x in plan.constant_transfers if is_held(x.chunk, plan.timeline_steps)
    ):
        held.setdefault((chunk.step, chunk.array), []).append(chunk)

    def as_held(x: Chunk) -> Chunk:
        common, end = 0, x.start + x.size_bytes
        for other in held.get((x.step, x.array), ()):
            last = min(end, other.start + other.size_bytes)
            common += max(last - max(x.start, other.start), 0)
        loop = steps.loop_at(x.first)
        return x if loop is None or common < x.size_bytes else _held(x, loop, steps)

    return [as_held(x) for x in chunks]
