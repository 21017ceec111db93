# SPDX-License-Identifier: Apache-2.0
"""Simplified formulas: they have the values of the formulas that they replace, with fewer
operations where limits are never reached and factors are powers of two."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from myoedge.nest.formulas import clip, maximum, where
from myoedge.nest.intervals import intervals
from myoedge.nest.ir import Array, Axis, Binary, Expr, Lookup, Nest, Where, walk
from myoedge.nest.nodes import Carried
from myoedge.nest.rebuild import merged
from myoedge.nest.reference import NestReference
from myoedge.nest.scan import scan
from myoedge.nest.simplify import simplified
from myoedge.nest.tabled import ELEMENTS, shortest
from myoedge.numerics.requant import INT32_MAX
from myoedge.operators.elementwise.segments import on_segment

COUNT, FORMULAS = 256, 400
AXIS = Axis("i", COUNT)
ARRAYS = tuple(Array(f"x{n}", kind, (COUNT,)) for n, kind in enumerate(("int8", "int8", "int16")))
A, B, C = (array[AXIS] for array in ARRAYS)
FACTORS = (1, -1, 2, 3, 8, 24, 77, 256, -32768, 32768)


def nest_of(value: Expr) -> Nest:
    return Nest((AXIS,), ARRAYS, Array("y", "int64", (COUNT,)), (AXIS.at,), value)


def largest(value: Expr) -> int:
    return max(max(-low, high) for low, high in intervals(nest_of(value)).values())


def sum_of(rng: np.random.Generator, a: Expr, b: Expr) -> Expr:
    one, two = (int(x) for x in rng.choice(FACTORS, 2))
    return (a * one + b * two + int(rng.integers(-999, 999))) >> int(rng.integers(16))


def scaled(rng: np.random.Generator, a: Expr, b: Expr) -> Expr:
    pre, bits, shift = (int(x) for x in rng.integers((0, 0, 0), (6, 15, 17)))
    return ((a * b >> pre) * (1 << bits) + int(rng.integers(500))) >> shift


def limited(rng: np.random.Generator, a: Expr, b: Expr) -> Expr:
    bits = int(rng.integers(3, 18))
    return clip(a - b, -(1 << bits), (1 << bits) - 1)


def by_table(rng: np.random.Generator, a: Expr, b: Expr) -> Expr:
    entries = rng.integers(-128, 128, 256).astype(np.int8)
    entries = (entries, np.sort(entries), np.sort(entries)[::-1].copy())[rng.integers(3)]
    entry = Lookup(Array("table", "int8", (256,), entries), clip(a, -128, 127) + 128)
    number = int(rng.integers(-130, 130))
    moved = entry - int(rng.integers(-20, 20))
    chosen = where(moved > number if rng.integers(2) else entry < number, a, (b - 7) * 64)
    return (chosen + int(rng.integers(99))) >> int(rng.integers(8))


def chosen_by_step(rng: np.random.Generator, a: Expr, b: Expr) -> Expr:
    """A choice by lines of an int16 value: often a step."""
    starts = np.sort(rng.integers(-32768, 32768, 3))
    slopes, values = rng.integers(-2, 3, 4), rng.choice((-30000, 30000, 30001), 4)
    place = (values << 16) | (np.array([-32768, *starts]) & 0xFFFF)
    segments = np.stack((slopes, place), -1).astype(np.int32)
    step = clip(on_segment(segments, clip(a, -32768, 32767), 8), -128, 127)
    return where(step > 0, clip(a, -100, 100) * 3, clip(b, -99, 99)) + step * int(rng.integers(2))


Made = Callable[[np.random.Generator, Expr, Expr], Expr]
KINDS: Sequence[Made] = (
    sum_of,
    scaled,
    limited,
    by_table,
    chosen_by_step,
    lambda rng, a, b: maximum(a, b * 1),
)


def drawn(seed: int) -> Expr:
    """A formula of up to eight operations whose values all stay in int32."""
    rng, parts = np.random.default_rng(seed), [A, B, C]
    for _ in range(rng.integers(1, 9)):
        kind = KINDS[rng.integers(len(KINDS))]
        made = kind(rng, *(parts[at] for at in rng.integers(len(parts), size=2)))
        if largest(made) <= INT32_MAX:
            parts.append(made)
    return parts[-1]


def test_simplified_formulas_have_the_same_values() -> None:
    fewer = tables = 0
    for seed in range(FORMULAS):
        value = drawn(seed)
        after, tabled = (shortest([value], count)[id(value)] for count in (ELEMENTS - 1, ELEMENTS))
        rng = np.random.default_rng(seed)
        xs = [rng.integers(-128, 128, COUNT).astype(array.dtype) for array in ARRAYS]
        before, found, entries = (NestReference.of(nest_of(x))(*xs) for x in (value, after, tabled))
        assert np.array_equal(before, found), seed
        assert np.array_equal(before, entries), seed
        fewer += len(walk(after)) < len(walk(value))
        tables += len(walk(tabled)) != len(walk(after))
    assert fewer > FORMULAS / 4
    assert tables > FORMULAS / 40


def test_the_larger_of_two_scaled_numbersis_that_of_two_tables() -> None:
    value = clip(maximum((A * 9 + 4) >> 3, (B * 5 + 2) >> 2), -128, 127)
    match shortest([value], ELEMENTS)[id(value)]:
        case Binary("max", Lookup(one), Lookup(two)):
            numbers = range(-128, 128)
            assert [*one.known] == [max(min((n * 9 + 4) // 8, 127), -128) for n in numbers]
            assert [*two.known] == [max(min((n * 5 + 2) // 4, 127), -128) for n in numbers]
        case found:
            pytest.fail(f"{found}")


def test_a_choice_of_two_scaled_numbersis_an_entry_of_one_table() -> None:
    value = clip(where(A > 4, (A * 9 + 4) >> 3, (B * 5 + 2) >> 2), -128, 127)
    match shortest([value], ELEMENTS)[id(value)]:
        case Lookup(table, Binary("-", Where(), _)):
            numbers = np.arange(-128, 128)
            both = np.concatenate(((numbers * 9 + 4) >> 3, (numbers * 5 + 2) >> 2))
            assert np.array_equal(table.known, np.clip(both, -128, 127))
        case found:
            pytest.fail(f"{found}")


RISING = np.repeat(np.array([-128, 127], np.int8), 128)
TABLE = Lookup(Array("table", "int8", (256,), RISING), A - -128)
LINES = np.array([[0, -120 << 24 | 0x8000], [0, 125 << 24 | 77]], np.int32)  # -120, 125 from 77 on
STEP = clip(on_segment(LINES, C, 8), -100, 100)


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (clip((((A * B) >> 2) * 16384 + 16384) >> 15, -32768, 32767), (A * B + 4) >> 3),
        ((C * 32768 + A * 77 + 5) >> 15, C + ((A * 77 + 5) >> 15)),
        ((A * 4 + B * 24 + 9) >> 3, ((A + 2) >> 1) + B * 3),
        (maximum(A + B, -300), A + B),
        (where(TABLE - 12 > 0, A, B), where(A > -1, A, B)),
        (where(STEP > -1, A, B), where(C > 76, A, B)),
        (where(STEP < 7, A, B), where(C < 77, A, B)),
        (STEP + A, where(C > 76, 100, -100) + A),
        (where(where(A > B, 9, 4) > 7, A, B), where(A > B, A, B)),
        (((A - 3) * 32 + B * 5 + 7) >> 5, A + ((B * 5 - 89) >> 5)),
        (where(A > B, (A - 3) * 256, B * 77) + 128 >> 8, where(A > B, A - 3, (B * 77 + 128) >> 8)),
    ],
    ids=[
        "product",
        "sum",
        "factors",
        "limit",
        "table",
        "above",
        "below",
        "step",
        "choice of numbers",
        "zero point",
        "choice",
    ],
)
def test_what_is_left(value: Expr, left: Expr) -> None:
    found = simplified(value)[id(value)]
    assert len(walk(found)) == len(walk(left)) < len(walk(value))
    numbers = np.arange(-128, 128)
    xs = (
        numbers.astype(np.int8),
        np.roll(numbers, 77).astype(np.int8),
        (numbers + 128).astype(np.int16),
    )
    before, after = (NestReference.of(nest_of(x))(*xs) for x in (value, found))
    assert np.array_equal(before, after)


def test_a_sum_that_is_read_twice_is_computed_once() -> None:
    twice = A * 3 + B * 5
    value = ((twice + C) >> 2) * ((twice - C) >> 3)
    assert len(walk(simplified(value)[id(value)])) <= len(walk(value))


def test_entries_include_the_number_that_is_added_to_all_of_them() -> None:
    """As signed or unsigned bytes; not in an index, and not if they are read as they are, too."""
    value = (TABLE - -128) * B
    match shortest([value], 1)[id(value)]:
        case Binary("*", Lookup(table), _):
            assert table.known.dtype == np.uint8
            assert np.array_equal(table.known, RISING.astype(int) + 128)
        case found:
            pytest.fail(f"{found}")
    for kept in ((TABLE + 1) * B, (TABLE - -128) * TABLE, Lookup(TABLE.array, TABLE - -128) * B):
        parts = walk(shortest([kept], 1)[id(kept)])
        assert {id(x.array) for x in parts if isinstance(x, Lookup)} == {id(TABLE.array)}


def test_parts_that_are_equal_are_one() -> None:
    """Elements, numbers, entries and sums, each written twice; not those of other operands."""

    def formula(first: Array, second: Array) -> Expr:
        a = first[AXIS]
        return (a * 3 + second[AXIS]) * Lookup(TABLE.array, a + 128)

    x, y, _ = ARRAYS
    one, same, other = formula(x, y), formula(x, y), formula(y, x)
    made = shortest([one, same, other], 1)
    assert made[id(one)] is made[id(same)]
    assert made[id(one)] is not made[id(other)]


def test_equal_recurrences_are_one_part_and_others_stay_apart() -> None:
    def total(start: int, factor: int) -> Expr:
        return scan(AXIS, start, lambda before: clip(before + factor * A, -99, 99), (-99, 99))

    values = [total(0, 1), total(0, 1), total(50, 1), total(0, 2)]
    parts = merged(values)
    made = [parts[id(value)] for value in values]
    assert len({id(x) for x in walk(*made) if isinstance(x, Carried)}) == 3
    x = np.random.default_rng(0).integers(-128, 128, COUNT)
    for before, after in zip(values, made, strict=True):
        wanted, found = (NestReference.of(nest_of(v))(x, x, x) for v in (before, after))
        np.testing.assert_array_equal(found, wanted)
