# SPDX-License-Identifier: Apache-2.0
"""Softmax and log-softmax of a row as formulas: exponentials by the distance from the row's largest
visible score, their sum as mantissa * 2**halvings, and its reciprocal or logarithm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoedge.nest.formulas import broadcast_axes, broadcast_index, minimum, remainder, total, where
from myoedge.nest.intervals import Interval
from myoedge.nest.ir import Axis, Call, Expr, Lookup, Nest, Reduced, as_expr
from myoedge.nest.nodes import Assumed
from myoedge.nest.primitive import Primitive
from myoedge.numerics.arrays import Array, rounded_shift
from myoedge.numerics.element_type import INT8
from myoedge.operators.base import QuantizedNode
from myoedge.operators.described import nest_constant, operands, own_number, result, saturated
from myoedge.operators.norm.definition import HIGHEST_BIT

EXP_ONE = 2**15  # exp(0)
MANTISSA = EXP_ONE, 2 * EXP_ONE - 1


def softmax_nest(step: QuantizedNode) -> Nest:
    """Describe a softmax; with int8 scores and probabilities, these have steps of 1/256."""
    row = ScoreRow(step)
    inverse = Call(RECIPROCAL, None, (row.mantissa,))
    if step.has_int16:
        mult, shift, zero = (own_number(step, name) for name in ("mult", "shift", "zero"))
        shift = minimum(row.halvings + shift, 31)
    else:
        mult, shift, zero = as_expr(1), row.halvings + 8, as_expr(INT8.low)
    values = row.exponential(row.own), inverse, mult, shift
    return row.nest(Call(PROBABILITY, None, values) + zero)


def log_softmax_nest(step: QuantizedNode) -> Nest:
    """Describe a log-softmax: (distance * mult + ln(sum) * log_mult + offset) >> shift."""
    row, c = ScoreRow(step), step.integers
    log = nest_constant("log", c.log.astype(np.int16))
    log_sum = Lookup(log, (row.mantissa >> 7) - 256) + row.halvings * c.ln2
    names = "mult", "log_mult", "offset", "shift"
    mult, log_mult, offset, shift = (own_number(step, name) for name in names)
    return row.nest((row.distance(row.own) * mult + (log_sum * log_mult + offset)) >> shift)


class ScoreRow:
    """A row of scores.

    own        index of an element of the result
    along      index of each element of its row
    mantissa   of the sum of exponentials: the sum >> halvings
    """

    def __init__(self, step: QuantizedNode) -> None:
        self.step, self.arrays = step, operands(step)
        at, self.own = step.attrs["axis"] % len(step.out), broadcast_axes(step.out)
        self.over = Axis("row", step.out[at])
        self.along = (*self.own[:at], self.over, *self.own[at + 1 :])
        c, self.lowest = step.integers, step.read_type(0).low
        tables = {"exp": c.exp} | ({"exp_far": c.exp_far} if step.has_int16 else {})
        self._tables = [nest_constant(name, x.astype(np.uint16)) for name, x in tables.items()]
        self._all_hidden = as_expr(0)  # whether all scores are hidden
        self._mask_limit = as_expr(INT8.low)  # of the mask: scores below it are hidden
        if len(self.arrays) > 1:
            self._all_hidden = Reduced("max", self.over, self._operand_element(1, self.along)) < 0
            self._mask_limit = where(self._all_hidden, INT8.low, 0)
        self._largest_score = Reduced("max", self.over, self._visible_score(self.along))
        sum_ = total(self.over, self.exponential(self.along))
        sum_ = Assumed(sum_, EXP_ONE, EXP_ONE * self.over.extent)
        self.halvings = Call(HIGHEST_BIT, None, (sum_,)) - 15
        self.mantissa = Assumed(sum_ >> self.halvings, *MANTISSA)

    def _operand_element(self, operand: int, at: Sequence[Axis]) -> Expr:
        array = self.arrays[operand]
        return array[broadcast_index(at, array.shape)]

    def _select_visible(self, at: Sequence[Axis], then: Expr, otherwise: int) -> Expr:
        """Return a value of visible elements, or another one of hidden elements."""
        if len(self.arrays) == 1:
            return then
        return where(self._operand_element(1, at) < self._mask_limit, otherwise, then)

    def _visible_score(self, at: Sequence[Axis]) -> Expr:
        return self._select_visible(at, self._operand_element(0, at), self.lowest)

    def distance(self, at: Sequence[Axis]) -> Expr:
        """Return the distance of an element from the largest visible one of its row."""
        distance = Assumed(self._largest_score - self._visible_score(at), 0, -2 * self.lowest - 1)
        return distance * (1 - self._all_hidden) if self.step.attrs.get("flat") else distance

    def exponential(self, at: Sequence[Axis]) -> Expr:
        """Return the exponential of an element in Q15; 0 if it is hidden."""
        distance, (near, *others) = self.distance(at), self._tables
        if not others:
            return self._select_visible(at, Lookup(near, distance), 0)
        (far,) = others
        product = Lookup(near, remainder(distance, 256)) * Lookup(far, distance >> 8)
        return self._select_visible(at, (product + EXP_ONE // 2) >> 15, 0)

    def nest(self, value: Expr) -> Nest:
        index = tuple(axis.at for axis in self.own)
        value = saturated(self.step, value)
        return Nest(self.own, self.arrays, result(self.step), index, value)


def _scaled_probability(table: None, *values: Array) -> Array:
    """Return probabilities in steps of the result, as me_probability in C."""
    exponential, reciprocal, mult, shift = (np.asarray(x, np.int64) for x in values)
    share = (exponential * reciprocal) >> 15
    return np.asarray(rounded_shift(share * mult, shift))


def _probability_range(table: None, *ranges: Interval) -> Interval:
    """Return the range of probabilities: a share is at most 2**16."""
    mult, shift = max(ranges[2][1], 0), min(max(ranges[3][0], 0), 31)
    return 0, rounded_shift(2 * EXP_ONE * mult, shift)


HEADER = "me_probability.h"
PROBABILITY = Primitive("me_probability", HEADER, _scaled_probability, _probability_range)
RECIPROCAL = Primitive(
    "me_reciprocal",
    HEADER,
    lambda table, mantissa: 2**31 // np.asarray(mantissa, np.int64),
    lambda table, mantissa: (2**31 // mantissa[1], 2**31 // mantissa[0]),
)
