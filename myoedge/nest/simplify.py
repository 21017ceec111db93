# SPDX-License-Identifier: Apache-2.0
"""A formula with fewer operations and the same values: limits that no value reaches, factors that
are powers of two, and tables that are compared are left out; parts that are a function of one other
part are computed for all of its values.

    clip((((a * b) >> 2) * 16384 + 16384) >> 15, -32768, 32767)   becomes   (a * b + 4) >> 3
    (a * 32768 + b * 77 + 5) >> 15                                becomes   a + ((b * 77 + 5) >> 15)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set

import numpy as np

from myoedge.nest.intervals import Interval, part_interval
from myoedge.nest.ir import (
    Array,
    Axis,
    Binary,
    Call,
    Expr,
    Lookup,
    Nest,
    Number,
    Reduced,
    Where,
    walk,
)
from myoedge.nest.nodes import Assumed, Scan
from myoedge.nest.rebuild import rebuilt, with_operands
from myoedge.nest.reference import NestReference
from myoedge.nest.scan import without_unread
from myoedge.numerics.requant import INT32_MAX

# --- parts that are functions of one other part ---------------------------------------------------


MOST_VALUES = 1 << 16  # of a part: all those of int16


def chosen_by_value(part: Expr, range_of: Callable[[Expr], Interval]) -> Expr:
    """Return a function of one other part as a comparison of that part, or as a choice by one; the
    part itself if its values change more than once along those of the other one.

    range_of   part -> smallest and largest value
    """
    path = _path_to_argument(part)
    if len(path) < 2:
        return part
    x = path[-1]
    low, high = range_of(x)
    if high - low >= MOST_VALUES:
        return part
    values = _values_along(path, np.arange(low, high + 1, dtype=np.int32))
    changes = np.flatnonzero(np.diff(values))
    first, last = int(values[0]), int(values[-1])
    if len(changes) > 1:
        return part
    if len(changes) == 0:
        return Number(first)
    condition = x if _is_comparison(x) else x > low + int(changes[0])
    if _is_comparison(part):
        return _negated(condition) if first else condition
    return Where(condition, Number(last), Number(first))


def has_steps(part: Expr) -> bool:
    """Return whether a part is a function of another one by primitives or choices, whose values are
    few more often than those of tables."""
    return any(isinstance(x, Call | Where) for x in _path_to_argument(part))


def _negated(comparison: Expr) -> Expr:
    match comparison:
        case Binary("<", Number(limit), value):
            return value < limit + 1
        case Binary("<", value, Number(limit)):
            return value > limit - 1
    return comparison < 1


def _path_to_argument(part: Expr) -> list[Expr]:
    """Return a part, the one part on which it depends, and so on, to the argument of the last table
    or primitive; [] if there is none."""
    path, last = [part], 0
    while (argument := _only_argument(path[-1])) is not None:
        if isinstance(path[-1], Lookup | Call | Where):
            last = len(path)
        path.append(argument)
    return path[: last + 1] if last else []


def _only_argument(part: Expr) -> Expr | None:
    """Return the only operand of a part that is no number; None if it has others, or tables whose
    values another training changes."""
    match part:
        case Binary() | Where() | Lookup() | Assumed():
            table = part.array if isinstance(part, Lookup) else None
        case Call() if not part.primitive.results:
            table = part.table
        case _:
            return None
    others = [x for x in part.operands if not isinstance(x, Number)]
    is_fixed = table is None or not table.varies
    return others[0] if len(others) == 1 and is_fixed else None


def _is_comparison(part: Expr) -> bool:
    return isinstance(part, Binary) and part.operation in ("<", "==")


def _values_along(path: list[Expr], values: np.ndarray) -> np.ndarray:
    """Return the values of the first part of a path for values of the last one."""
    axis, x = Axis("value", len(values)), Array("x", "int32", values.shape)
    made = x[axis]
    for part, argument in zip(path[-2::-1], path[:0:-1], strict=True):
        known = {id(own): own for own in part.operands} | {id(argument): made}
        made = with_operands(part, known)
    y = Array("y", "int32", values.shape)
    return np.asarray(NestReference.of(Nest((axis,), (x,), y, (axis.at,), made))(values))


# --- formulas -------------------------------------------------------------------------------------


Term = tuple[Expr, int]  # value and its factor


def simplified(*values: Expr) -> dict[int, Expr]:
    """Return id of each part of formulas -> a part that always has its value, with fewer
    operations; the part itself if values of another one might leave int32."""
    uses = Counter(id(x) for part in walk(*values) for x in part.operands)
    rules = _SimplificationRules()

    def change(part: Expr, made: Mapping[int, Expr]) -> Expr:
        own = with_operands(part, made)
        found = rules.of(own)
        if found is not own and not rules.is_in_int32(found, known):
            found = own
        if uses[id(part)] > 1:
            rules.shared.add(id(found))
        known.add(id(found))
        return found

    known = set[int]()
    return rebuilt(*values, change=change)


class _SimplificationRules:
    """Rules for a part whose operands are simplified; it keeps the ranges of all parts.

    shared   ids of parts that are read more than once: their sums stay apart
    """

    def __init__(self) -> None:
        self.shared = set[int]()
        self._intervals: dict[int, tuple[Expr, Interval]] = {}

    def range(self, part: Expr) -> Interval:
        if id(part) not in self._intervals:
            inner = [self.range(x) for x in part.operands]
            self._intervals[id(part)] = part, part_interval(part, inner)
        return self._intervals[id(part)][1]

    def is_in_int32(self, part: Expr, known: Set[int]) -> bool:
        """Return whether the values of a part and its operands are in int32.

        known   ids of operands that are not asked
        """
        if id(part) in known:
            return True
        low, high = self.range(part)
        is_inside = low >= -INT32_MAX - 1 and high <= INT32_MAX
        return is_inside and all(self.is_in_int32(x, known) for x in part.operands)

    def of(self, part: Expr) -> Expr:
        """Return the simplest form of a part."""
        if isinstance(part, Binary | Reduced):
            low, high = self.range(part)
            if low == high:
                return Number(low)
        match part:
            case Binary("+" | "-" | ">>", value, Number(0)) | Binary("*", value, Number(1)):
                return value
            case Binary(">>", value, Number(bits)):
                return self._simplify_shift(value, bits)
            case Binary("max" | "min", value, Number(limit)):
                return self._simplify_limit(part, value, limit)
            case Binary("<"):
                return self._simplify_comparison(part)
            case Where() | Reduced():
                return _decided_value(part)
            case Scan():
                return without_unread(part)
        return part

    def _simplify_comparison(self, part: Binary) -> Expr:
        """Return a comparison of a difference as one of its first term, and one of a function of
        another part as one of that part."""
        match part:
            case Binary("<", Number(limit), Binary("-", value, Number(moved))):
                return self.of(value > limit + moved)
            case Binary("<", Binary("-", value, Number(moved)), Number(limit)):
                return self.of(value < limit + moved)
        found = chosen_by_value(part, self.range)
        return part if found is part else self.of(found)

    def _simplify_limit(self, part: Binary, value: Expr, limit: int) -> Expr:
        """Return a limit that no value reaches as its value, one of few steps as a choice."""
        low, high = self.range(value)
        if low >= limit if part.operation == "max" else high <= limit:
            return value
        return chosen_by_value(part, self.range) if has_steps(value) else part

    def _simplify_shift(self, value: Expr, bits: int) -> Expr:
        """Return value >> bits: multiples of 2**bits are added outside, and factors of two that the
        other terms share are left out."""
        terms, number = self._terms_and_number(value)
        outside, inside = list[Term](), list[Term]()
        for x, factor in terms:
            is_multiple = factor % (1 << bits) == 0
            (outside if is_multiple else inside).append((x, factor >> bits * is_multiple))
        if not inside:
            return _sum_of_terms(outside, number >> bits)
        # how often 2 divides every factor
        less = min(((factor & -factor).bit_length() - 1) for _, factor in inside)
        inside = [(x, factor >> less) for x, factor in inside]
        return _sum_of_terms(
            [*outside, (self._shift_rest(inside, number >> less, bits - less), 1)], 0
        )

    def _shift_rest(self, terms: list[Term], number: int, bits: int) -> Expr:
        """Return a sum >> bits, of which a single term may be a choice or have a shift itself."""
        if len(terms) == 1 and terms[0][1] == 1:
            if isinstance(choice := terms[0][0], Where):
                sides = (
                    self.of(_shift_value(side + number, bits))
                    for side in (choice.then, choice.otherwise)
                )
                return Where(choice.condition, *sides)
            terms, number, bits = self._join_shifts(terms[0][0], number, bits)
        return _shift_value(_sum_of_terms(terms, number), bits)

    def _join_shifts(self, value: Expr, number: int, bits: int) -> tuple[list[Term], int, int]:
        """Return the terms, the number and the shift of (value + number) >> bits with the shift of
        `value` itself, if the sum stays in int32."""
        match value:
            case Binary(">>", inner, Number(more)) if bits + more < 32:
                low, high = self.range(inner)
                if max(-low, high) + abs(number << more) <= INT32_MAX:
                    terms, own = self._terms_and_number(inner)
                    return terms, own + (number << more), bits + more
        return [(value, 1)], number, bits

    def _terms_and_number(self, value: Expr) -> tuple[list[Term], int]:
        """Return a sum as terms with their factors, and its number."""
        terms, number = list[Term](), 0
        for part, sign in self._collect_addends(value, 1):
            match part:
                case Number(known):
                    number += sign * known
                case Binary("*", Binary("-", inner, Number(moved)), Number(factor)) if factor:
                    terms.append((inner, sign * factor))
                    number -= sign * factor * moved
                case Binary("*", inner, Number(factor)) if factor:
                    terms.append((inner, sign * factor))
                case _:
                    terms.append((part, sign))
        return terms, number

    def _collect_addends(self, value: Expr, sign: int) -> Iterator[tuple[Expr, int]]:
        match value:
            case Binary("+" | "-" as operation, left, right) if id(value) not in self.shared:
                yield from self._collect_addends(left, sign)
                yield from self._collect_addends(right, sign if operation == "+" else -sign)
            case _:
                yield value, sign


def _decided_value(part: Where | Reduced) -> Expr:
    """Return the side of a choice that is always taken, or the only value of a reduction; the part
    itself if there is none."""
    match part:
        case Where(Number(known), then, otherwise):
            return then if known else otherwise
        case Where(_, then, otherwise) if then is otherwise:
            return then
        case Reduced("sum" | "int32 sum" | "max" | "min", axis, value) if axis.extent == 1:
            return value
    return part


def _shift_value(value: Expr, bits: int) -> Expr:
    return value >> bits if bits else value


def _sum_of_terms(terms: Sequence[Term], number: int) -> Expr:
    """Return a sum of terms and a number."""
    total: Expr | None = None
    for part, factor in terms:
        added = part if abs(factor) == 1 else part * factor
        if total is None:
            total = -added if factor == -1 else added
        else:
            total = total - added if factor == -1 else total + added
    if total is None:
        return Number(number)
    return total + number if number else total
