# SPDX-License-Identifier: Apache-2.0
"""Range of every value of a formula, from the ranges of its operands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import numpy as np

from myoedge.nest.ir import (
    Array,
    Binary,
    Call,
    Element,
    Expr,
    Lookup,
    Nest,
    Number,
    Reduced,
    Where,
)

Interval = tuple[int, int]  # smallest and largest value
UNKNOWN: Interval = (-(2**63), 2**63 - 1)  # of what C leaves undefined
SHIFTS: Interval = (0, 31)
INT32: Interval = (-(2**31), 2**31 - 1)


def intervals(nest: Nest, known: Mapping[str, Interval] | None = None) -> dict[int, Interval]:
    """Return the range of each part of a nest's formulas: id(part) -> (smallest, largest).

    known   array name -> range of its elements; others have that of their values or their type
    Ranges are not exact: a value that occurs twice is taken as two independent ones, but a square
    is not negative. A shift by less than 0 or more than 31 bits, and an element outside a table,
    may have any value.
    """
    found: dict[int, Interval] = {}
    for part in nest.parts:
        inner = [found[id(operand)] for operand in part.operands]
        found[id(part)] = _interval(part, inner, known or {})
    return found


def largest(nest: Nest, known: Mapping[str, Interval] | None = None) -> int:
    """Return the largest magnitude of all intermediate values, for any operands."""
    return max(max(abs(low), abs(high)) for low, high in intervals(nest, known).values())


def in_int32(nest: Nest) -> bool:
    """Return whether all intermediate values are proven to be inside int32, for any operands."""
    return all(_is_inside(found, INT32) for found in intervals(nest).values())


def _interval(part: Expr, inner: list[Interval], known: Mapping[str, Interval]) -> Interval:
    match part:
        case Number():
            return part.value, part.value
        case Element():
            return known.get(part.array.name) or _of_array(part.array)
        case Binary():
            return _of_pair(part, *inner)
        case Where():
            (_, then, otherwise) = inner
            return min(then[0], otherwise[0]), max(then[1], otherwise[1])
        case Reduced():
            return _of_reduced(part, inner[0])
        case Lookup():
            at = 0, part.array.shape[0] - 1
            return _of_array(part.array) if _is_inside(inner[0], at) else UNKNOWN
        case Call():
            return part.primitive.bound(part.table.values, *inner)
    raise TypeError(part)


def _of_array(array: Array) -> Interval:
    if array.values is None:
        info = np.iinfo(array.dtype)
        low, high = int(info.min), int(info.max)
    else:
        low, high = int(array.values.min()), int(array.values.max())
    outside = low if array.outside is None else array.outside
    return min(low, outside), max(high, outside)


def _of_pair(part: Binary, left: Interval, right: Interval) -> Interval:
    match part.operation:
        case "+":
            return left[0] + right[0], left[1] + right[1]
        case "-":
            return left[0] - right[1], left[1] - right[0]
        case "max":
            return max(left[0], right[0]), max(left[1], right[1])
        case "min":
            return min(left[0], right[0]), min(left[1], right[1])
        case "<" | "==":
            return 0, 1
        case "//" | "%":
            return _of_quotient(part, left, right)
    if part.operation.startswith("int32 "):
        exact = _of_pair(replace(part, operation=part.operation[-1]), left, right)
        return exact if _is_inside(exact, INT32) else INT32
    return _of_scaled(part, left, right)


def _of_scaled(part: Binary, left: Interval, right: Interval) -> Interval:
    """Return the range of a product or of a shift."""
    if part.operation in ("<<", ">>") and not _is_inside(right, SHIFTS):
        return UNKNOWN
    ends = [_combined(part.operation, a, b) for a, b in product(left, right)]
    is_square = part.operation == "*" and part.left is part.right
    return 0 if is_square and left[0] <= 0 <= left[1] else min(ends), max(ends)


def _of_quotient(part: Binary, left: Interval, right: Interval) -> Interval:
    """Return the range of a quotient or a remainder by positive numbers."""
    if right[0] < 1:
        return UNKNOWN
    if part.operation == "%":
        return 0, right[1] - 1
    ends = [a // b for a, b in product(left, right)]
    return min(ends), max(ends)


def _is_inside(found: Interval, limits: Interval) -> bool:
    return limits[0] <= found[0] and found[1] <= limits[1]


def _combined(operation: str, a: int, b: int) -> int:
    return a * b if operation == "*" else a >> b if operation == ">>" else a << b


def _of_reduced(part: Reduced, value: Interval) -> Interval:
    count = part.axis.extent
    match part.operation:
        case "sum":
            return count * value[0], count * value[1]
        case "running sum":
            return min(count * value[0], value[0]), max(count * value[1], value[1])
    return value
