# SPDX-License-Identifier: Apache-2.0
"""Rows of a description: those that it reads twice, for a sum over the row and element by element;
the loop of their elements, and the loop that cores share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myoedge.nest.ir import Axis, Element, Nest, Reduced, walk

if TYPE_CHECKING:
    from myoedge.nest.flat import FlatNest

DIVISION = 0.01  # of a layer's time: what it takes to find a core's first iteration of two loops


def row_axis(nest: Nest) -> Axis | None:
    """Return the axis whose iterations have all reductions in common, which the last one changes;
    None if there is none."""
    reduced = _axes_of_reductions(nest)
    long = [axis for axis in nest.axes if axis.extent > 1]
    common = [axis for axis in long if axis not in reduced]
    return common[-1] if common and long[-1] in reduced and not nest.more else None


def _axes_of_reductions(nest: Nest) -> set[Axis]:
    """Return the axes on which reductions depend."""
    read = (x for part in nest.parts if isinstance(part, Reduced) for x in walk(part))
    indices = (index for part in read if isinstance(part, Element) for index in part.index)
    return {axis for index in indices for axis, _ in index.terms}


def shared_rows(flat: FlatNest) -> dict[int, int]:
    """Return read -> another read of the same rows, along a reduced axis: x[c] and x[r] with the
    sum over r of x[r], if the innermost loop moves c."""
    inner, found = flat.loops[-1], dict[int, int]()
    for number, read in enumerate(flat.reads):
        if not read.is_reduced and read.array.values is None and inner.steps[number]:
            known = [n for n in range(len(flat.reads)) if _reads_same_rows(flat, number, n)]
            found |= dict(zip([number], known[:1], strict=False))
    return found


def _reads_same_rows(flat: FlatNest, number: int, other: int) -> bool:
    """Return whether a read is of the rows that another one reads along a reduced axis."""
    read, rows, inner = flat.reads[number], flat.reads[other], flat.loops[-1]
    known = zip((axis.extent for axis in flat.over), rows.over, strict=False)
    moved = [x for x in known if x[1]] == [(inner.extent, inner.steps[number])]
    outer = all(x.steps[number] == x.steps[other] for x in flat.loops[:-1])
    a, b = ((x.array, x.start, x.width, x.apart) for x in (read, rows))
    return outer and moved and a == b


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


def shared_loops(flat: FlatNest, cores: int = 8, lanes: int = 1) -> tuple[int, ...]:
    """Return the number of the loop whose iterations the cores share: the innermost one for long
    rows, otherwise the loop whose largest share of a core is smallest; of words, two loops around
    the innermost one, if shares of both together are smaller.

    lanes   elements of the innermost loop that are computed at a time
    """
    loops = flat.loops
    extents = [*(loop.extent for loop in loops[:-1]), -(-loops[-1].extent // lanes)]
    rows = [_largest_core_share(extent, cores) for extent in extents]
    rows[-1] += row_start(flat) / loops[-1].extent if len(loops) > 1 else 0  # on each core
    best = min(range(len(loops)), key=rows.__getitem__)
    if (lanes > 1 or flat.row is not None) and len(loops) > 2:
        both = _largest_core_share(extents[-3] * extents[-2], cores)
        if both + DIVISION < rows[best]:
            return len(loops) - 3, len(loops) - 2
    return (best,)


def _largest_core_share(extent: int, cores: int) -> float:
    return -(-extent // cores) / extent
