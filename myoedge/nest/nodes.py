# SPDX-License-Identifier: Apache-2.0
"""Parts of formulas beyond arithmetic: values whose range is known otherwise, and single results of
primitives that have several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from myoedge.nest.ir import Call, Expr
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
