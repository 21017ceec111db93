# SPDX-License-Identifier: Apache-2.0
"""Parts of formulas beyond arithmetic: values whose range is known otherwise, single results of
primitives that have several, elements at computed indices, of a gather for example, and values that
are carried along an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from myoedge.nest.ir import Axis, Binary, Call, Element, Expr, Nest, Number, Reduced
from myoedge.nest.primitive import Numbers


@dataclass(frozen=True, eq=False)
class Assumed(Expr):
    """A value inside a range that intervals cannot prove, such as x <= max x; the reference checks
    it.

    value       the value
    low, high   its smallest and largest value, for any operands
    """

    value: Expr
    low: int
    high: int

    @property
    def operands(self) -> tuple[Expr, ...]:
        return (self.value,)


@dataclass(frozen=True, eq=False)
class CallResult(Expr):
    """A result of a primitive that has several.

    call   the call
    name   the result's name in the C struct that the primitive returns
    """

    call: Expr
    name: str

    @property
    def operands(self) -> tuple[Expr, ...]:
        return (self.call,)


def results_of(call: Call) -> tuple[Expr, ...]:
    """Return the results of a call, in the order of the primitive."""
    return tuple(CallResult(call, name) for name in call.primitive.results)


def has_results(part: Expr) -> bool:
    """Return whether a value is a struct of several results."""
    return isinstance(part, Call) and bool(part.primitive.results)


def checked(part: Assumed, value: Numbers) -> Numbers:
    """Return a value of the range that a description assumes."""
    low, high = np.min(value), np.max(value)
    assert part.low <= low <= high <= part.high, f"{low} .. {high} is not in {part}"
    return value


def called(part: Call | CallResult | Assumed) -> Callable[..., Any]:
    """Return the function of operands that computes a part."""
    if isinstance(part, Assumed):
        return partial(checked, part)
    if isinstance(part, Call):
        return lambda *xs: part.primitive.compute(part.known, *map(np.asarray, xs))
    assert isinstance(part.call, Call)
    return itemgetter(part.call.primitive.results.index(part.name))


@dataclass(frozen=True, eq=False)
class Carried(Expr):
    """A value of the iteration before, which a scan carries along its axis.

    limits   smallest and largest value
    """

    limits: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Scan(Expr):
    """A value that each iteration of an axis computes from values of the iteration before.

    states   those before an iteration; `nexts` and `value` read them
    starts   those before the first iteration
    nexts    those after an iteration
    value    the value in an iteration
    """

    axis: Axis
    states: tuple[Expr, ...]
    starts: tuple[Expr, ...]
    nexts: tuple[Expr, ...]
    value: Expr

    @property
    def operands(self) -> tuple[Expr, ...]:
        return *self.states, *self.starts, *self.nexts, self.value


@dataclass(frozen=True, eq=False)
class Taken(Expr):
    """An element of an operand, one index of which is computed.

    element     the element at index 0 along a dimension
    dimension   the dimension
    at          its index there; the ranges of its operands keep it inside
    """

    element: Expr
    dimension: int
    at: Expr

    @property
    def operands(self) -> tuple[Expr, ...]:
        return self.element, self.at

    @property
    def source(self) -> Element:
        """The element at index 0."""
        assert isinstance(self.element, Element), "an element of an operand is taken"
        return self.element


def all_axes(nest: Nest) -> tuple[Axis, ...]:
    """Return the loops of the result, then the other axes of reductions and scans."""
    over = (part.axis for part in nest.parts if isinstance(part, Reduced | Scan))
    return (*nest.axes, *dict.fromkeys(axis for axis in over if axis not in nest.axes))


def reduced_axes(parts: Sequence[Expr], over: Sequence[Axis]) -> dict[int, frozenset[Axis]]:
    """Return the reduced axes on which each part depends, by its id.

    parts   parts of formulas, operands first
    over    the reduced axes of the formulas
    """
    found: dict[int, frozenset[Axis]] = {}
    for part in parts:
        own = frozenset[Axis]().union(*(found[id(x)] for x in part.operands))
        if isinstance(part, Element):
            own |= {axis for index in part.index for axis, _ in index.terms} & {*over}
        found[id(part)] = own - {part.axis} if isinstance(part, Reduced) else own
    return found


def depending(parts: Sequence[Expr], known: Set[int]) -> set[int]:
    """Return the ids of some parts of formulas and of the parts that depend on them.

    parts   all parts, operands first
    known   ids of these parts
    """
    found = {*known}
    for part in parts:
        if any(id(x) in found for x in part.operands):
            found.add(id(part))
    return found


def is_magnitude(part: Expr) -> bool:
    """Return whether a part is max(x, -x)."""
    match part:
        case Binary("max", value, Binary("-", Number(0), negated)):
            return value is negated
    return False


def same_in_reductions(nest: Nest) -> set[int]:
    """Return the ids of the parts that are the same in all iterations of reductions and scans."""
    over = {part.axis for part in nest.parts if isinstance(part, Reduced | Scan)}
    carried = {id(part) for part in nest.parts if isinstance(part, Carried)}
    axes = reduced_axes(nest.parts, [*over])
    return {at for at in axes if not axes[at]} - depending(nest.parts, carried)
