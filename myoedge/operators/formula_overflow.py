# SPDX-License-Identifier: Apache-2.0
"""Remedies for a formula that may overflow: the part that does, and shifts or clips with which all
parts fit in 32 bits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.nest.formulas import clip
from myoedge.nest.intervals import SHIFTS, UNKNOWN, Interval, intervals, is_long
from myoedge.nest.ir import Binary, Element, Expr, Lookup, Nest, Number, Where
from myoedge.nest.rebuild import merged, rebuilt, with_operands
from myoedge.numerics.requant import INT32_MAX
from myoedge.operators.base import QuantizedNode
from myoedge.operators.formula import FORMULAS, Formula
from myoedge.operators.formula_text import NamedParts, bracketed, text_of

SUMS = ("+", "-", "max", "min", "<", "==")  # whose operands have one unit
COMPARISONS = ("<", "==")


class _NoShiftsError(Exception):
    """Shifts do not make a part fit."""


@dataclass(frozen=True)
class Shifted:
    """An operand of a part of a formula, and what stands in its place: fewer bits of it.

    part   the part with the operands before it; the operand itself for a shift of other width
    """

    operand: Expr
    by: Expr
    part: Expr


def with_shifts(nest: Nest) -> tuple[tuple[Shifted, ...], int] | None:
    """Return the shifts with which all parts fit, operands first, and the number of bits that the
    result then lacks; None if there are no such shifts."""
    made, bits = list[Shifted](), dict[int, int]()  # id of a part -> bits that it lacks

    def change(part: Expr, before: Mapping[int, Expr]) -> Expr:
        own = with_operands(part, before)
        fitting, lacking = _find_fitting_part(own, nest, bits)
        is_shift = isinstance(own, Binary) and own.operation in ("<<", ">>")
        if is_shift and fitting is not own:
            made.append(Shifted(own, fitting, own))
        elif fitting is not own:
            pairs = {id(x): (x, y) for x, y in zip(own.operands, fitting.operands, strict=True)}
            made.extend(Shifted(x, y, own) for x, y in pairs.values() if x is not y)
        bits[id(fitting)] = lacking
        return fitting

    value = merged([nest.value])[id(nest.value)]
    try:
        whole = rebuilt(value, change=change)[id(value)]
    except _NoShiftsError:
        return None
    return tuple(made), bits[id(whole)]


def _find_fitting_part(own: Expr, nest: Nest, bits: Mapping[int, int]) -> tuple[Expr, int]:
    """Return a part with as few bits less as make it fit, and the number of bits it lacks."""
    for candidate, lacking in _reduced_candidates(own, nest, bits):
        if not is_long(intervals(replace(nest, value=candidate))[id(candidate)]):
            return candidate, lacking
    raise _NoShiftsError


def _reduced_candidates(
    own: Expr, nest: Nest, bits: Mapping[int, int]
) -> Iterator[tuple[Expr, int]]:
    """Yield a part with its operands in common units, then with ever fewer bits."""
    lacking = [bits[id(x)] for x in own.operands]
    match own:
        case Binary("*"):
            known = intervals(replace(nest, value=own))
            for more in range(2 * SHIFTS[1]):
                less = _split_bits_between_factors(own.left, own.right, known, more)
                yield _reduce_operands(own, less), sum(lacking) + sum(less)
        case Binary("<<" | ">>", _, Number(count)):
            yield from _reduced_shifts(own, count, lacking[0])
        case Binary("<<" | ">>") if not lacking[1]:
            yield own, lacking[0]
        case Binary(operation) if operation in SUMS:
            yield from _reduced_sums(own, lacking)
        case Where() if not lacking[0]:
            common, alike = _bits_in_common_units(lacking[1:])
            yield _reduce_operands(own, [0, *alike]), common
        case _ if not any(lacking):
            yield own, 0


def _reduced_shifts(own: Binary, count: int, lacking: int) -> Iterator[tuple[Expr, int]]:
    """Yield a shift by a constant; bits that its value lacks are not shifted out once more."""
    taken = min(lacking, count) if own.operation == ">>" else 0
    value = _reduce_bits(own.left, count - taken) if taken else own
    yield from (
        (_reduce_bits(value, more), lacking - taken + more) for more in range(SHIFTS[1] + 1)
    )


def _reduced_sums(own: Binary, lacking: list[int]) -> Iterator[tuple[Expr, int]]:
    common, alike = _bits_in_common_units(lacking)
    result = 0 if own.operation in COMPARISONS else common
    for more in range(SHIFTS[1] + 1):
        yield _reduce_operands(own, [x + more for x in alike]), result + more


def _split_bits_between_factors(
    left: Expr, right: Expr, ranges: Mapping[int, Interval], bits: int
) -> tuple[int, int]:
    """Return how many bits less both factors have, if the product has so many less: the larger
    factor loses its bits first."""
    if left is right:
        return (bits + 1) // 2, (bits + 1) // 2
    sizes = [
        (0 if isinstance(x, Number) else max(map(abs, ranges[id(x)])).bit_length())
        for x in (left, right)
    ]
    first = min(bits, abs(sizes[0] - sizes[1])) if min(sizes) else bits
    large, small = first + (bits - first + 1) // 2, (bits - first) // 2
    return (large, small) if sizes[0] >= sizes[1] else (small, large)


def _bits_in_common_units(lacking: list[int]) -> tuple[int, list[int]]:
    """Return the largest number of bits that operands lack, and those that each has too many."""
    common = max(lacking)
    return common, [common - x for x in lacking]


def _reduce_operands(part: Expr, bits: tuple[int, ...] | list[int]) -> Expr:
    """Return a part whose operands have so many bits less each."""
    less = {id(x): _reduce_bits(x, count) for x, count in zip(part.operands, bits, strict=True)}
    return with_operands(part, less)


def _reduce_bits(value: Expr, bits: int) -> Expr:
    """Return a value with so many bits less; shifts by constants become one shift."""
    match value:
        case Number(number):
            return Number(number >> bits) if bits and number else value
        case Binary("<<", left, Number(count)) if bits > 0:
            return left << count - bits if bits < count else _reduce_bits(left, bits - count)
        case Binary(">>", left, Number(count)) if 0 < bits <= SHIFTS[1] - count:
            return left >> count + bits
    return value >> bits if bits else value


MOST_CLIPS = 8
Ranges = Mapping[int, Interval]


Line = tuple[str, ...]  # of a message: its form, and the formulas that it states


def overflow(step: QuantizedNode) -> tuple[str, list[str]] | None:
    """Return the first part of a formula that may overflow, with its range, and remedies with which
    all parts fit together; None for operators that are no formula."""
    if step.node.op not in FORMULAS:
        return None
    formula = FORMULAS[step.node.op]
    stated = _name_constants(formula, step)
    found, clips = _suggest_clips(formula, stated)
    shifts = _suggest_shifts(formula, stated) or _suggest_shifts(formula, formula.accumulator(step))
    names = NamedParts(formula.stated.operands)
    has, *tries = (
        ";\n".join(names.line(*line) for line in lines) for lines in ([found], shifts, clips)
    )
    if shifts and clips:
        tries[1] = f"if larger values may saturate: {tries[1]}"
    return has, [*filter(None, tries)] or ["smaller constants in quantize"]


def _name_constants(formula: Formula, step: QuantizedNode) -> Nest:
    """Describe the formula with the names of its class in place of numbers, if `nest` permits."""
    own = {x: np.array(getattr(step.integers, x), np.int32, ndmin=1) for x in formula.constants}
    try:
        return formula.accumulator(replace(step, integers=replace(step.integers, **own)))
    except MyoedgeError:
        return formula.accumulator(step)


def _suggest_shifts(formula: Formula, nest: Nest) -> list[Line]:
    """Return the remedy that keeps fewer bits; [] if there is none."""
    made = with_shifts(nest)
    if made is None:
        return []
    shifts, bits = made
    lines = [_describe_shifted(formula, shifted) for shifted in shifts]
    return [*lines, *[(f"Scaled(2**{bits} * unit, ...) in quantize",)] * (bits > 0)]


def _describe_shifted(formula: Formula, shifted: Shifted) -> Line:
    by, own, part = (text_of(formula, x) for x in (shifted.by, shifted.operand, shifted.part))
    if shifted.part is shifted.operand:
        return "{0} in place of {1}", by, own
    start = "{0}" if bracketed(formula, shifted.by) == by else "({0})"
    return f"{start} in place of {{1}}, in {{2}}", by, own, part


def _suggest_clips(formula: Formula, nest: Nest) -> tuple[Line, list[Line]]:
    """Return the first part that may overflow, with its range, and clips with which all parts fit;
    no clips if there are none for a part."""
    found, clips = Line(), list[Line]()
    for _ in range(MOST_CLIPS):
        ranges = intervals(nest)
        part = next((x for x in nest.parts if is_long(ranges[id(x)])), None)
        if part is None:
            break
        name, limited = text_of(formula, part), _limit_operands(part, ranges)
        low, high = ranges[id(part)]
        span = "of any value" if (low, high) == UNKNOWN else f"from {low:,} to {high:,}"
        found = found or (f"{{0}} {span}", name)
        if not limited:
            return found, []
        for operand, (low, high) in limited:
            form = f"clip({{0}}, {low}, {high}) in place of {{0}}, in {{1}}"
            clips.append((form, text_of(formula, operand), name))
        nest = _clip_operands(nest, part, {id(x): clip(x, *span) for x, span in limited})
    return found, clips


def _clip_operands(nest: Nest, part: Expr, clips: Mapping[int, Expr]) -> Nest:
    """Return a description with clips in place of operands of a part."""

    def change(each: Expr, made: Mapping[int, Expr]) -> Expr:
        return with_operands(each, {**made, **clips} if each is part else made)

    return replace(nest, value=rebuilt(nest.value, change=change)[id(nest.value)])


def _limit_operands(part: Expr, ranges: Ranges) -> list[tuple[Expr, Interval]]:
    """Return operands of a part, and the ranges in which it does not overflow."""
    match part:
        case Lookup():
            return [(part.at, (0, part.array.shape[0] - 1))]
        case Binary("<<" | ">>"):
            return [_limits_of_shift(part, ranges)]
        case Binary("*", left, right):
            return _limits_of_product(left, right, ranges)
        case Binary("+" | "-", left, right):
            return _limits_of_sum(left, right, ranges)
    return []


def _limits_of_shift(part: Binary, ranges: Ranges) -> tuple[Expr, Interval]:
    left, right = part.left, part.right
    low, high = ranges[id(right)]
    if _is_constant(right) and SHIFTS[0] <= low and high <= SHIFTS[1]:
        return left, _symmetric_limits(INT32_MAX >> high)
    bits = (INT32_MAX // max(_largest_magnitude(ranges[id(left)]), 1)).bit_length() - 1
    return right, (SHIFTS[0], SHIFTS[1] if part.operation == ">>" else bits)


def _limits_of_sum(left: Expr, right: Expr, ranges: Ranges) -> list[tuple[Expr, Interval]]:
    half = INT32_MAX // 2
    large = [x for x in (left, right) if _largest_magnitude(ranges[id(x)]) > half]
    if len(large) == 1:
        (other,) = (x for x in (left, right) if x is not large[0])
        half = INT32_MAX - _largest_magnitude(ranges[id(other)])
    return [(x, _symmetric_limits(half)) for x in dict.fromkeys(large)]


def _limits_of_product(left: Expr, right: Expr, ranges: Ranges) -> list[tuple[Expr, Interval]]:
    if left is right:
        return [(left, _symmetric_limits(math.isqrt(INT32_MAX)))]
    pairs = [(left, right), (right, left)]
    free = [pair for pair in pairs if not _is_constant(pair[0])]
    pairs = sorted(free, key=lambda pair: _largest_magnitude(ranges[id(pair[0])]))
    if not pairs:
        return []
    largest, other = pairs[-1]
    most = INT32_MAX // _largest_magnitude(ranges[id(other)])
    return [(largest, _symmetric_limits(most))] if most else []


def _is_constant(part: Expr) -> bool:
    return isinstance(part, Number) or (isinstance(part, Element) and part.array.values is not None)


def _largest_magnitude(limits: Interval) -> int:
    return max(map(abs, limits))


def _symmetric_limits(most: int) -> Interval:
    return -most, most
