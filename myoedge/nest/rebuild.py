# SPDX-License-Identifier: Apache-2.0
"""Formulas made from other formulas, part by part."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, cast

from myoedge.nest.carried import Scan
from myoedge.nest.ir import Array, Binary, Element, Expr, Number, walk


def with_elements(value: Expr, load: Callable[[Element], Expr]) -> Expr:
    """Return a formula with each element replaced; equal parts stay one part.

    load   element -> formula in its place
    """
    return with_elements_of([value], load, {})[id(value)]


def with_elements_of(
    values: Sequence[Expr], load: Callable[[Element], Expr], known: dict[int, Expr]
) -> dict[int, Expr]:
    """Return id of each part of formulas -> the part with each element replaced.

    known   results of earlier calls, which are used again and added to
    """

    def change(part: Expr, made: Mapping[int, Expr]) -> Expr:
        if id(part) in known:
            return known[id(part)]
        return load(part) if isinstance(part, Element) else with_operands(part, made)

    known |= rebuilt(*values, change=change)
    return known


def rebuilt(*values: Expr, change: Callable[[Expr, Mapping[int, Expr]], Expr]) -> dict[int, Expr]:
    """Return id of each part of formulas -> the part in its place, operands first.

    change   (part, id of a part before it -> the part in its place) -> part in its place
    """
    made: dict[int, Expr] = {}
    for part in walk(*values):
        made[id(part)] = change(part, made)
    return made


def merged(values: Sequence[Expr]) -> dict[int, Expr]:
    """Return id of each part of formulas -> the one part that stands for all parts equal to it.
    Carried values are equal if their starts and their next values are."""
    known: dict[Hashable, Expr] = {}
    carried = _recurrences(values)

    def change(part: Expr, made: Mapping[int, Expr]) -> Expr:
        own = with_operands(part, made)
        return known.setdefault(carried.get(id(part)) or _key_of(own, {}), own)

    return rebuilt(*values, change=change)


def _recurrences(values: Sequence[Expr]) -> dict[int, Hashable]:
    """Return id of each carried value -> a key that is equal for values of equal recurrences."""
    numbers: dict[Hashable, int] = {}  # of the structures of parts
    found: dict[int, Hashable] = {}
    for scan in (x for x in walk(*values) if isinstance(x, Scan)):
        own = {id(state): -1 - at for at, state in enumerate(scan.states)}
        for part in walk(*scan.starts, *scan.nexts):
            key = found.get(id(part)) or _key_of(part, own)
            own.setdefault(id(part), numbers.setdefault(key, len(numbers)))
        changes = tuple(own[id(x)] for x in (*scan.starts, *scan.nexts))
        for at, state in enumerate(scan.states):
            found.setdefault(id(state), (_key_of(state, {}), at, changes))
    return found


def _key_of(part: Expr, numbers: Mapping[int, int]) -> Hashable:
    """Return a key that is equal for parts with equal fields.

    numbers   id of an operand -> the number that stands for it, in place of the id
    """

    def key(value: Any) -> Hashable:
        if isinstance(value, tuple):
            return tuple(map(key, value))
        is_part = isinstance(value, (Expr, Array))
        return numbers.get(id(value), id(value)) if is_part else value

    return type(part), *(key(getattr(part, f.name)) for f in fields(cast(Any, part)))


def with_operands(part: Expr, made: Mapping[int, Expr]) -> Expr:
    """Return a part with each operand x replaced by made[id(x)]: the part itself if none changes;
    a comparison of a value with itself, which compilers of C refuse, is a number."""
    if all(made[id(x)] is x for x in part.operands):
        return part
    changed = {f.name: _replaced(getattr(part, f.name), made) for f in fields(cast(Any, part))}
    match replace(cast(Any, part), **changed):
        case Binary("<" | "==" as operation, left, right) if left is right:
            return Number(int(operation == "=="))
        case found:
            return cast(Expr, found)


def _replaced(value: Any, made: Mapping[int, Expr]) -> Any:
    if isinstance(value, tuple):
        return tuple(_replaced(x, made) for x in value)
    return made[id(value)] if isinstance(value, Expr) else value
