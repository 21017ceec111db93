# SPDX-License-Identifier: Apache-2.0
"""Remedies for a formula that may overflow: the part that does, and shifts or clips with which all
parts fit in 32 bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.nest.formulas import clip
from myoedge.nest.intervals import SHIFTS, UNKNOWN, Interval, intervals, is_long
from myoedge.nest.ir import Binary, Element, Expr, Lookup, Nest, Number, Where
from myoedge.nest.rebuild import rebuilt, with_operands
from myoedge.numerics.fixed_point import INT32_MAX
from myoedge.operators.base import QuantizedNode
from myoedge.operators.formula import FORMULAS, Formula, field_of
from myoedge.operators.formula_shifts import Shifted, with_shifts

MOST_CLIPS = 8
FUNCTIONS = {"max": "maximum", "min": "minimum"}
Ranges = Mapping[int, Interval]


def overflow(step: QuantizedNode) -> tuple[str, list[str]] | None:
    """Return the first part of a formula that may overflow, with its range, and remedies with which
    all parts fit together; None for operators that are no formula."""
    if step.node.op not in FORMULAS:
        return None
    formula = FORMULAS[step.node.op]
    named = _named(formula, step)
    found, clips = _clips(formula, named)
    shifts = _shifts(formula, named) or _shifts(formula, formula.accumulator(step))
    if not clips:
        return found, shifts or ["smaller constants in quantize"]
    clipped = ";\n".join(clips)
    return found, [*shifts, f"if larger values may saturate: {clipped}" if shifts else clipped]


def _named(formula: Formula, step: QuantizedNode) -> Nest:
    """Describe the formula with the names of its class in place of numbers, if `nest` permits."""
    own = {x: np.array(getattr(step.integers, x), np.int32, ndmin=1) for x in formula.constants}
    try:
        return formula.accumulator(replace(step, integers=replace(step.integers, **own)))
    except MyoedgeError:
        return formula.accumulator(step)


def _shifts(formula: Formula, nest: Nest) -> list[str]:
    """Return the remedy that keeps fewer bits; [] if there is none."""
    made = with_shifts(nest)
    if made is None:
        return []
    shifts, bits = made
    lines = [_of_shifted(formula, shifted) for shifted in shifts]
    lines += [f"Scaled(2**{bits} * unit, ...) in quantize"] * (bits > 0)
    return [";\n".join(lines)]


def _of_shifted(formula: Formula, shifted: Shifted) -> str:
    own = text_of(formula, shifted.operand)
    if shifted.part is shifted.operand:
        return f"{text_of(formula, shifted.by)} in place of {own}"
    by, part = _inner(formula, shifted.by), text_of(formula, shifted.part)
    return f"{by} in place of {own}, in {part}"


def _clips(formula: Formula, nest: Nest) -> tuple[str, list[str]]:
    """Return the first part that may overflow, with its range, and clips with which all parts fit;
    no clips if there are none for a part."""
    found, clips = "", list[str]()
    for _ in range(MOST_CLIPS):
        ranges = intervals(nest)
        part = next((x for x in nest.parts if is_long(ranges[id(x)])), None)
        if part is None:
            break
        name, limited = text_of(formula, part), _limited(part, ranges)
        found = found or f"{name} {_ends(ranges[id(part)])}"
        if not limited:
            return found, []
        for operand, (low, high) in limited:
            own = text_of(formula, operand)
            clips.append(f"clip({own}, {low}, {high}) in place of {own}, in {name}")
        nest = _with_clips(nest, part, {id(x): clip(x, *span) for x, span in limited})
    return found, clips


def _ends(limits: Interval) -> str:
    return "of any value" if limits == UNKNOWN else f"from {limits[0]:,} to {limits[1]:,}"


def _with_clips(nest: Nest, part: Expr, clips: Mapping[int, Expr]) -> Nest:
    """Return a description with clips in place of operands of a part."""

    def change(each: Expr, made: Mapping[int, Expr]) -> Expr:
        return with_operands(each, {**made, **clips} if each is part else made)

    return replace(nest, value=rebuilt(nest.value, change=change)[id(nest.value)])


def _limited(part: Expr, ranges: Ranges) -> list[tuple[Expr, Interval]]:
    """Return operands of a part, and the ranges in which it does not overflow."""
    match part:
        case Lookup():
            return [(part.at, (0, part.array.shape[0] - 1))]
        case Binary("<<" | ">>"):
            return [_of_shift(part, ranges)]
        case Binary("*", left, right):
            return _of_product(left, right, ranges)
        case Binary("+" | "-", left, right):
            return _of_sum(left, right, ranges)
    return []


def _of_shift(part: Binary, ranges: Ranges) -> tuple[Expr, Interval]:
    left, right = part.left, part.right
    if _is_constant(right):
        return left, _symmetric(INT32_MAX >> ranges[id(right)][1])
    bits = (INT32_MAX // max(_magnitude(ranges[id(left)]), 1)).bit_length() - 1
    return right, (SHIFTS[0], SHIFTS[1] if part.operation == ">>" else bits)


def _of_sum(left: Expr, right: Expr, ranges: Ranges) -> list[tuple[Expr, Interval]]:
    half = INT32_MAX // 2
    large = [x for x in (left, right) if _magnitude(ranges[id(x)]) > half]
    if len(large) == 1:
        (other,) = (x for x in (left, right) if x is not large[0])
        half = INT32_MAX - _magnitude(ranges[id(other)])
    return [(x, _symmetric(half)) for x in dict.fromkeys(large)]


def _of_product(left: Expr, right: Expr, ranges: Ranges) -> list[tuple[Expr, Interval]]:
    if left is right:
        return [(left, _symmetric(math.isqrt(INT32_MAX)))]
    pairs = [(left, right), (right, left)]
    free = [pair for pair in pairs if not _is_constant(pair[0])]
    pairs = sorted(free, key=lambda pair: _magnitude(ranges[id(pair[0])]))
    if not pairs:
        return []
    largest, other = pairs[-1]
    most = INT32_MAX // _magnitude(ranges[id(other)])
    return [(largest, _symmetric(most))] if most else []


def _is_constant(part: Expr) -> bool:
    return isinstance(part, Number) or (isinstance(part, Element) and part.array.values is not None)


def _magnitude(limits: Interval) -> int:
    return max(map(abs, limits))


def _symmetric(most: int) -> Interval:
    return -most, most


def text_of(formula: Formula, part: Expr) -> str:
    """Return a part of a formula as its author writes it."""
    own = {field_of(name): name for name in formula.stated.constants}
    match part:
        case Number():
            return str(part.value)
        case Element():
            return f"self.{own.get(part.array.name, part.array.name)}"
        case Binary():
            return _of_binary(formula, part)
        case Where():
            return _call(formula, "where", *part.operands)
        case Lookup():
            name = own.get(part.array.name, part.array.name)
            return f'self.lookup("{name}", {text_of(formula, part.at)})'
    return type(part).__name__


def _of_binary(formula: Formula, part: Binary) -> str:
    names = {f"x{at}": name for at, name in enumerate(formula.stated.operands)}
    match part:
        case Binary("-", Element(array=array), _) if array.name in names:
            return names[array.name]
        case Binary("max", left, Binary("-", Number(0), negative)) if left is negative:
            return _call(formula, "abs", left)
        case Binary("min", Binary("max", value, low), high):
            return _call(formula, "clip", value, low, high)
        case Binary("<", Number() as number, value):
            return f"{_inner(formula, value)} > {_inner(formula, number)}"
        case Binary("max" | "min"):
            return _call(formula, FUNCTIONS[part.operation], part.left, part.right)
    left, operation = part.left, part.operation
    goes_on = operation in "+*" and isinstance(left, Binary) and left.operation == operation
    first = text_of(formula, left) if goes_on else _term(formula, left, operation)
    return f"{first} {operation} {_term(formula, part.right, operation)}"


def _term(formula: Formula, part: Expr, operation: str) -> str:
    is_product = isinstance(part, Binary) and part.operation == "*"
    bare = is_product and operation in "+-"
    return text_of(formula, part) if bare else _inner(formula, part)


def _call(formula: Formula, function: str, *arguments: Expr) -> str:
    return f"{function}({', '.join(text_of(formula, x) for x in arguments)})"


def _inner(formula: Formula, part: Expr) -> str:
    text = text_of(formula, part)
    bare = " " not in text or text.endswith(")")
    return text if bare and not text.startswith("(") else f"({text})"
