# SPDX-License-Identifier: Apache-2.0
"""Parts of formulas that carry values along an axis."""

from __future__ import annotations

from dataclasses import dataclass

from myoedge.nest.ir import Axis, Expr


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
