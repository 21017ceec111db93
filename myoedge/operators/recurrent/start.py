# SPDX-License-Identifier: Apache-2.0
"""Single time steps of LSTMs and GRUs from zero states, which need no product with h.

Gate columns are ordered by unit: (input, cell, output) of an LSTM, whose forget gate would multiply
c = 0, or (reset, update, new) of a GRU. Every sequence and time step is computed on its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.formulas import broadcast_axes, rounded_shift
from myoedge.nest.ir import Nest
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import quantize as rounded
from myoedge.operators.base import OpDef, QuantizedNode, QuantizedParams, QuantizeInputs, register
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import stream_except_last_axis
from myoedge.operators.described import constant, operands, result
from myoedge.operators.format import EITHER, SIXTEEN, Format
from myoedge.operators.learnt import INTEGERS_16, Learnt
from myoedge.operators.recurrent.cells import (
    GATE_PARAMS,
    HIDDEN_PARAMS,
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
from myoedge.operators.recurrent.quantized import LSTM_RESULTS, fraction_bits
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import Constants, Described, Result, Weights, always

GATES = 3
CELL_STEP = 10  # log2 of the tanh table's step, for an LSTM's c in Q15, which is below 1


def _shape(attrs: Attrs, gates: Shape, *_: Shape) -> Shape:
    return (*gates[:-1], gates[-1] // GATES)


def _gru_shape(attrs: Attrs, gates: Shape, own: Shape) -> Shape:
    """Return the shape of h. Errors: ValueError unless there is one bias for each unit."""
    out = _shape(attrs, gates)
    if own != out[-1:]:
        raise ValueError(f"gates {list(gates)} beside {list(own)}")
    return out


def _by_gate(gates: Array) -> Array:
    return np.moveaxis(gates.reshape(*gates.shape[:-1], -1, GATES), -1, 0)


def _lstm(attrs: Attrs, gates: Array) -> Array:
    i, g, o = _by_gate(gates)
    return np.asarray(sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(g)))


def _gru(attrs: Attrs, gates: Array, own: Array) -> Array:
    r, z, n = _by_gate(gates)
    return np.asarray((1 - sigmoid(z)) * np.tanh(n + sigmoid(r) * own))


@dataclass(frozen=True, slots=True, kw_only=True)
class StartParams(QuantizedParams):
    """Integer constants of a single LSTM or GRU time step from zero states.

    result_shift    shift from Q30 to h
    sigmoid, tanh   Q15 tables, int16 [513]
    own             int16 biases of the products with h of a GRU's new gates
    """

    result_shift: int
    sigmoid: Array
    tanh: Array
    own: Array | None = None


def _quantize(inputs: QuantizeInputs) -> StartParams:
    has_own = len(inputs.constants) > 1
    return StartParams(
        result_shift=30 - fraction_bits(inputs.target),
        sigmoid=table("sigmoid"),
        tanh=table("tanh"),
        own=rounded(inputs.constant(1), GATE_PARAMS) if has_own else None,
    )


def _lstm_meaning(step: QuantizedNode[StartParams]) -> Nest:
    """Describe one LSTM step from zero states: gates int16 [.., 3H] -> h int8 or int16 [.., H]."""
    axes, arrays = broadcast_axes(step.out), operands(step)
    i, g, o = gates_of(arrays[0], axes, GATES)
    cell = rounded_shift(sigmoid_of(step, i) * tanh_of(step, g), 15)
    h = sigmoid_of(step, o) * interpolated_at(step, "tanh", cell, CELL_STEP)
    return Nest(axes, arrays, result(step), tuple(axis.at for axis in axes), hidden(step, h))


def _gru_meaning(step: QuantizedNode[StartParams]) -> Nest:
    """Describe one GRU step from a zero state: gates int16 [.., 3H] -> h int8 or int16 [.., H]."""
    axes, arrays = broadcast_axes(step.out), operands(step)
    r, z, n = gates_of(arrays[0], axes, GATES)
    added = rounded_shift(sigmoid_of(step, r) * constant(step, "own", (axes[-1],)), 15)
    h = tanh_of(step, n + added) * ((1 << 15) - sigmoid_of(step, z))
    return Nest(axes, arrays, result(step), tuple(axis.at for axis in axes), hidden(step, h))


def _streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming along an axis of sequences; None along time, because a further
    frame would need h."""
    return stream_except_last_axis(at) if at.axis else None


LSTM_START = register(
    OpDef(
        name="lstm_start",
        doc="h of an LSTM's first step from states of zero, of any number of sequences",
        shape=_shape,
        real=_lstm,
        integer=Described(_lstm_meaning),
        constants=Constants(_quantize, kinds=(StartParams,)),
        kernels=generated(Format((SIXTEEN,), EITHER)),
        result=Result(fixed_params=always(HIDDEN_PARAMS), rules=LSTM_RESULTS),
        streaming_rule=_streaming_rule,
    )
)

GRU_START = register(
    replace(
        LSTM_START,
        name="gru_start",
        shape=_gru_shape,
        doc="h of a GRU's first step from a state of zero, of any number of sequences",
        real=_gru,
        integer=Described(_gru_meaning),
        constants=replace(LSTM_START.constants, learnt=Learnt({"own": INTEGERS_16})),
        weights=Weights((1,)),
    )
)
