# SPDX-License-Identifier: Apache-2.0
"""Numbers of a description that follow from scales, as constants that generated C reads: another
training of a network, whose scales differ, then has the same C.

With the sum of a layer `add`, whose multipliers are fields of its constants, the formula

    (a * 12 + b * 3 + 77) >> 5    is    (a * a_mult + b * b_mult + offset) >> shift
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, cast

import numpy as np

from myoedge.nest.intervals import INT32, Interval
from myoedge.nest.ir import Array, Expr, Value
from myoedge.nest.nodes import Assumed
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.fixed_point import PRE_MAX, SHIFT_MAX
from myoedge.operators.base import QuantizedNode

# End of a field's name -> the numbers that any training may have; zero points and limits are those
# of a type, other fields int32.
RANGES: dict[str, Interval | None] = {
    "pre": (0, PRE_MAX),
    "shift": (0, SHIFT_MAX),
    "bits": (0, SHIFT_MAX),
    "acc_bound": None,  # is proven, not read
}

OPERANDS = {"x_zero": 0, "a_zero": 0, "b_zero": 1, "y_zero": -1, "zero": -1}  # of zero points


def numbers_as_data(step: QuantizedNode) -> QuantizedNode:
    """Return a layer whose constants that are numbers, and whose limits that follow from a scale,
    are formulas that read them. Numbers that decide what a formula is stay numbers, as do those
    outside of the range that any training may have: then trainings have the same C only if they
    share them."""
    if not step.as_data:
        return step
    named = {x.name: getattr(step.integers, x.name) for x in fields(step.integers)}
    numbers = {name: int(x) for name, x in named.items() if isinstance(x, int | np.integer)}
    read = {name: read_as_data(step, name, x) for name, x in numbers.items()}
    made = replace(step, integers=replace(step.integers, **cast(Any, read)))
    if "act" not in step.attrs or step.table is not None:
        return made
    limits = {name: read_as_data(step, name, getattr(step, name)) for name in ("low", "high")}
    return replace(made, **cast(Any, limits))


def read_as_data(step: QuantizedNode, name: str, number: Value, at: int = 0) -> Value:
    """Return a formula that reads a number of a layer from a constant; the number itself if it is
    one already, decides what the formula is, is outside of the range of its name, or the only one
    there.

    at   place of the number, if the field has several
    """
    limits = step.integers.ranges.get(name, _usual(step, name, at))
    if isinstance(number, Expr) or limits is None or not limits[0] <= number <= limits[1]:
        return number
    if limits[0] == limits[1]:
        return number
    dtype = "int32" if max(limits) <= INT32[1] else "int64"
    values = np.array([number], dtype)
    return Assumed(Array(name, dtype, (1,), values, varies=True)[0], *limits)


def _usual(step: QuantizedNode, name: str, at: int) -> Interval | None:
    """Return the range of numbers with such a name; None for those that stay numbers."""
    if name in ("low", "high"):
        return step.element_type.low, step.element_type.high
    if name.endswith(("zero", "zeros")):
        return _zero_points(step, OPERANDS.get(name, at))
    return next((x for end, x in RANGES.items() if name.endswith(end)), INT32)


def _zero_points(step: QuantizedNode, operand: int) -> Interval:
    """Return the range of an operand's zero points, or of the result's for -1: that of int16 is 0
    (docs/integer-semantics.md)."""
    kinds = [*map(step.read_type, range(len(step.operands))), step.element_type]
    is_wide = operand < len(kinds) and kinds[operand] == INT16
    return (0, 0) if is_wide else (INT8.low, INT8.high)
