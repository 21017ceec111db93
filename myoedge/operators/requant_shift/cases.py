# SPDX-License-Identifier: Apache-2.0
"""Drawn uses of requantisation that a file gives."""

from __future__ import annotations

from typing import Any

from myoedge.operators.cases import Draw, DrawnUse, Range

SHIFTED = """\
mult, add, shift, low, high = requant
along = [-1 if d == axis % x0.ndim else 1 for d in range(x0.ndim)]
mult, add = torch.tensor(mult).reshape(along), torch.tensor(add).reshape(along)
whole = x0.round().long() * mult + add
((whole + 2 ** shift // 2) // 2 ** shift).clamp(low, high).double()
"""
WHOLE: tuple[Range, ...] = ((-128.0, 127.0), (0.0, 255.0))  # parameters with a scale of 1


def whole_numbers(d: Draw) -> dict[str, Any]:
    """Inputs int8 or uint8 in steps of 1."""
    return d.common(1, act=False) | {"spans": (d.pick(WHOLE),), "factors": (1.0, 0.0)}


def requant_shift(d: Draw) -> DrawnUse:
    """Multipliers of 8, 16 and more bits, of any sign, that share powers of two with the divisor;
    inputs of 16 bits."""
    shape, common = d.shape(1, 4, 9), whole_numbers(d)
    axis, most = d.integer(0, len(shape) - 1), d.pick([1, 100, 30_000, 1_000_000])
    count, shift = d.pick([1, shape[axis]]), d.pick([1, 3, 8, 16, 22])
    mult = tuple(d.integer(-most, most) * d.pick([1, 1, 2**3]) for _ in range(count))
    add = tuple(d.integer(-(2**20), 2**20) for _ in range(count))
    low, high = d.pick([(-128, 127), (0, 255), (-8, 7), (0, 15)])
    attrs = {"requant": (mult, add, shift, low, high), "axis": axis}
    if d.flag() and most < 30_000:
        # with the headroom of 16 bits, whose ranges are twice as wide, a scale of 1
        common |= {"int16": (0,), "spans": ((-16383.5, 16383.5),)}
    return DrawnUse("requant_shift", attrs, (shape,), SHIFTED, **common)


CASES = {"requant_shift": requant_shift}
