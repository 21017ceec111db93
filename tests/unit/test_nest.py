# SPDX-License-Identifier: Apache-2.0
"""Descriptions of operators: NumPy's calls and intervals against one element after another in
Python's integers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from operator import add, mul, sub

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myoedge.nest.formulas import clip, maximum, minimum, total, where
from myoedge.nest.intervals import intervals, largest
from myoedge.nest.ir import (
    Affine,
    Array,
    Axis,
    Binary,
    Element,
    Expr,
    Lookup,
    Nest,
    Number,
    Numbers,
    Reduced,
    Where,
    walk,
)
from myoedge.nest.nodes import Assumed, Carried, Scan
from myoedge.nest.reference import NestReference
from myoedge.nest.scan import carrying, last, running_total, scan_of

Values = Mapping[str, Numbers]
SIGNS: Mapping[str, Callable[[int, int], int]] = {"+": add, "-": sub, "*": mul}


def wrapped(compute: Callable[[int, int], int], a: int, b: int) -> int:
    return (compute(a, b) + 2**31) % 2**32 - 2**31


PYTHON = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    ">>": lambda a, b: a >> b,
    "<<": lambda a, b: a << b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "<": lambda a, b: int(a < b),
    "==": lambda a, b: int(a == b),
    **{f"int32 {sign}": partial(wrapped, compute) for sign, compute in SIGNS.items()},
    "max": max,
    "min": min,
}


def element(part: Expr, at: Mapping[Axis | Expr, int], values: Values) -> int:
    """The value of a formula in one iteration, by its definition.

    at   iteration of each axis, and carried values
    """
    match part:
        case Number():
            return part.value
        case Element():
            return loaded(part, at, values)
        case Binary():
            return PYTHON[part.operation](*(element(x, at, values) for x in part.operands))
        case Where():
            taken = part.then if element(part.condition, at, values) else part.otherwise
            return element(taken, at, values)
        case Reduced():
            each = [
                element(part.value, {**at, part.axis: n}, values) for n in range(part.axis.extent)
            ]
            kinds = {"max": max, "min": min, "last": lambda values: values[-1], "sum": sum}
            return kinds[part.operation](each)
        case Carried():
            return at[part]
        case Scan():
            found = 0
            carried = {
                x: element(x0, at, values) for x, x0 in zip(part.states, part.starts, strict=True)
            }
            for n in range(at[part.axis] + 1):
                here = {**at, **carried, part.axis: n}
                found = element(part.value, here, values)
                carried = {
                    x: element(y, here, values)
                    for x, y in zip(part.states, part.nexts, strict=True)
                }
            return found
        case Assumed():
            return element(part.value, at, values)
    raise TypeError(part)


def loaded(part: Element, at: Mapping[Axis | Expr, int], values: Values) -> int:
    place = tuple(i.const + sum(at[axis] * n for axis, n in i.terms) for i in part.index)
    if not all(0 <= p < n for p, n in zip(place, part.array.shape, strict=True)):
        assert part.array.outside is not None
        return part.array.outside
    array = values[part.array.name] if part.array.values is None else part.array.values
    return int(array[place])


def one_by_one(nest: Nest, values: Values) -> Numbers:
    out = np.zeros(nest.out.shape, nest.out.dtype)
    for place in itertools.product(*(range(axis.extent) for axis in nest.axes)):
        at = dict(zip(nest.axes, place, strict=True))
        index = tuple(i.const + sum(at[axis] * n for axis, n in i.terms) for i in nest.at)
        out[index] = element(nest.value, at, values)
    return out


# --- drawn descriptions ---------------------------------------------------------------------------


def operands_of(rng: np.random.Generator, nest: Nest) -> list[Numbers]:
    info = [np.iinfo(x.dtype) for x in nest.operands]
    return [
        rng.integers(i.min, i.max + 1, x.shape).astype(x.dtype)
        for i, x in zip(info, nest.operands, strict=True)
    ]


@st.composite
def nests(draw: st.DrawFn) -> tuple[Nest, np.random.Generator]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    axes = tuple(Axis(f"i{d}", draw(st.integers(1, 4))) for d in range(draw(st.integers(1, 3))))
    over = Axis("r", draw(st.integers(1, 4)))
    arrays: list[Array] = []
    leaves = [draw_load(draw, rng, arrays, axes) for _ in range(draw(st.integers(1, 3)))]
    inner = draw_load(draw, rng, arrays, (*axes, over))
    kind = draw(st.sampled_from(["sum", "max", "min"]))
    parts: list[Expr] = [*leaves, Reduced(kind, over, inner), Number(draw(st.integers(-300, 300)))]
    parts.append(running_total(draw(st.sampled_from(axes)), draw(st.sampled_from(leaves))))
    parts.append(draw_scan(draw, draw(st.sampled_from(axes)), parts))
    parts.append(last(over, draw_scan(draw, over, [inner, *leaves])))
    for _ in range(draw(st.integers(1, 6))):
        a, b = draw(st.sampled_from(parts)), draw(st.sampled_from(parts))
        parts.append(draw_formula(draw, a, b))
    value = clip(parts[-1], -128, 127)
    order = draw(st.permutations(axes))
    out = Array("y", "int8", tuple(axis.extent for axis in order))
    operands = tuple(x for x in arrays if x.values is None)
    return Nest(axes, operands, out, tuple(axis.at for axis in order), value), rng


def draw_scan(draw: st.DrawFn, axis: Axis, parts: list[Expr]) -> Expr:
    """A value computed from two carried ones, each of which reads parts and both."""
    states = [Carried((-300, 300)) for _ in range(2)]
    inside: list[Expr] = [*states, *parts]
    for _ in range(draw(st.integers(1, 4))):
        a, b = draw(st.sampled_from(inside)), draw(st.sampled_from(inside))
        inside.append(draw_formula(draw, a, b))
    read = st.sampled_from(inside)
    nexts = [clip(draw(read), -300, 300) for _ in states]
    starts = [clip(draw(st.sampled_from([*parts, Number(7)])), -300, 300) for _ in states]
    if any(axis in axes_of(x) for y in starts for x in walk(y)):
        starts = [Number(-5), Number(7)]
    return scan_of(axis, states, starts, nexts, draw(st.sampled_from([*nexts, inside[-1]])))


def axes_of(part: Expr) -> set[Axis]:
    """Axes whose iteration a part reads itself."""
    match part:
        case Element():
            return {axis for index in part.index for axis, _ in index.terms}
        case Scan():
            return {part.axis}
    return set()


def draw_load(
    draw: st.DrawFn, rng: np.random.Generator, arrays: list[Array], axes: tuple[Axis, ...]
) -> Expr:
    """An element of a new array: broadcast, strided, backwards, or beyond its ends."""
    index, shape = [], []
    for axis in draw(st.permutations(axes)):
        stride, first = draw(st.sampled_from([0, 1, 1, 1, 2, -1])), draw(st.integers(-1, 1))
        i = axis.at * stride + (first if stride != 1 or draw(st.booleans()) else 0)
        index.append(i)
        shape.append(max(i.high + 1 - draw(st.integers(0, 1)), 1))
    name, dtype = f"x{len(arrays)}", draw(st.sampled_from(["int8", "int16"]))
    values = rng.integers(-100, 100, shape).astype(dtype) if draw(st.booleans()) else None
    array = Array(name, dtype, tuple(shape), values, outside=draw(st.integers(-128, 127)))
    arrays.append(array)
    return array[tuple(index)]


def draw_formula(draw: st.DrawFn, a: Expr, b: Expr) -> Expr:
    operation = draw(st.sampled_from([*PYTHON, "where"]))
    if operation in ("//", "%"):
        return Binary(operation, a, clip(b, 1, 1000))
    if operation in (">>", "<<"):
        return Binary(operation, clip(a, -1000, 1000), Number(draw(st.integers(0, 7))))
    if operation == "where":
        return where(a < b, a + 1, b)
    if operation == "*":  # within 64 bits, however often it is nested
        return clip(a, -1000, 1000) * clip(b, -1000, 1000)
    return Binary(operation, a, b)


@given(nests())
@settings(max_examples=150, deadline=None)
def test_numpy_computes_what_the_description_says(drawn: tuple[Nest, np.random.Generator]) -> None:
    nest, rng = drawn
    operands = operands_of(rng, nest)
    values = {x.name: given for x, given in zip(nest.operands, operands, strict=True)}
    found = NestReference.of(nest)(*operands)
    np.testing.assert_array_equal(found, one_by_one(nest, values))
    assert (found.dtype, found.shape) == (np.dtype(nest.out.dtype), nest.out.shape)


@given(nests())
@settings(max_examples=60, deadline=None)
def test_values_are_within_their_intervals(drawn: tuple[Nest, np.random.Generator]) -> None:
    nest, rng = drawn
    operands = operands_of(rng, nest)
    values = {x.name: given for x, given in zip(nest.operands, operands, strict=True)}
    ranges = intervals(nest)
    inside_scans = carrying(walk(nest.value))
    at = {axis: int(rng.integers(axis.extent)) for axis in nest.axes}
    for part in walk(nest.value):
        if any(not axes_of(x) <= at.keys() for x in walk(part)) and not isinstance(part, Reduced):
            continue  # inside a reduction
        if id(part) in inside_scans:
            continue
        low, high = ranges[id(part)]
        assert low <= element(part, {**at}, values) <= high


def test_conditions_that_contradict_an_assumption_leave_it_a_range() -> None:
    """Where x >= 5, which two choices share, the shift would be 40 bits: no x is."""
    axis = Axis("i", 8)
    x = Array("x", "int8", (8,))[axis]
    near = x < 5
    value = where(near, 1000, 2000) >> 31 - Assumed(where(near, 28, 40), 0, 31)
    nest = Nest((axis,), (), Array("y", "int32", (8,)), (axis.at,), value)
    low, high = intervals(nest)[id(value)]
    assert low <= 1000 >> 3 <= high


# --- one by one -----------------------------------------------------------------------------------


def test_a_square_is_not_negative_and_sums_count_their_terms() -> None:
    i, r = Axis("i", 2), Axis("r", 5)
    x = Array("x", "int8", (2, 5))
    value = total(r, x[i, r] * x[i, r])  # two loads: not known to be a square
    load = x[i, r]
    square = total(r, load * load)
    nest = Nest((i,), (x,), Array("y", "int32", (2,)), (i.at,), value)
    assert intervals(nest)[id(value)] == (5 * -128 * 127, 5 * 128 * 128)
    nest = Nest((i,), (x,), Array("y", "int32", (2,)), (i.at,), square)
    assert intervals(nest)[id(square)] == (0, 5 * 128 * 128)
    assert largest(nest) == 5 * 128 * 128
    assert largest(nest, {"x": (-1, 3)}) == 5 * 9
    magnitude = abs(x[i, 0])
    nest = Nest((i,), (x,), Array("y", "int32", (2,)), (i.at,), magnitude)
    assert intervals(nest)[id(magnitude)] == (0, 128)
    assert intervals(nest, {"x": (-5, -3)})[id(magnitude)] == (3, 5)


@pytest.mark.parametrize("mult", [2**23, 2**24 + 1, 2**40])
def test_sums_beyond_32_bits_are_exact(mult: int) -> None:
    i = Axis("i", 3)
    x = Array("x", "int8", (3,))
    value = x[i] * mult + x[i] * -mult + x[i] * 127
    nest = Nest((i,), (x,), Array("y", "int16", (3,)), (i.at,), value)
    values = np.array([-128, 0, 127], np.int8)
    assert NestReference.of(nest)(values).tolist() == [-128 * 127, 0, 127 * 127]


def test_a_comparison_is_a_number() -> None:
    i, r = Axis("i", 3), Axis("r", 2)
    x = Array("x", "int8", (3, 2))
    less = x[i, r] < 0
    value = total(r, less - (x[i, r] < 5)) * 300 + total(r, less << 3) - (Number(1) < Number(2))
    nest = Nest((i,), (x,), Array("y", "int16", (3,)), (i.at,), value)
    values = np.array([[-1, 0], [4, 9], [-5, -6]], np.int8)
    assert NestReference.of(nest)(values).tolist() == [-300 + 8 - 1, -300 - 1, 16 - 1]


def test_constants_of_one_condition_are_chosen_together() -> None:
    """A channel's factor meets its own offset, and that of a side of zero the same side's: the
    bounds of PReLU, which no product of the largest factor with the largest offset reaches."""
    c, i = Axis("c", 2), Axis("i", 4)
    x = Array("x", "int8", (2, 4))
    mult = Array("mult", "int32", (3,), np.array([100, -1, 2]))
    offset = Array("offset", "int32", (3,), np.array([-7, 5000, 9]))
    below = x[c, i] < 0
    chosen = [where(below, numbers[c], numbers[2]) for numbers in (mult, offset)]
    value = x[c, i] * chosen[0] + chosen[1]
    nest = Nest((c, i), (x,), Array("y", "int32", (2, 4)), (c.at, i.at), value)
    sums = [
        v * m + o for m, o in zip((100, -1, 2), (-7, 5000, 9), strict=True) for v in (-128, 127)
    ]
    assert intervals(nest)[id(value)] == (min(sums), max(sums))
    assert largest(nest) == max(max(sums), -1 - min(sums))


def test_entries_at_a_known_index_meet_each_other() -> None:
    """A window's multiplier meets its own offset, found through the window's kind."""
    i = Axis("i", 4)
    x, kind = Array("x", "int8", (4,)), Array("kind", "int32", (4,), np.array([0, 1, 1, 2]))
    mult, offset = [100, -1, 2], [-7, 5000, 9]
    tables = [
        Array(name, "int32", (3,), np.array(t))
        for name, t in zip("mo", (mult, offset), strict=True)
    ]
    factor, added = (Lookup(table, kind[i]) for table in tables)
    value = x[i] * factor + added
    nest = Nest((i,), (x,), Array("y", "int32", (4,)), (i.at,), value)
    sums = [v * m + o for m, o in zip(mult, offset, strict=True) for v in (-128, 127)]
    assert intervals(nest)[id(value)] == (min(sums), max(sums))


def test_a_condition_within_a_sum_holds_in_some_iterations() -> None:
    """A hidden score is far below the largest one, which is visible."""
    i, r = Axis("i", 1), Axis("r", 3)
    score, shown = Array("score", "int8", (1, 3)), Array("shown", "int8", (1, 3))
    visible = shown[i, r] < 0
    each = where(visible, score[i, r], -1000)
    seen = total(r, where(visible, 1, 0))
    value = total(r, each - Reduced("max", r, each)) + seen
    nest = Nest((i,), (score, shown), Array("y", "int32", (1,)), (i.at,), value)
    low, _ = intervals(nest)[id(value)]
    assert low <= 2 * (-1000 - 127) + 1  # two hidden, and one visible with the largest score


def test_moved_values_are_not_computed() -> None:
    i, x = Axis("i", 4), Array("x", "int32", (4,))
    moved = Nest((i,), (x,), Array("y", "int32", (4,)), (i.at,), x[i])
    assert largest(moved) == 0
    assert largest(replace(moved, value=-x[i])) == 2**31


def test_elements_outside_need_a_value() -> None:
    i = Axis("i", 3)
    with pytest.raises(AssertionError, match="no elements outside"):
        Array("x", "int8", (3,))[i.at + 1]
    padded = Array("x", "int8", (3,), outside=-5)
    value = maximum(padded[i.at + 1], minimum(padded[i.at + -1], 100))
    nest = Nest((i,), (padded,), Array("y", "int8", (3,)), (i.at,), value)
    found = NestReference.of(nest)(np.array([1, 2, -9], np.int8))
    assert found.tolist() == [max(2, -5), max(-9, 1), max(-5, 2)]


def test_an_index_adds_up() -> None:
    i, k = Axis("i", 4), Axis("k", 3)
    index = i.at * 2 + k + -3
    assert (index.low, index.high, index.stride(i), index.stride(k)) == (-3, 5, 2, 1)
    assert (index + i.at * -2).terms == ((k, 1),)
    assert (index * 0) == Affine()


def test_a_formula_has_integers_alone() -> None:
    x = Array("x", "int8", (4,))[Axis("i", 4)]
    with pytest.raises(TypeError, match=r"integers, not 0\.5"):
        x * 0.5  # type: ignore[operator]
