# SPDX-License-Identifier: Apache-2.0
"""Sums and extremes of elements side by side, of which a word holds four bytes or two halves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from myoedge.nest.flat import FlatNest
from myoedge.nest.ir import Element, Expr, Reduced
from myoedge.nest.rows import shared_loops

LANES = {"int8": 4, "int16": 2}
BY_WORDS = {"sum", "max", "min"}
FEW_TAPS = 9  # of a window: a pointer each
WORDS = 20  # that an iteration reads
EXTREMES = (4, 2)  # words of results that an iteration stores
COMPUTED = (2,)  # the same of averages: the code of more leaves a core's own instruction cache


@dataclass(frozen=True, eq=False)
class LaneSum:
    """A sum or extreme of an array's elements, for as many neighbours as a word has.

    parts    its reductions over one axis each, the outermost first
    number   the array, by its position in the reads of the description
    kind     its type
    """

    parts: tuple[Reduced, ...]
    number: int
    kind: str

    @property
    def operation(self) -> str:
        return self.parts[0].operation

    @property
    def has_ends(self) -> bool:
        return any(part.ends for part in self.parts)

    @property
    def taps(self) -> int:
        """Elements of the longest window."""
        return math.prod(part.axis.extent for part in self.parts)


def lane_sums(flat: FlatNest) -> list[LaneSum]:
    """Return all reductions of a description by words along its innermost loop; [] if one of them
    cannot be computed so, or a row has less than a word."""
    is_alone = bool(flat.late or flat.scanned or flat.turns)
    outer = [] if is_alone else _outermost_reductions(flat)
    found = [x for part in outer if (x := _make_lane_sum(part, flat))]
    kinds = {x.kind for x in found}
    is_complete = len(found) == len(outer) and len(kinds) == 1
    return found if is_complete and flat.loops[-1].extent >= LANES[found[0].kind] else []


def _outermost_reductions(flat: FlatNest) -> list[Reduced]:
    """Return the reductions that no other one reduces; [] if words compute none of one kind."""
    parts = [part for part in flat.nest.parts if isinstance(part, Reduced)]
    if not {part.operation for part in parts} <= BY_WORDS:
        return []
    inner = {id(part.value) for part in parts}
    return [part for part in parts if id(part) not in inner]


def lanes_of(flat: FlatNest) -> int:
    """Return the number of results that are computed at a time; 1 without words."""
    sums = lane_sums(flat)
    return LANES[sums[0].kind] if sums else 1


def words_together(flat: FlatNest) -> int:
    """Return the words per iteration of the loop over a row: several of small windows, if each core
    has whole rows of so many."""
    sums, lanes = lane_sums(flat), lanes_of(flat)
    taps = sum(x.taps for x in sums)
    if not 0 < taps <= FEW_TAPS or len(flat.loops) - 1 in shared_loops(flat, lanes=lanes):
        return 1
    ways, reads = (COMPUTED, 2 * taps) if _results_need_lanes(flat, sums) else (EXTREMES, taps)
    fits = (n for n in ways if n * reads <= WORDS and flat.loops[-1].extent % (n * lanes) == 0)
    return next(fits, 1)


def _results_need_lanes(flat: FlatNest, sums: list[LaneSum]) -> bool:
    """Return whether a result is more than an extreme."""
    extremes = {id(x.parts[0]) for x in sums if x.operation != "sum"}
    return any(id(value) not in extremes for _, value in flat.nest.results)


def _make_lane_sum(part: Reduced, flat: FlatNest) -> LaneSum | None:
    chain = [*_chain_of_reductions(part)]
    element = chain[-1].value
    fixed = [end for each in chain for end in each.ends or ()]
    if not isinstance(element, Element) or any(
        _is_moved_by_innermost_loop(end, flat) for end in fixed
    ):
        return None
    number = _index_of_read(element, flat)
    read, step = flat.reads[number], flat.loops[-1].steps[number]
    is_dense = step == 1 and read.is_reduced and read.array.dtype in LANES
    return LaneSum(tuple(chain), number, read.array.dtype) if is_dense else None


def _chain_of_reductions(part: Expr) -> Iterator[Reduced]:
    """Yield a reduction, and those of the same kind that it reduces."""
    assert isinstance(part, Reduced)
    yield part
    if isinstance(part.value, Reduced) and part.value.operation == part.operation:
        yield from _chain_of_reductions(part.value)


def _is_moved_by_innermost_loop(end: Expr, flat: FlatNest) -> bool:
    """Return whether the innermost loop changes an end."""
    return isinstance(end, Element) and flat.loops[-1].steps[_index_of_read(end, flat)] != 0


def _index_of_read(element: Element, flat: FlatNest) -> int:
    return next(
        number
        for number, read in enumerate(flat.reads)
        if any(part is element for part, _ in read.parts)
    )
