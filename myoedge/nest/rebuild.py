# SPDX-License-Identifier: Apache-2.0
"""Formulas made from other formulas, part by part."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, cast

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
    """Return id of each part of formulas -> the one part that stands for all parts equal to it."""
    known: dict[Hashable, Expr] = {}

    def change(part: Expr, made: Mapping[int, Expr]) -> Expr:
        own = with_operands(part, made)
        values = (getattr(own, field.name) for field in fields(cast(Any, own)))
        return known.setdefault((type(own), *map(_key, values)), own)

    return rebuilt(*values, change=change)


def _key(value: Any) -> Hashable:
    """Return a key that is equal for equal fields of parts; operands and arrays are themselves."""
    if isinstance(value, tuple):
        return tuple(map(_key, value))
    return id(value) if isinstance(value, (Expr, Array)) else value


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
