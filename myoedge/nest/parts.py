# SPDX-License-Identifier: Apache-2.0
"""Parts of formulas: their loops, dependences and forms."""

from __future__ import annotations

from collections.abc import Sequence, Set

from myoedge.nest.carried import Scan
from myoedge.nest.ir import Axis, Binary, Expr, Nest, Number, Reduced


def all_axes(nest: Nest) -> tuple[Axis, ...]:
    """Return the loops of the result, then the other axes of reductions and scans."""
    over = (part.axis for part in nest.parts if isinstance(part, Reduced | Scan))
    return (*nest.axes, *dict.fromkeys(axis for axis in over if axis not in nest.axes))


def depending(parts: Sequence[Expr], known: Set[int]) -> set[int]:
    """Return the ids of some parts of formulas and of the parts that depend on them.

    parts   all parts, operands first
    known   ids of these parts
    """
    found = {*known}
    for part in parts:
        if any(id(x) in found for x in part.operands):
            found.add(id(part))
    return found


def is_magnitude(part: Expr) -> bool:
    """Return whether a part is max(x, -x)."""
    match part:
        case Binary("max", value, Binary("-", Number(0), negated)):
            return value is negated
    return False
