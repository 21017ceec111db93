# SPDX-License-Identifier: Apache-2.0
"""Range of every value of a formula, from the ranges of its operands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import product
from typing import Any, cast

import numpy as np

from myoedge.nest.ir import (
    Array,
    Axis,
    Binary,
    Call,
    Element,
    Expr,
    Lookup,
    Nest,
    Number,
    Reduced,
    Where,
    walk,
)
from myoedge.nest.nodes import (
    Assumed,
    CallResult,
    Carried,
    Scan,
    Taken,
    all_axes,
    is_magnitude,
    same_in_reductions,
)
from myoedge.nest.varying import ends_of_table, of_type, of_types
from myoedge.nest.windows import view_of

Interval = tuple[int, int]  # smallest and largest value
# The same, for some axes per iteration: arrays of float64, exact to 2**53, with one axis per loop.
Range = tuple[Any, Any]
UNKNOWN: Interval = (-(2**63), 2**63 - 1)  # of what C leaves undefined
SHIFTS: Interval = (0, 31)
INT32: Interval = (-(2**31), 2**31 - 1)
INT64: Interval = (-(2**63) + 1, 2**63 - 2)  # less than UNKNOWN
MOST_SPLIT = 3  # conditions


def intervals(nest: Nest, known: Mapping[str, Interval] | None = None) -> dict[int, Interval]:
    """Return the range of each part of a nest's formulas: id(part) -> (smallest, largest).

    known   array name -> range of its elements; operands have that of their type
    Constants count with their values in each iteration, as a channel's factor meets the sum of its
    weights. Choices by one condition that no reduction changes are made together. Otherwise a value
    that occurs twice is taken as two independent ones, except in squares and magnitudes. A shift by
    less than 0 or more than 31 bits, and an element outside a table, may have any value.
    """
    parts, fixed = nest.parts, same_in_reductions(nest)
    uses = Counter(id(part.condition) for part in parts if isinstance(part, Where))
    shared = [at for at, count in uses.items() if count > 1 and at in fixed][:MOST_SPLIT]
    sides = product((True, False), repeat=len(shared))
    ranges = [_ranges_if(nest, dict(zip(shared, x, strict=True)), known or {}) for x in sides]
    return {
        at: (min(x[at][0] for x in ranges), max(x[at][1] for x in ranges)) for at in map(id, parts)
    }


def largest(nest: Nest, known: Mapping[str, Interval] | None = None) -> int:
    """Return the largest x or -1 - x of all computed values x, for any operands: 2**31 - 1 at most
    if all fit in int32; 0 if values are only moved. What a long shift reads has 64 bits, and beside
    a scan all values that need them."""
    found = intervals(nest, known)
    long = _long_parts(nest, found)
    computed = [x for x in nest.parts if not isinstance(x, Element | Number) and id(x) not in long]
    return max((max(high, -1 - low) for low, high in (found[id(x)] for x in computed)), default=0)


def _long_parts(nest: Nest, found: Mapping[int, Interval]) -> set[int]:
    """Return the parts, by id, that C computes in 64 bits.

    found   range of each part
    """
    shifts = (x.left for x in nest.parts if isinstance(x, Binary) and x.operation == "long >>")
    long = {id(x) for x in walk(*shifts)}
    if any(isinstance(part, Scan) for part in nest.parts) and in_int64(nest):
        long |= {at for at, limits in found.items() if is_long(limits)}
    return long


def of_all_trainings(nest: Nest) -> dict[int, Interval]:
    """Return the range of each part for any values of the constants that vary."""
    return intervals(nest, of_types(nest.parts))


def in_int32(nest: Nest) -> bool:
    """Return whether all intermediate values are proven to be inside int32, for any operands."""
    return all(_is_within(found, INT32) for found in intervals(nest).values())


def is_long(limits: Interval) -> bool:
    """Return whether values of a range need more than 32 bits."""
    return limits[0] < INT32[0] or limits[1] > INT32[1]


def in_int64(nest: Nest) -> bool:
    """Return whether all intermediate values are proven to be inside int64, for any operands."""
    known = intervals(nest)
    computed = (known[id(x)] for x in nest.parts if not isinstance(x, Element))
    return all(low >= INT64[0] and high <= INT64[1] for low, high in computed)


def part_interval(part: Expr, inner: Sequence[Interval]) -> Interval:
    """Return the range of a part over all iterations, from the ranges of its operands."""
    if isinstance(part, Element):
        loops = [axis for index in part.index for axis, _ in index.terms]
        return (
            of_type(part.array) if part.array.varies else _overall(_range_of_element(part, loops))
        )
    axes = (part.axis,) if isinstance(part, Reduced) else ()
    return _overall(_range_of_part(part, [*inner], of_types([part]), axes))


def _ranges_if(
    nest: Nest, sides: Mapping[int, bool], known: Mapping[str, Interval]
) -> dict[int, Interval]:
    """Return the range of each part if some conditions are known.

    sides   id of a condition -> whether it holds
    """
    found: dict[int, Range] = {}
    loops = all_axes(nest)
    for part in nest.parts:
        inner = [found[id(operand)] for operand in part.operands]
        if isinstance(part, Where) and (side := sides.get(id(part.condition))) is not None:
            found[id(part)] = inner[1 if side else 2]
        else:
            found[id(part)] = _range_of_part(part, inner, known, loops)
    return {at: _overall(value) for at, value in found.items()}


def _range_of_part(
    part: Expr, inner: list[Range], known: Mapping[str, Interval], loops: Sequence[Axis]
) -> Range:
    match part:
        case Number() | Carried() | Element():
            return _range_of_leaf(part, known, loops)
        case Binary():
            return _range_of_binary(part, *inner)
        case Where():
            (_, then, otherwise) = inner
            return _minimum(then[0], otherwise[0]), _maximum(then[1], otherwise[1])
        case Reduced():
            return _range_of_reduction(part, inner, loops)
        case Scan():
            return inner[-1]
        case Lookup() | Taken():
            return _range_of_entry(part, inner[-1], known)
        case Call() | CallResult() | Assumed():
            return _range_of_call(part, inner, known)
    raise TypeError(part)


def _range_of_entry(part: Lookup | Taken, at: Range, known: Mapping[str, Interval]) -> Range:
    """Return the range of an array at a computed index."""
    array = part.array if isinstance(part, Lookup) else part.source.array
    dimension = part.dimension if isinstance(part, Taken) else 0
    if not _is_within(at, (0, array.shape[dimension] - 1)):
        return UNKNOWN
    if isinstance(part, Taken) and array.varies:
        return of_type(array)
    if isinstance(part, Lookup) and array.name not in known and np.array_equal(*at):
        return (entries := array.known[np.asarray(at[0], np.int64)].astype(np.float64)), entries
    return known.get(array.name) or _range_of_array(array)


def _range_of_leaf(
    part: Number | Carried | Element, known: Mapping[str, Interval], loops: Sequence[Axis]
) -> Range:
    match part:
        case Number():
            return part.value, part.value
        case Carried():
            return part.limits
        case Element():
            return known.get(part.array.name) or _range_of_element(part, loops)


def _range_of_call(
    part: Call | CallResult | Assumed, inner: Sequence[Range], known: Mapping[str, Interval]
) -> Range:
    """Return the range of a primitive's result; of several, arrays with an end for each."""
    if isinstance(part, Assumed):
        low, high = (_minimum(_maximum(end, part.low), part.high) for end in inner[0])
        return low, high  # also if conditions contradict each other
    if isinstance(part, CallResult):
        return _of_result(part, inner[0])
    found = part.primitive.bound(ends_of_table(part, known), *map(_overall, inner))
    if not part.primitive.results:
        return cast(Range, found)
    low, high = (np.array(ends) for ends in zip(*found, strict=True))
    return low, high


def _of_result(part: CallResult, call: Range) -> Range:
    """Return the range of one result of a call, or of all results where they are joined."""
    if not _has_array(call):
        return call
    assert isinstance(part.call, Call)
    at = part.call.primitive.results.index(part.name)
    return int(call[0][at]), int(call[1][at])


def _overall(value: Range) -> Interval:
    """Return the range of all iterations."""
    if _has_array(value):
        return int(np.min(value[0])), int(np.max(value[1]))
    return int(value[0]), int(value[1])


def _minimum(*values: Any) -> Any:
    """Return the smallest value, per iteration if one of them is an array."""
    return reduce(np.minimum, values) if _has_array(values) else min(values)


def _maximum(*values: Any) -> Any:
    """Return the largest value, per iteration if one of them is an array."""
    return reduce(np.maximum, values) if _has_array(values) else max(values)


def _has_array(values: Sequence[Any]) -> bool:
    return any(isinstance(x, np.ndarray | np.generic) for x in values)


def _range_of_element(part: Element, loops: Sequence[Axis]) -> Range:
    """Return the range of an array; of a constant without padding, its values per iteration."""
    values = part.array.values
    is_inside = all(
        i.low >= 0 and i.high < n for i, n in zip(part.index, part.array.shape, strict=True)
    )
    if values is None or not is_inside:
        return _range_of_array(part.array)
    if not any(index.terms for index in part.index):
        only = int(values[tuple(index.const for index in part.index)])
        return only, only
    each = view_of(values, part.index, loops).astype(np.float64)
    return each, each


def _range_of_array(array: Array) -> Interval:
    values = array.values
    low, high = of_type(array) if values is None else (int(values.min()), int(values.max()))
    outside = low if array.outside is None else array.outside
    return min(low, outside), max(high, outside)


def _range_of_binary(part: Binary, left: Range, right: Range) -> Range:
    match part.operation:
        case "+":
            return left[0] + right[0], left[1] + right[1]
        case "-":
            return left[0] - right[1], left[1] - right[0]
        case "max":
            least = (left[0], right[0], *[0] * is_magnitude(part))
            return _maximum(*least), _maximum(left[1], right[1])
        case "min":
            return _minimum(left[0], right[0]), _minimum(left[1], right[1])
        case "<":
            return (left[1] < right[0]) * 1, (left[0] < right[1]) * 1
        case "==":
            return 0, 1
        case "//" | "%":
            return _range_of_quotient(part, left, right)
    if part.operation.startswith("int32 "):
        exact = _range_of_binary(replace(part, operation=part.operation[-1]), left, right)
        return exact if _is_within(exact, INT32) else INT32
    return _range_of_scaled(part, left, right)


def _range_of_scaled(part: Binary, left: Range, right: Range) -> Range:
    """Return the range of a product or of a shift."""
    if part.operation in ("<<", ">>", "long >>") and not _is_within(right, SHIFTS):
        return UNKNOWN
    ends = [_combine_ranges(part.operation, a, b) for a, b in product(left, right)]
    is_square = part.operation == "*" and part.left is part.right
    return _maximum(_minimum(*ends), 0) if is_square else _minimum(*ends), _maximum(*ends)


def _range_of_quotient(part: Binary, left: Range, right: Range) -> Range:
    """Return the range of a quotient or a remainder by positive numbers."""
    if _overall(right)[0] < 1:
        return UNKNOWN
    if part.operation == "%":
        return 0, right[1] - 1
    ends = [a // b for a, b in product(left, right)]
    return _minimum(*ends), _maximum(*ends)


def _is_within(found: Range, limits: Interval) -> bool:
    low, high = _overall(found)
    return limits[0] <= low and high <= limits[1]


def _combine_ranges(operation: str, a: Any, b: Any) -> Any:
    if operation == "*":
        return a * b
    if not _has_array((a, b)):
        return a << b if operation == "<<" else a >> b
    factor = 2.0**b
    return a * factor if operation == "<<" else np.floor(a / factor)


def _range_of_reduction(part: Reduced, inner: Sequence[Range], loops: Sequence[Axis]) -> Range:
    value = inner[0]
    if part.operation == "argmax":
        return 0, part.axis.extent - 1
    if part.operation == "int32 sum":
        exact = _range_of_reduction(replace(part, operation="sum"), inner, loops)
        return exact if _is_within(exact, INT32) else INT32
    if part.ends and part.operation == "sum":
        (low, high), (first, end) = _overall(value), inner[1:]
        counts = _maximum(end[0] - first[1], 1), _maximum(end[1] - first[0], 1)
        return _minimum(*(low * n for n in counts)), _maximum(*(high * n for n in counts))
    if part.operation == "sum":
        low, high = (_reduce_end(part, end, np.sum, loops) for end in value)
        return low, high
    return _reduce_end(part, value[0], np.min, loops), _reduce_end(part, value[1], np.max, loops)


def _reduce_end(part: Reduced, end: Any, reduction: Any, loops: Sequence[Axis]) -> Any:
    """Return the reduction of an end of a range over an axis."""
    at = loops.index(part.axis)
    if not isinstance(end, np.ndarray) or end.shape[at] == 1:
        return part.axis.extent * end if part.operation == "sum" else end
    return reduction(end, axis=at, keepdims=True)
