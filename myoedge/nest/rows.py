# SPDX-License-Identifier: Apache-2.0
"""Rows that a description reads twice: for a sum over the row, and element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from myoedge.nest.flat import FlatNest


def shared_rows(flat: FlatNest) -> dict[int, int]:
    """Return read -> another read of the same rows, along a reduced axis: x[c] and x[r] with the
    sum over r of x[r], if the innermost loop moves c."""
    inner, found = flat.loops[-1], dict[int, int]()
    for number, read in enumerate(flat.reads):
        if not read.is_reduced and read.array.values is None and inner.steps[number]:
            known = [n for n in range(len(flat.reads)) if _is_row(flat, number, n)]
            found |= dict(zip([number], known[:1], strict=False))
    return found


def _is_row(flat: FlatNest, number: int, other: int) -> bool:
    """Return whether a read is of the rows that another one reads along a reduced axis."""
    read, rows, inner = flat.reads[number], flat.reads[other], flat.loops[-1]
    known = zip((axis.extent for axis in flat.over), rows.over, strict=False)
    moved = [x for x in known if x[1]] == [(inner.extent, inner.steps[number])]
    outer = all(x.steps[number] == x.steps[other] for x in flat.loops[:-1])
    return outer and moved and (read.array, read.start) == (rows.array, rows.start)


def row_start(flat: FlatNest) -> float:
    """Return the elements that take as long as the start of a row, with the sums of the row; an
    element takes as long as its own sums."""
    known = [(read, flat.loops[-1].steps[number]) for number, read in enumerate(flat.reads)]
    own, common = 1, 0
    for n, axis in enumerate(flat.over):
        if any(step for read, step in known if read.over[n]):
            own *= axis.extent
        else:
            common += axis.extent
    return (4.0 + common / 4) / own
