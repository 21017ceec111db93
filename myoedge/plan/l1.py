# SPDX-License-Identifier: Apache-2.0
"""All layers of a network in L1: tiles chosen one after another, buffers placed, fetched ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from myoedge.errors import Notice, notice
from myoedge.op import OPS, Step
from myoedge.plan.place import Life, first_gap
from myoedge.plan.tile import ALIGNMENT, NO_LIMITS, Choice, Limits, choose, smallest
from myoedge.plan.tiling import Spans, Tiling, lives, make_tiling, spans
from myoedge.tiled import Tiled

Placed = list[tuple[str, int, Life, int]]


def plan_l1(
    steps: Sequence[Step], room: int, limits: Mapping[int, Limits] | None = None
) -> tuple[Tiling | None, ...]:
    """How each step runs in tiles; None where it works on L2, as a whole.

    limits   what L2 has no room for, by step
    """
    made: list[Tiling | None] = []
    known: dict[str, Choice | None] = {}
    first, hidden = 0, 0.0
    for index, step in enumerate(steps):
        tiled = declared(step)
        choice = (
            None
            if tiled is None
            else _chosen(tiled, room, hidden, (limits or {}).get(index, NO_LIMITS), known)
        )
        if tiled is None or choice is None:
            made.append(None)
            first, hidden = first + 1, 0.0
            continue
        before = made[-1] if made else None
        tiling = _placed(index, tiled, choice, first, before, room)
        made.append(tiling)
        first += len(tiling.tiles)
        hidden = choice.cycles / len(tiling.tiles)
    return tuple(made)


def declared(step: Step) -> Tiled | None:
    """What the step's operator says of its tiles; None where it has none."""
    tiled = OPS[step.node.op].tiled
    return None if tiled is None else tiled(step)


def _chosen(
    tiled: Tiled, room: int, hidden: float, limits: Limits, known: dict[str, Choice | None]
) -> Choice | None:
    """Layers that are alike are searched once."""
    alike = (tiled.kernel, dict(tiled.axes), tiled.operands, dict(tiled.op), round(hidden), limits)
    key = repr(alike)
    if key not in known:
        known[key] = choose(tiled, room, hidden, limits=limits)
    return known[key]


def _placed(
    index: int, tiled: Tiled, choice: Choice, first: int, before: Tiling | None, room: int
) -> Tiling:
    """Buffers at the lowest offsets; nothing is fetched ahead where that finds no room."""
    every = spans(tiled, choice)
    taken = (
        []
        if before is None
        else [
            (b.offset, b.size_bytes, Life(b.operand, b.size_bytes, b.first, b.last))
            for b in before.buffers
        ]
    )
    for ahead in (True, False) if before is not None else (False,):
        placed = _place(index, tiled, choice, every, first, ahead, taken)
        if max(at + life.size_bytes for _, _, life, at in placed) <= room:
            return make_tiling(tiled, choice, every, first, ahead, placed)
    raise AssertionError("tiles that were chosen to fit do not")


def _place(
    index: int,
    tiled: Tiled,
    choice: Choice,
    every: Sequence[Spans],
    first: int,
    ahead: bool,
    taken: Sequence[tuple[int, int, Life]],
) -> Placed:
    found = lives(index, tiled, choice, every, first, ahead)
    placed: Placed = []
    # What is fetched ahead has fewest places to go, large buffers fewer than small ones.
    for operand, slot, life in sorted(found, key=lambda x: (x[2].first >= first, -x[2].size_bytes)):
        others = [(at, size) for at, size, other in taken if other.meets(life)]
        others += [(at, other.size_bytes) for _, _, other, at in placed]
        placed.append((operand, slot, life, first_gap(sorted(others), life.size_bytes, ALIGNMENT)))
    return placed


def least_bytes(step: Step) -> int:
    """What the smallest tile of a step takes of L1."""
    tiled = declared(step)
    assert tiled is not None
    return sum(smallest(tiled)[1].values())


def tile_facts(step: Step, room: int) -> dict[str, str]:
    """The smallest tile of a step, what there is, and the operand that takes most of it."""
    tiled = declared(step)
    assert tiled is not None
    sizes, parts = smallest(tiled)
    largest = max(parts, key=lambda name: parts[name])
    tile = " ".join(f"{axis} {n}" for axis, n in sizes.items() if axis in tiled.split)
    return {
        "needs": f"{sum(parts.values()):,} B for the smallest tile ({tile or 'the whole'})",
        "has": f"{room:,} B",
        "largest": f"{largest}, {parts[largest]:,} B",
    }


def too_small(step: Step, room: int) -> Notice:
    """Why a layer stays in L2."""
    return notice(
        "W301",
        f"{step.node.where} does not fit L1 in any tile: it is computed in L2, slowly",
        tile_facts(step, room),
        ["fewer channels or smaller kernels in this layer", "a larger --l1"],
    )
