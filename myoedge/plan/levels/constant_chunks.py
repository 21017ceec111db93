# SPDX-License-Identifier: Apache-2.0
"""Chunks of a plan's constants that may be streamed, and the bytes of L2 that they need."""

from __future__ import annotations

import itertools
from collections.abc import Container, Sequence

from myoedge.plan.levels.equal_constants import Key
from myoedge.plan.levels.residency import Part, most_read
from myoedge.plan.placement import peak
from myoedge.plan.plan import Plan
from myoedge.plan.timeline import Chunk, candidates, chunks

PIECE_BYTES = 32768  # maximum bytes of a transfer: its start then costs 0.4 % of its time
# Transfers that fit the window at least, if tiles are small enough: parts that become resident
# leave less room for those of the other parts.
PIECES = 8, 16, 32
FINEST_PIECES = 512  # where bytes decide


def window_bytes(plan: Plan) -> int:
    """Return the bytes of L2 that a plan leaves for constants, resident or streamed."""
    owners = plan.owners
    rows = _streamable_constants(plan)
    constants = sum(size for index, name, size in rows if owners[index, name] == (index, name))
    return plan.l2_room_bytes - plan.l2_bytes + constants


def chunks_of_constants(plan: Plan, pieces: int = 0) -> dict[Part, list[Chunk]]:
    """Return the chunks of every part of a constant that can be streamed. Parts of equal constants
    are equal: where their tiles read other ranges, the constant is one part.

    pieces   chunks that fit the window at least; 0: chunks are as small as tiles allow
    """
    room = min(max(window_bytes(plan), 0), PIECES[0] * PIECE_BYTES)
    most = room // pieces if pieces else 0
    cuts: dict[Key, list[list[Chunk]]] = {}
    for index, name, size in _streamable_constants(plan):
        own = chunks(index, name, size, plan.tilings[index], plan.timeline_steps, most)
        cuts.setdefault(plan.owners[index, name], []).append(own)
    parts: dict[Part, list[Chunk]] = {}
    for key, cut in cuts.items():
        alike = len({tuple(chunk.start for chunk in own) for own in cut}) == 1
        for chunk in itertools.chain.from_iterable(cut):
            parts.setdefault((*key, chunk.start if alike else 0), []).append(chunk)
    return parts


def _streamable_constants(plan: Plan) -> list[tuple[int, str, int]]:
    """Return (layer, constant, bytes) of the constants that may be streamed; not of those equal to
    one that stays in L1 for a loop and is loaded from L2."""
    rows, owners = [*candidates(plan.tilings)], plan.owners
    may = {(index, name) for index, name, _ in rows}
    near = {owners[key] for key in owners if key not in may}
    return [row for row in rows if owners[row[:2]] not in near]


def least_bytes(plan: Plan) -> int:
    """Return the minimum bytes of L2 that a plan needs, with all constants streamed."""
    parts = chunks_of_constants(plan, PIECES[-1]).values()
    read = most_read([*itertools.chain.from_iterable(parts)])
    return plan.l2_room_bytes - window_bytes(plan) + read


def least_beside(plan: Plan, maps: Sequence[str], steps: Container[int]) -> int:
    """Return the bytes of L2 that a plan needs whichever of its feature maps leave L2: all other
    buffers, and the constants of steps that read none of these maps, in the smallest chunks.

    maps    feature maps that may leave L2
    steps   steps that read or write them
    """
    lives = tuple(life for life in plan.lives if life.name not in maps)
    ports = [name for name in (*plan.graph_inputs, *plan.graph_outputs) if name not in maps]
    fixed = plan.l2_room_bytes - window_bytes(plan) - plan.arena_bytes - plan.border_bytes
    chunks = (chunk for chunks in chunks_of_constants(plan).values() for chunk in chunks)
    read = most_read([chunk for chunk in chunks if chunk.step not in steps])
    return fixed + peak(lives, plan.chip.alignment_bytes)[0] + plan.port_bytes(ports) + read


def read_at_once(plan: Plan) -> dict[int, int]:
    """Return layer -> minimum bytes of constants in L2 at a time, in the smallest chunks that its
    tiles allow."""
    chunks_of: dict[int, list[Chunk]] = {}
    for found in chunks_of_constants(plan).values():
        for chunk in found:
            chunks_of.setdefault(chunk.step, []).append(chunk)
    return {index: most_read(own) for index, own in chunks_of.items()}
