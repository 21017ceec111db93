# SPDX-License-Identifier: Apache-2.0
"""Single time steps of any number of sequences, element by element: of an LSTM whose products with
h are a separate layer, and of LSTMs and GRUs from zero states, which need no product with h.

Gate columns are ordered by unit: (input, forget, cell, output) or (reset, update, new); an LSTM
from c = 0 has no forget gate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.formulas import broadcast_axes, clip, rounded_shift
from myoedge.nest.intervals import Interval
from myoedge.nest.ir import Affine, Axis, Call, Expr, Nest, as_expr, as_index
from myoedge.nest.ir import Array as Operand
from myoedge.nest.primitive import Primitive
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import quantize
from myoedge.operators.base import (
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    add_operator,
    add_variant,
)
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import stream_except_last_axis
from myoedge.operators.described import constant, nest_constant, operands, result, saturated
from myoedge.operators.format import EITHER, SIXTEEN, Format
from myoedge.operators.recurrent.cells import (
    GATE_PARAMS,
    HIDDEN_PARAMS,
    INT16_LIMITS,
    Q15,
    SIGMOID_STEP,
    TABLES,
    TANH_STEP,
    interpolated,
    lstm_cell,
    lstm_real,
    sigmoid,
)
from myoedge.operators.recurrent.quantized import (
    LSTM_RESULTS,
    fraction_bits,
    from_params,
    to_params,
)
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import (
    INTEGERS_16,
    Constants,
    Described,
    Learnt,
    Result,
    Weights,
    always,
)

Axes = tuple[Axis, ...]
CELL_BITS = (5, 14)  # minimum and maximum fraction bits of c


# ---- floats


def _split_by_gate(sums: Array, shape: Shape) -> Array:
    """Return the gate sums of all units, [gates, *shape]."""
    return np.moveaxis(sums.reshape(*shape, -1), -1, 0)


def _next_float_state(attrs: Attrs, gates: Array, added: Array, c: Array) -> tuple[Array, Array]:
    i, f, g, o = _split_by_gate(gates.reshape(-1) + added.reshape(-1), c.shape)
    return lstm_real(i, f, g, o, c)


def _first_state_shape(attrs: Attrs, gates: Shape, *own: Shape) -> Shape:
    """Return the shape of h. Errors: ValueError unless a GRU has one bias for each unit."""
    out = (*gates[:-1], gates[-1] // 3)
    if any(shape != out[-1:] for shape in own):
        raise ValueError(f"gates {list(gates)} beside {list(own[0])}")
    return out


def _lstm_first_state(attrs: Attrs, gates: Array) -> Array:
    i, g, o = _split_by_gate(gates, _first_state_shape(attrs, gates.shape))
    return lstm_real(i, None, g, o, None)[0]


def _gru_first_state(attrs: Attrs, gates: Array, own: Array) -> Array:
    r, z, n = _split_by_gate(gates, _first_state_shape(attrs, gates.shape))
    return np.asarray((1 - sigmoid(z)) * np.tanh(n + sigmoid(r) * own))


# ---- integers


@dataclass(frozen=True, slots=True, kw_only=True)
class StepParams(QuantizedParams):
    """Integer constants of a single time step; None for those that the operator does not have.

    cell_bits       fraction bits of an LSTM's c
    c_mult, c_offset, c_shift   conversion of the operand c to cell_bits
    result_shift    shift from Q30 to h
    y_mult, y_offset, y_shift   conversion from cell_bits to the next c, if that is the result
    sigmoid, tanh   Q15 tables, int16 [513]
    own             int16 biases of the products with h of a GRU's new gates
    """

    cell_bits: int | None = None
    c_mult: int | None = None
    c_offset: int | None = None
    c_shift: int | None = None
    result_shift: int | None = None
    y_mult: int | None = None
    y_offset: int | None = None
    y_shift: int | None = None
    sigmoid: Array
    tanh: Array
    own: Array | None = None


def _next_state_constants(inputs: QuantizeInputs, *, cell: bool) -> StepParams:
    c = inputs.params(2)
    bits = 15 - math.ceil(math.log2(c.reach * c.scale + 1.0))  # a step adds at most 1
    bits = min(max(bits, CELL_BITS[0]), CELL_BITS[1])
    numbers: dict[str, Any] = {"cell_bits": bits, **from_params(c, "c", bits), **TABLES}
    if cell:
        return StepParams(**numbers | to_params(inputs.target, "y", bits))
    return StepParams(**numbers, result_shift=30 - fraction_bits(inputs.target))


def _first_state_constants(inputs: QuantizeInputs) -> StepParams:
    numbers: dict[str, Any] = dict(TABLES)
    if len(inputs.constants) > 1:
        numbers["own"] = quantize(inputs.constant(1), GATE_PARAMS)
    return StepParams(**numbers, result_shift=30 - fraction_bits(inputs.target))


# ---- descriptions


def _interpolate(table: Array, x: Array, bits: Array) -> Array:
    return interpolated(table, x.astype(np.int64), int(bits))


def _interpolation_range(table: Array, x: Interval, bits: Interval) -> Interval:
    return int(table.min()), int(table.max())


BETWEEN = Primitive("me_between", "me_math.h", _interpolate, _interpolation_range)


@cache
def _function_table(name: str, values: bytes) -> Operand:
    """Return a constant table; the same array for equal values, so that a chain has it once."""
    return nest_constant(name, np.frombuffer(values, np.int16))


def _evaluate_function(step: QuantizedNode, name: str, x: Expr, bits: int) -> Expr:
    """Return a Q15 function at x, between the entries of a table of the node's constants, which are
    2**bits apart."""
    known = _function_table(name, getattr(step.integers, name).tobytes())
    return Call(BETWEEN, known, (x, as_expr(bits)))


def _unit_gate_sums(array: Operand, axes: Axes, count: int) -> list[Expr]:
    """Return the gate sums of a unit, which lie side by side.

    axes    rows, units: those of the result; dimensions of extent 1 may be added to the rows
    """
    left = [axis for axis in axes[:-1] if axis.extent > 1]
    rows: list[Affine] = [as_index(0) if n == 1 else left.pop(0).at for n in array.shape[:-1]]
    return [array[(*rows, axes[-1].at * count + gate)] for gate in range(count)]


def _gate_nest(step: QuantizedNode, axes: Axes, arrays: tuple[Operand, ...], value: Expr) -> Nest:
    at = tuple(axis.at for axis in axes)
    return Nest(axes, arrays, result(step), at, saturated(step, value))


def _describe_next_state(step: QuantizedNode, *, cell: bool) -> Nest:
    """Describe h or the next c: gates, added int16 [.., 4H], c int8 or int16 [N, H] -> int8 or
    int16."""
    axes, arrays, numbers = broadcast_axes(step.out), operands(step), step.integers
    sums = zip(*(_unit_gate_sums(array, axes, 4) for array in arrays[:2]), strict=True)
    c = (arrays[2][axes[-2:]] * numbers.c_mult + numbers.c_offset) >> numbers.c_shift
    gates, last = [a + b for a, b in sums], clip(c, *INT16_LIMITS)
    kept, h = lstm_cell(partial(_evaluate_function, step), gates, last, numbers.cell_bits, clip)
    if cell:
        value = (kept * numbers.y_mult + numbers.y_offset) >> numbers.y_shift
        return _gate_nest(step, axes, arrays, value)
    return _gate_nest(step, axes, arrays, rounded_shift(h, numbers.result_shift))


def _describe_lstm_first_step(step: QuantizedNode) -> Nest:
    """Describe one LSTM step from zero states: gates int16 [.., 3H] -> h int8 or int16 [.., H]."""
    axes, arrays = broadcast_axes(step.out), operands(step)
    i, g, o = _unit_gate_sums(arrays[0], axes, 3)
    _, h = lstm_cell(partial(_evaluate_function, step), [i, None, g, o], None, Q15, clip)
    return _gate_nest(step, axes, arrays, rounded_shift(h, step.integers.result_shift))


def _describe_gru_first_step(step: QuantizedNode) -> Nest:
    """Describe one GRU step from a zero state: gates int16 [.., 3H] -> h int8 or int16 [.., H]."""
    axes, arrays = broadcast_axes(step.out), operands(step)
    r, z, n = _unit_gate_sums(arrays[0], axes, 3)
    own = constant(step, "own", (axes[-1],))
    added = rounded_shift(_evaluate_function(step, "sigmoid", r, SIGMOID_STEP) * own, Q15)
    kept = (1 << Q15) - _evaluate_function(step, "sigmoid", z, SIGMOID_STEP)
    h = _evaluate_function(step, "tanh", n + added, TANH_STEP) * kept
    return _gate_nest(step, axes, arrays, rounded_shift(h, step.integers.result_shift))


# ---- operators


def _streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming along an axis of sequences; None along time, because a further
    frame would need h."""
    return stream_except_last_axis(at) if at.axis else None


LSTM_NEXT = add_operator(
    name="lstm_next",
    doc="h of one step of an LSTM, of any number of sequences: lstm without its products",
    shape=lambda attrs, gates, added, c: (1, *c),
    real=lambda *xs: _next_float_state(*xs)[0][None],
    integer=Described(partial(_describe_next_state, cell=False)),
    constants=Constants(partial(_next_state_constants, cell=False), kinds=(StepParams,)),
    kernels=generated(Format((SIXTEEN, SIXTEEN, EITHER), EITHER)),
    result=Result(fixed_params=always(HIDDEN_PARAMS), rules=LSTM_RESULTS),
)

LSTM_NEXT_CELL = add_variant(
    LSTM_NEXT,
    name="lstm_next_cell",
    doc="c of one step of an LSTM, next to lstm_next",
    shape=lambda attrs, gates, added, c: c,
    real=lambda *xs: _next_float_state(*xs)[1],
    integer=Described(partial(_describe_next_state, cell=True)),
    constants=Constants(partial(_next_state_constants, cell=True), kinds=(StepParams,)),
    result=Result(),
)

LSTM_START = add_variant(
    LSTM_NEXT,
    name="lstm_start",
    doc="h of an LSTM's first step from states of zero, of any number of sequences",
    shape=_first_state_shape,
    real=_lstm_first_state,
    integer=Described(_describe_lstm_first_step),
    constants=Constants(_first_state_constants, kinds=(StepParams,)),
    kernels=generated(Format((SIXTEEN,), EITHER)),
    streaming_rule=_streaming_rule,
)

GRU_START = add_variant(
    LSTM_START,
    name="gru_start",
    doc="h of a GRU's first step from a state of zero, of any number of sequences",
    real=_gru_first_state,
    integer=Described(_describe_gru_first_step),
    constants=replace(LSTM_START.constants, learnt=Learnt({"own": INTEGERS_16})),
    weights=Weights((1,)),
)
