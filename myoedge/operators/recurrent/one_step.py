# SPDX-License-Identifier: Apache-2.0
"""One LSTM time step of any number of sequences; its recurrent products are computed by a separate
layer.

The gate sums of x and of h are added; columns are ordered by unit (input, forget, cell, output).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.nest.formulas import broadcast_axes, clip, rounded_shift
from myoedge.nest.ir import Array as Operand
from myoedge.nest.ir import Axis, Expr, Nest
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OpDef, QuantizedNode, QuantizedParams, QuantizeInputs, register
from myoedge.operators.chains import generated
from myoedge.operators.described import operands, result, saturated
from myoedge.operators.format import EITHER, SIXTEEN, Format
from myoedge.operators.recurrent.cells import (
    HIDDEN_PARAMS,
    INT16_LIMITS,
    LSTM_GATES,
    TANH_ENTRIES,
    sigmoid,
    table,
)
from myoedge.operators.recurrent.gate_functions import (
    gates_of,
    hidden,
    interpolated_at,
    sigmoid_of,
    tanh_of,
)
from myoedge.operators.recurrent.quantized import (
    LSTM_RESULTS,
    fraction_bits,
    from_params,
    to_params,
)
from myoedge.operators.traits import Constants, Described, Result, always

CELL_BITS = (5, 14)  # minimum and maximum fraction bits of c


def _gates(gates: Array, added: Array, c: Array) -> Array:
    """Return the gate sums, i.e. the sums of both operands, [4, *c.shape]."""
    total = gates.reshape(-1) + added.reshape(-1)
    return np.moveaxis(total.reshape(*c.shape, LSTM_GATES), -1, 0)


def _cell(attrs: Attrs, gates: Array, added: Array, c: Array) -> Array:
    i, f, g, _ = _gates(gates, added, c)
    return np.asarray(sigmoid(f) * c + sigmoid(i) * np.tanh(g))


def _hidden(attrs: Attrs, gates: Array, added: Array, c: Array) -> Array:
    h = sigmoid(_gates(gates, added, c)[3]) * np.tanh(_cell(attrs, gates, added, c))
    return np.asarray(h[None])


@dataclass(frozen=True, slots=True, kw_only=True)
class StepParams(QuantizedParams):
    """Integer constants of one LSTM time step.

    cell_bits       fraction bits of c
    c_mult, c_offset, c_shift   conversion of the operand c to cell_bits
    result_shift    shift from Q30 to h
    y_mult, y_offset, y_shift   conversion from cell_bits to the next c, if that is the result
    sigmoid, tanh   Q15 tables, int16 [513]
    """

    cell_bits: int
    c_mult: int
    c_offset: int
    c_shift: int
    result_shift: int | None = None
    y_mult: int | None = None
    y_offset: int | None = None
    y_shift: int | None = None
    sigmoid: Array
    tanh: Array


def _common(inputs: QuantizeInputs) -> dict[str, Any]:
    c = inputs.params(2)
    bits = 15 - math.ceil(math.log2(c.reach * c.scale + 1.0))  # a step adds at most 1
    bits = min(max(bits, CELL_BITS[0]), CELL_BITS[1])
    numbers = {"cell_bits": bits, **from_params(c, "c", bits)}
    return {**numbers, **{name: table(name) for name in ("sigmoid", "tanh")}}


def _quantize(inputs: QuantizeInputs) -> StepParams:
    return StepParams(**_common(inputs), result_shift=30 - fraction_bits(inputs.target))


def _quantize_cell(inputs: QuantizeInputs) -> StepParams:
    numbers = _common(inputs)
    return StepParams(**numbers | to_params(inputs.target, "y", numbers["cell_bits"]))


def _moved(
    step: QuantizedNode[StepParams], axes: tuple[Axis, ...], arrays: tuple[Operand, ...]
) -> tuple[Expr, Expr]:
    """Return the next c in int16 and h in Q30.

    axes   of the result
    """
    numbers, kept = step.integers, step.integers.cell_bits
    gates, added = (gates_of(array, axes, LSTM_GATES) for array in arrays[:2])
    i, f, g, o = (a + b for a, b in zip(gates, added, strict=True))
    last = (arrays[2][axes[-2:]] * numbers.c_mult + numbers.c_offset) >> numbers.c_shift
    more = (sigmoid_of(step, i) * tanh_of(step, g)) >> (15 - kept)
    kept_c = sigmoid_of(step, f) * clip(last, *INT16_LIMITS)
    cell = clip(rounded_shift(kept_c + more, 15), *INT16_LIMITS)
    return cell, sigmoid_of(step, o) * interpolated_at(step, "tanh", cell, kept - TANH_ENTRIES)


def _meaning(step: QuantizedNode[StepParams]) -> Nest:
    """Describe h: gates, added int16 [.., 4H], c int8 or int16 [N, H] -> int8 or int16
    [1, N, H]."""
    axes, arrays = broadcast_axes(step.out), operands(step)
    _, h = _moved(step, axes, arrays)
    return Nest(axes, arrays, result(step), tuple(axis.at for axis in axes), hidden(step, h))


def _cell_meaning(step: QuantizedNode[StepParams]) -> Nest:
    """Describe the next c: gates, added int16 [.., 4H], c int8 or int16 [N, H] -> int8 or
    int16."""
    axes, arrays, c = broadcast_axes(step.out), operands(step), step.integers
    cell, _ = _moved(step, axes, arrays)
    assert c.y_mult is not None
    assert c.y_offset is not None
    assert c.y_shift is not None
    y = saturated(step, (cell * c.y_mult + c.y_offset) >> c.y_shift)
    return Nest(axes, arrays, result(step), tuple(axis.at for axis in axes), y)


LSTM_NEXT = register(
    OpDef(
        name="lstm_next",
        doc="h of one step of an LSTM, of any number of sequences: lstm without its products",
        shape=lambda attrs, gates, added, c: (1, *c),
        real=_hidden,
        integer=Described(_meaning),
        constants=Constants(_quantize, kinds=(StepParams,)),
        kernels=generated(Format((SIXTEEN, SIXTEEN, EITHER), EITHER)),
        result=Result(fixed_params=always(HIDDEN_PARAMS), rules=LSTM_RESULTS),
    )
)

LSTM_NEXT_CELL = register(
    replace(
        LSTM_NEXT,
        name="lstm_next_cell",
        doc="c of one step of an LSTM, next to lstm_next",
        shape=lambda attrs, gates, added, c: c,
        real=_cell,
        integer=Described(_cell_meaning),
        constants=Constants(_quantize_cell, kinds=(StepParams,)),
        result=Result(),
    )
)
