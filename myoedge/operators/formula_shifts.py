# SPDX-License-Identifier: Apache-2.0
"""Shifts to the right with which all parts of a formula fit in 32 bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from myoedge.nest.intervals import SHIFTS, Interval, intervals, is_long
from myoedge.nest.ir import Binary, Expr, Nest, Number, Where
from myoedge.nest.rebuild import merged, rebuilt, with_operands

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
        fitting, lacking = _fitting(own, nest, bits)
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


def _fitting(own: Expr, nest: Nest, bits: Mapping[int, int]) -> tuple[Expr, int]:
    """Return a part with as few bits less as make it fit, and the number of bits it lacks."""
    for candidate, lacking in _candidates(own, nest, bits):
        if not is_long(intervals(replace(nest, value=candidate))[id(candidate)]):
            return candidate, lacking
    raise _NoShiftsError


def _candidates(own: Expr, nest: Nest, bits: Mapping[int, int]) -> Iterator[tuple[Expr, int]]:
    """Yield a part with its operands in common units, then with ever fewer bits."""
    lacking = [bits[id(x)] for x in own.operands]
    match own:
        case Binary("*"):
            yield from _products(own, nest, lacking)
        case Binary("<<" | ">>", _, Number(count)):
            yield from _shifts(own, count, lacking[0])
        case Binary("<<" | ">>") if not lacking[1]:
            yield own, lacking[0]
        case Binary(operation) if operation in SUMS:
            yield from _sums(own, lacking)
        case Where() if not lacking[0]:
            common, alike = _in_common_units(lacking[1:])
            yield _with_less(own, [0, *alike]), common
        case _ if not any(lacking):
            yield own, 0


def _products(own: Binary, nest: Nest, lacking: list[int]) -> Iterator[tuple[Expr, int]]:
    known = intervals(replace(nest, value=own))
    for more in range(2 * SHIFTS[1]):
        less = _of_product(own.left, own.right, known, more)
        yield _with_less(own, less), sum(lacking) + sum(less)


def _shifts(own: Binary, count: int, lacking: int) -> Iterator[tuple[Expr, int]]:
    """Yield a shift by a constant; bits that its value lacks are not shifted out once more."""
    taken = min(lacking, count) if own.operation == ">>" else 0
    value = _less(own.left, count - taken) if taken else own
    yield from ((_less(value, more), lacking - taken + more) for more in range(SHIFTS[1] + 1))


def _sums(own: Binary, lacking: list[int]) -> Iterator[tuple[Expr, int]]:
    common, alike = _in_common_units(lacking)
    result = 0 if own.operation in COMPARISONS else common
    for more in range(SHIFTS[1] + 1):
        yield _with_less(own, [x + more for x in alike]), result + more


def _of_product(
    left: Expr, right: Expr, ranges: Mapping[int, Interval], bits: int
) -> tuple[int, int]:
    """Return how many bits less both factors have, if the product has so many less: the larger
    factor loses its bits first."""
    if left is right:
        return (bits + 1) // 2, (bits + 1) // 2
    sizes = [_size(x, ranges) for x in (left, right)]
    first = min(bits, abs(sizes[0] - sizes[1])) if min(sizes) else bits
    large, small = first + (bits - first + 1) // 2, (bits - first) // 2
    return (large, small) if sizes[0] >= sizes[1] else (small, large)


def _size(factor: Expr, ranges: Mapping[int, Interval]) -> int:
    """Return the number of bits of a factor that may be shifted; 0 for a number."""
    return 0 if isinstance(factor, Number) else max(map(abs, ranges[id(factor)])).bit_length()


def _in_common_units(lacking: list[int]) -> tuple[int, list[int]]:
    """Return the largest number of bits that operands lack, and those that each has too many."""
    common = max(lacking)
    return common, [common - x for x in lacking]


def _with_less(part: Expr, bits: tuple[int, ...] | list[int]) -> Expr:
    """Return a part whose operands have so many bits less each."""
    less = {id(x): _less(x, count) for x, count in zip(part.operands, bits, strict=True)}
    return with_operands(part, less)


def _less(value: Expr, bits: int) -> Expr:
    """Return a value with so many bits less; shifts by constants become one shift."""
    match value:
        case Number(number):
            return Number(number >> bits) if bits and number else value
        case Binary("<<", left, Number(count)) if bits > 0:
            return left << count - bits if bits < count else _less(left, bits - count)
        case Binary(">>", left, Number(count)) if 0 < bits <= SHIFTS[1] - count:
            return left >> count + bits
    return value >> bits if bits else value
