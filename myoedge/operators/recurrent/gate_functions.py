# SPDX-License-Identifier: Apache-2.0
"""Descriptions of gates: rows of gate sums, interpolated functions, and h from a product."""

from __future__ import annotations

from functools import cache

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.nest.formulas import rounded_shift
from myoedge.nest.intervals import Interval
from myoedge.nest.ir import Affine, Array, Axis, Call, Expr, Value, as_expr, as_index
from myoedge.nest.primitive import Primitive
from myoedge.numerics.arrays import Array as Values
from myoedge.operators.base import QuantizedNode
from myoedge.operators.described import nest_constant, saturated
from myoedge.operators.recurrent.cells import SIGMOID_STEP, TANH_STEP, interpolated


def _between(table: Values, x: Values, bits: Values) -> Values:
    return interpolated(table, x.astype(np.int64), int(bits))


def _range_between(table: Values, x: Interval, bits: Interval) -> Interval:
    return int(table.min()), int(table.max())


BETWEEN = Primitive("me_between", "me_math.h", _between, _range_between)


@cache
def _table(name: str, values: bytes) -> Array:
    """Return a constant table; the same array for equal values, so that a chain has it once."""
    return nest_constant(name, np.frombuffer(values, np.int16))


def interpolated_at(step: QuantizedNode, name: str, x: Expr, bits: Value) -> Expr:
    """Return a Q15 function at x, between the entries of a table of the node's constants, which are
    2**bits apart."""
    table = _table(name, getattr(step.integers, name).tobytes())
    return Call(BETWEEN, table, (x, as_expr(bits)))


def sigmoid_of(step: QuantizedNode, x: Expr) -> Expr:
    return interpolated_at(step, "sigmoid", x, SIGMOID_STEP)


def tanh_of(step: QuantizedNode, x: Expr) -> Expr:
    return interpolated_at(step, "tanh", x, TANH_STEP)


def gates_of(array: Array, axes: tuple[Axis, ...], count: int) -> list[Expr]:
    """Return the gate sums of a unit, which lie side by side.

    axes    rows, units: those of the result
    count   number of gates
    """
    rows, unit = _row_index(array.shape[:-1], axes[:-1]), axes[-1].at * count
    return [array[(*rows, unit + gate)] for gate in range(count)]


def _row_index(shape: Shape, axes: tuple[Axis, ...]) -> tuple[Affine, ...]:
    """Return the index of rows in dimensions that are those of the axes beside ones of extent 1."""
    left = [axis for axis in axes if axis.extent > 1]
    return tuple(as_index(0) if n == 1 else left.pop(0).at for n in shape)


def hidden(step: QuantizedNode, product: Expr) -> Expr:
    """Return h from a product in Q30."""
    return saturated(step, rounded_shift(product, step.integers.result_shift))
