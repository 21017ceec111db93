# SPDX-License-Identifier: Apache-2.0
"""A scan computed by NumPy: its iterations one by one, each for all other loops at once; what does
not depend on a carried value is computed before, for all iterations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.nest.carried import Scan
from myoedge.nest.ir import Binary, Expr, walk
from myoedge.nest.primitive import Numbers
from myoedge.nest.scan import carrying


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
        added = _added(scan)
        if added is not None and id(added) in known:
            return self._sums(known[id(added)], states[0])
        for number in range(scan.axis.extent):
            now = {part: self._row(x, number) for part, x in known.items()}
            now |= dict(zip(map(id, scan.states), states, strict=True))
            self._iterate(now)
            states = [now[id(x)] for x in scan.nexts]
            values.append(np.asarray(now[id(scan.value)]))
        shape = np.broadcast_shapes((1,) * self.loops, *(x.shape for x in values))
        return np.concatenate([np.broadcast_to(x, shape) for x in values], axis=self.at)

    def _iterate(self, now: dict[int, Any]) -> None:
        """Add the values of an iteration to those that it reads, by id of the part."""
        for part, compute in self.inner:
            now[id(part)] = compute(*(now[id(x)] for x in part.operands))

    def _row(self, x: Any, number: int) -> Any:
        """Return the elements of an iteration."""
        if np.ndim(x) == 0 or x.shape[self.at] == 1:
            return x
        return x[(*(slice(None),) * self.at, slice(number, number + 1))]

    def _sums(self, x: Any, start: Any) -> Numbers:
        whole = [*(np.shape(x) or (1,) * self.loops)]
        whole[self.at] = self.scan.axis.extent
        dtype = np.asarray(x).dtype
        return np.asarray(start + np.cumsum(np.broadcast_to(x, whole), axis=self.at, dtype=dtype))


def _added(scan: Scan) -> Expr | None:
    """Return what each iteration adds to the one carried value; None if it does more."""
    match scan.nexts:
        case (Binary("+", left, right) as total,) if total is scan.value:
            sides = {id(left): right, id(right): left}
            return sides.get(id(scan.states[0]))
    return None
