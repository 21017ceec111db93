# SPDX-License-Identifier: Apache-2.0
"""Values carried along an axis: each iteration computes them from those of the iteration before.

    scan(k, 0, lambda state: clip(((x[c, k] * state) >> 7) + y[c, k], -128, 127), (-128, 127))

is h[c, k] = clip(((x[c, k] * h[c, k - 1]) >> 7) + y[c, k]) with h[c, -1] = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.nest.intervals import Interval, is_long, part_interval
from myoedge.nest.ir import Axis, Binary, Element, Expr, Reduced, Value, as_expr, walk
from myoedge.nest.nodes import Carried, Scan
from myoedge.nest.primitive import Numbers
from myoedge.nest.rebuild import rebuilt, with_elements, with_operands


def scan(axis: Axis, start: Value, step: Callable[[Expr], Expr], limits: Interval) -> Expr:
    """Return a value carried along an axis, after each iteration.

    start    the value before the first iteration
    step     value before an iteration -> value after it
    limits   smallest and largest value, of the start, too
    """
    state = Carried(limits)
    after = step(state)
    return scan_of(axis, [state], [as_expr(start)], [after], after)


def scan_of(
    axis: Axis,
    states: Sequence[Carried],
    starts: Sequence[Expr],
    nexts: Sequence[Expr],
    value: Expr,
) -> Expr:
    """Return a value that each iteration computes from several carried ones.

    states   carried values before an iteration; `nexts` and `value` read them
    starts   those before the first iteration
    nexts    those after an iteration
    """
    if axis.extent == 1:
        only = _substitute_states(value, dict(zip(states, starts, strict=True)))
        # all parts are inside int32
        if not any(is_long(limits) for limits in _carried_ranges(only).values()):
            return only
    return without_unread(Scan(axis, tuple(states), tuple(starts), tuple(nexts), value))


def running_total(axis: Axis, value: Expr, start: Value = 0) -> Expr:
    """Return the sum of a value over all iterations of an axis up to this one, plus a start."""
    low, high = range_of(value)
    first, last = range_of(as_expr(start))
    before = axis.extent - 1
    limits = first + min(before * low, 0), last + max(before * high, 0)
    return scan(axis, start, lambda total: total + value, limits)


def last(axis: Axis, value: Expr) -> Expr:
    """Return a value in the last iteration of an axis that the result does not have."""
    if axis.extent > 1 or axis in scanned_axes(walk(value)):
        return Reduced("last", axis, value)

    def load(part: Element) -> Expr:
        index = (replace(i, terms=tuple(x for x in i.terms if x[0] != axis)) for i in part.index)
        return Element(part.array, tuple(index))

    return with_elements(value, load)


def range_of(value: Expr) -> Interval:
    """Return the range of a formula over all iterations."""
    return _carried_ranges(value)[id(value)]


def _carried_ranges(value: Expr) -> dict[int, Interval]:
    found: dict[int, Interval] = {}
    for part in walk(value):
        found[id(part)] = part_interval(part, [found[id(x)] for x in part.operands])
    return found


def with_axes(value: Expr, axes: Mapping[Axis, Axis]) -> Expr:
    """Return a formula whose scans run along other axes; its elements stay as they are."""

    def change(part: Expr, made: Mapping[int, Expr]) -> Expr:
        changed = with_operands(part, made)
        if isinstance(changed, Scan):
            return replace(changed, axis=axes.get(changed.axis, changed.axis))
        return changed

    return rebuilt(value, change=change)[id(value)]


def scanned_axes(parts: Sequence[Expr]) -> list[Axis]:
    """Return the axes along which parts of formulas carry values."""
    return [*dict.fromkeys(part.axis for part in parts if isinstance(part, Scan))]


def carrying(parts: Sequence[Expr], states: Sequence[Expr] | None = None) -> set[int]:
    """Return the parts, by id, that read a value carried from the iteration before; a scan is no
    such part.

    states   carried values that count; None: all
    """
    counted = None if states is None else {*map(id, states)}
    found = set[int]()
    for part in parts:
        is_state = isinstance(part, Carried) and (counted is None or id(part) in counted)
        if is_state or any(id(x) in found for x in part.operands):
            found.add(id(part))
        if isinstance(part, Scan):
            found.discard(id(part))
    return found


def without_unread(scan: Scan) -> Scan:
    """Return a scan without the carried values on which its value does not depend, in this or a
    later iteration."""
    rows = [*zip(scan.states, scan.starts, scan.nexts, strict=True)]
    read, ahead = set[int](), [scan.value]
    while ahead:
        known = {id(x) for x in walk(*ahead)} - read
        ahead = [after for state, _, after in rows if id(state) in known]
        read |= known
    kept = [row for row in rows if id(row[0]) in read]
    if len(kept) == len(rows):
        return scan
    states, starts, nexts = (tuple(row[n] for row in kept) for n in range(3))
    return Scan(scan.axis, states, starts, nexts, scan.value)


def _substitute_states(value: Expr, values: Mapping[Carried, Expr]) -> Expr:
    """Return a formula with carried values replaced."""

    def change(part: Expr, made: Mapping[int, Expr]) -> Expr:
        return values.get(part, part) if isinstance(part, Carried) else with_operands(part, made)

    return rebuilt(value, change=change)[id(value)]


@dataclass(frozen=True, eq=False)
class ScanReference:
    """A scan as calls of one iteration.

    scan    the scan
    at      position of its axis among the loops
    loops   number of loops: axes of all arrays
    inner   parts that each iteration computes, in order, with their functions
    given   parts that are computed before
    """

    scan: Scan
    at: int
    loops: int
    inner: tuple[tuple[Expr, Callable[..., Any]], ...]
    given: tuple[Expr, ...]

    @staticmethod
    def of(scan: Scan, at: int, loops: int, call: Callable[[Expr], Any]) -> ScanReference:
        """Prepare a scan.

        call   part -> function of its operands
        """
        parts = walk(*scan.nexts, scan.value)
        inside = carrying(parts, scan.states)
        own = [part for part in parts if id(part) in inside]
        read = [x for part in own for x in part.operands] + [*scan.nexts, scan.value]
        before = [x for x in (*scan.starts, *read) if id(x) not in inside]
        inner = tuple((part, call(part)) for part in own if part.operands)
        return ScanReference(scan, at, loops, inner, tuple(dict.fromkeys(before)))

    def __call__(self, *given: Any) -> Numbers:
        """Return the value in all iterations.

        given   values of `given`, with one axis per loop
        """
        scan, known = self.scan, dict(zip(map(id, self.given), given, strict=True))
        states, values = [known[id(x)] for x in scan.starts], []
        added = _iteration_addend(scan)
        if added is not None and id(added) in known:
            x = known[id(added)]
            whole = [*(np.shape(x) or (1,) * self.loops)]
            whole[self.at] = scan.axis.extent
            every = np.broadcast_to(x, whole)
            return np.asarray(states[0] + np.cumsum(every, axis=self.at, dtype=every.dtype))
        for number in range(scan.axis.extent):
            now = self._compute_iteration(number, known, states)
            states = [now[id(x)] for x in scan.nexts]
            values.append(np.asarray(now[id(scan.value)]))
        shape = np.broadcast_shapes((1,) * self.loops, *(x.shape for x in values))
        return np.concatenate([np.broadcast_to(x, shape) for x in values], axis=self.at)

    def _compute_iteration(
        self, number: int, known: Mapping[int, Any], states: Sequence[Any]
    ) -> dict[int, Any]:
        """Return the values of an iteration, and those that it reads, by id of the part."""
        at = (*(slice(None),) * self.at, slice(number, number + 1))
        now = {
            part: x if np.ndim(x) == 0 or x.shape[self.at] == 1 else x[at]
            for part, x in known.items()
        }
        now |= dict(zip(map(id, self.scan.states), states, strict=True))
        for part, compute in self.inner:
            now[id(part)] = compute(*(now[id(x)] for x in part.operands))
        return now


def _iteration_addend(scan: Scan) -> Expr | None:
    """Return what each iteration adds to the one carried value; None if it does more."""
    match scan.nexts:
        case (Binary("+", left, right) as total,) if total is scan.value:
            sides = {id(left): right, id(right): left}
            return sides.get(id(scan.states[0]))
    return None
