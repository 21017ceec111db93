# SPDX-License-Identifier: Apache-2.0
"""Loops of a copy: the source index that each iteration reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from myoedge.operators.base import QuantizedNode

IN_STEPS = 8  # a single byte of a row up to this long is read with a step over the others


@dataclass(frozen=True, slots=True)
class Along:
    """A loop of a copy over its results; iteration i reads the source at index first + i * step.

    extent        number of iterations
    size          size of the source's dimension; indices outside 0 .. size - 1 read nothing
    place         position of that dimension in memory order; None: the loop repeats the source
    first, step   index of the first iteration, and its increment
    """

    extent: int
    size: int = 1
    place: int | None = None
    first: int = 0
    step: int = 1

    @property
    def whole(self) -> bool:
        return (self.first, self.step, self.size) == (0, 1, self.extent)

    @property
    def idle(self) -> bool:
        """Whether the loop has a single iteration."""
        return self.extent == 1 and self.size == 1 and self.first == 0


def joined(loops: Sequence[Along]) -> tuple[Along, ...]:
    """Merge adjacent loops that one loop can replace, and renumber their places from 0."""
    left = _renumber_axes([loop for loop in loops if not loop.idle])
    made: list[Along] = []
    for loop in left:
        made.append(loop)
        while len(made) > 1 and _are_adjacent(made[-2], made[-1]):
            made[-2:] = [_merge_loops(made[-2], made[-1])]
    if len(made) < len(left):
        return joined(made)
    return tuple(made) or (Along(1, 1, 0),)


def _renumber_axes(loops: Sequence[Along]) -> list[Along]:
    order = sorted(loop.place for loop in loops if loop.place is not None)
    places = (None if loop.place is None else order.index(loop.place) for loop in loops)
    return [replace(loop, place=at) for loop, at in zip(loops, places, strict=True)]


def _are_adjacent(outer: Along, inner: Along) -> bool:
    if outer.place is None or inner.place is None:
        return outer.place is inner.place
    return inner.place == outer.place + 1 and inner.whole and outer.step == 1


def _merge_loops(outer: Along, inner: Along) -> Along:
    n = inner.extent
    if outer.place is None:
        return replace(outer, extent=outer.extent * n)
    sizes = {"extent": outer.extent * n, "size": outer.size * n, "first": outer.first * n}
    return Along(place=outer.place, **sizes)


def in_bytes(step: QuantizedNode, loops: Sequence[Along]) -> tuple[Along, ...]:
    """Append an innermost loop over the bytes of an element."""
    return joined(
        [
            *loops,
            Along(step.element_type.size_bytes, step.element_type.size_bytes, len(step.shapes[0])),
        ]
    )


def in_groups(loops: Sequence[Along]) -> tuple[Along, ...]:
    """Sort loops into the source's memory order; a strided loop becomes one loop over groups and
    one within a group."""
    for at, loop in enumerate(loops):
        if loop.place is None or loop.step < 2 or loop.size % loop.step:
            continue
        group, lane = divmod(loop.first, loop.step)
        groups = Along(loop.extent, loop.size // loop.step, loop.place, group)
        one = Along(1, loop.step, loop.place + 1, lane)
        behind = (replace(x, place=loop.place + 2 + d) for d, x in enumerate(loops[at + 1 :]))
        return in_groups(joined([*loops[:at], groups, one, *behind]))
    return tuple(loops)


def in_steps(loops: Sequence[Along]) -> tuple[Along, ...]:
    """Replace loops over short rows by single elements, so that the other loops step over them."""
    if len(loops) < 2 or loops[-1].extent > 1 or loops[-1].size > IN_STEPS:
        return tuple(loops)
    *others, outer, inner = loops
    if outer.place is None or inner.place != outer.place + 1:
        return tuple(loops)
    sizes = {"size": outer.size * inner.size, "step": outer.step * inner.size}
    one = replace(outer, first=outer.first * inner.size + inner.first, **sizes)
    return joined([*others, one])
