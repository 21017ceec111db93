# SPDX-License-Identifier: Apache-2.0
"""Parts of formulas that are a function of one other part by tables or primitives, computed for all
of its values.

    -1 < clip(me_on_segment(segments, x))   has two values, and becomes   4 < x
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from myoedge.nest.intervals import Interval
from myoedge.nest.ir import Array, Axis, Binary, Call, Expr, Lookup, Nest, Number, Where
from myoedge.nest.nodes import Assumed
from myoedge.nest.rebuild import with_operands
from myoedge.nest.reference import NestReference

MOST_VALUES = 1 << 16  # of a part: all those of int16


def chosen_by_value(part: Expr, range_of: Callable[[Expr], Interval]) -> Expr:
    """Return a function of one other part as a comparison of that part, or as a choice by one; the
    part itself if its values change more than once along those of the other one.

    range_of   part -> smallest and largest value
    """
    path = _path_to_argument(part)
    if len(path) < 2:
        return part
    x = path[-1]
    low, high = range_of(x)
    if high - low >= MOST_VALUES:
        return part
    values = _values_along(path, np.arange(low, high + 1, dtype=np.int32))
    changes = np.flatnonzero(np.diff(values))
    first, last = int(values[0]), int(values[-1])
    if len(changes) > 1:
        return part
    if len(changes) == 0:
        return Number(first)
    condition = x if _is_comparison(x) else x > low + int(changes[0])
    if _is_comparison(part):
        return _negated(condition) if first else condition
    return Where(condition, Number(last), Number(first))


def has_steps(part: Expr) -> bool:
    """Return whether a part is a function of another one by primitives or choices, whose values are
    few more often than those of tables."""
    return any(isinstance(x, Call | Where) for x in _path_to_argument(part))


def _negated(comparison: Expr) -> Expr:
    match comparison:
        case Binary("<", Number(limit), value):
            return value < limit + 1
        case Binary("<", value, Number(limit)):
            return value > limit - 1
    return comparison < 1


def _path_to_argument(part: Expr) -> list[Expr]:
    """Return a part, the one part on which it depends, and so on, to the argument of the last table
    or primitive; [] if there is none."""
    path, last = [part], 0
    while (argument := _only_argument(path[-1])) is not None:
        if isinstance(path[-1], Lookup | Call | Where):
            last = len(path)
        path.append(argument)
    return path[: last + 1] if last else []


def _only_argument(part: Expr) -> Expr | None:
    """Return the only operand of a part that is no number; None if it has others, or tables whose
    values another training changes."""
    match part:
        case Binary() | Where() | Lookup() | Assumed():
            table = part.array if isinstance(part, Lookup) else None
        case Call() if not part.primitive.results:
            table = part.table
        case _:
            return None
    others = [x for x in part.operands if not isinstance(x, Number)]
    is_fixed = table is None or not table.varies
    return others[0] if len(others) == 1 and is_fixed else None


def _is_comparison(part: Expr) -> bool:
    return isinstance(part, Binary) and part.operation in ("<", "==")


def _values_along(path: list[Expr], values: np.ndarray) -> np.ndarray:
    """Return the values of the first part of a path for values of the last one."""
    axis, x = Axis("value", len(values)), Array("x", "int32", values.shape)
    made = x[axis]
    for part, argument in zip(path[-2::-1], path[:0:-1], strict=True):
        known = {id(own): own for own in part.operands} | {id(argument): made}
        made = with_operands(part, known)
    y = Array("y", "int32", values.shape)
    return np.asarray(NestReference.of(Nest((axis,), (x,), y, (axis.at,), made))(values))
