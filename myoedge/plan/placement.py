# SPDX-License-Identifier: Apache-2.0
"""Offsets of buffers in one arena: never two at one place at one time, as low as possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from myoedge.numerics.arrays import round_up

# CP-SAT's own measure of work, the same on every machine; 150 buffers need about 0.02.
DETERMINISTIC_TIME = 4.0


@dataclass(frozen=True, slots=True)
class Life:
    """A buffer: its size, and the first and last step that touches it."""

    name: str
    size_bytes: int
    first: int
    last: int

    def meets(self, other: Life) -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class Placement:
    """Offsets by name, the arena's size, and what no placement can go below."""

    offsets: dict[str, int]
    arena_bytes: int
    lower_bound_bytes: int
    proven: bool


Place = Callable[[Sequence[Life], int], Placement]


def lower_bound(lives: Sequence[Life], alignment: int) -> int:
    """The most bytes that are alive at one step."""
    return max(
        (
            sum(round_up(x.size_bytes, alignment) for x in lives if x.first <= step <= x.last)
            for step in sorted({life.first for life in lives})
        ),
        default=0,
    )


def greedy(lives: Sequence[Life], alignment: int) -> dict[str, int]:
    """Largest first, each at the lowest offset where nothing alive at the same time lies."""
    offsets: dict[str, int] = {}
    placed: list[Life] = []
    for life in sorted(lives, key=lambda x: (-x.size_bytes, x.first, x.name)):
        taken = sorted((offsets[p.name], p.size_bytes) for p in placed if p.meets(life))
        offsets[life.name] = first_gap(taken, life.size_bytes, alignment)
        placed.append(life)
    return offsets


def first_gap(taken: Sequence[tuple[int, int]], size: int, alignment: int) -> int:
    """The lowest offset of so many bytes between (offset, size) pairs in ascending order."""
    offset = 0
    for start, length in taken:
        if offset + size <= start:
            break
        offset = max(offset, round_up(start + length, alignment))
    return offset


def place(lives: Sequence[Life], alignment: int) -> Placement:
    """Greedy, then CP-SAT where that is not yet the lower bound; greedy alone without ortools."""
    offsets = greedy(lives, alignment)
    bound, size = lower_bound(lives, alignment), height(lives, offsets, alignment)
    if size == bound:
        return Placement(offsets, size, bound, True)
    better, proven = _solve(lives, alignment, offsets, bound, size)
    return Placement(better, height(lives, better, alignment), bound, proven)


def height(lives: Sequence[Life], offsets: dict[str, int], alignment: int) -> int:
    """Bytes of the arena that these offsets need."""
    return max((round_up(offsets[x.name] + x.size_bytes, alignment) for x in lives), default=0)


def _solve(
    lives: Sequence[Life], alignment: int, hint: dict[str, int], bound: int, most: int
) -> tuple[dict[str, int], bool]:
    """Two-dimensional packing: time is given, offsets are sought; one worker: repeatable."""
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        return hint, False
    model = cp_model.CpModel()
    top = model.new_int_var(bound // alignment, most // alignment, "top")
    offsets, times, spans = {}, [], []
    for life in lives:
        units = round_up(life.size_bytes, alignment) // alignment
        offsets[life.name] = at = model.new_int_var(0, most // alignment - units, life.name)
        model.add_hint(at, hint[life.name] // alignment)
        spans.append(model.new_fixed_size_interval_var(at, units, life.name))
        times.append(model.new_fixed_size_interval_var(life.first, life.last - life.first + 1, "t"))
        model.add(at + units <= top)
    model.add_no_overlap_2d(times, spans)
    model.minimize(top)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = DETERMINISTIC_TIME
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return hint, False
    found = {name: solver.value(at) * alignment for name, at in offsets.items()}
    return found, status == cp_model.OPTIMAL
