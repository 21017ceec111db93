# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers over time: one node per layer and direction, which adds the products with h to
the gate sums.

Columns of the gates and rows of the weights are ordered by unit: (input, forget, cell, output) for
an LSTM, (reset, update, new) for a GRU, one for a plain RNN. Separate nodes `gates`, or `sums` for
a plain RNN, compute the inputs' contribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from myoedge.graph.ir import Attrs, Shape
from myoedge.operators.attributes import FLAG, optional, whole
from myoedge.operators.base import OpDef, register
from myoedge.operators.common_rules import final_state, row_products, stream_except_last_axis
from myoedge.operators.format import EIGHT, EITHER, SIXTEEN, STORED_BITS, WIDE_BITS, Format
from myoedge.operators.kernel import on_cluster
from myoedge.operators.linear import (
    linear_nest,
    linear_real,
    linear_shape,
    quantize_beside,
    rows_of_16_bits,
)
from myoedge.operators.products.ne16_rules import int16_rows_on_ne16
from myoedge.operators.products.packing import (
    LEARNT,
    ROOM_FOR_SUMS,
    WeightedParams,
)
from myoedge.operators.recurrent.cells import (
    GATE_PARAMS,
    HIDDEN_PARAMS,
    all_steps,
    gate_params,
    gru_bound,
    gru_steps,
    last_state,
    lstm_steps,
    recurrent_bound,
    relu_steps,
    states_before,
    tanh_steps,
)
from myoedge.operators.recurrent.floats import (
    RELU_FLOATS,
    TANH_FLOATS,
    every_step,
    gru_floats,
    lstm_floats,
    state_behind,
)
from myoedge.operators.recurrent.params import (
    LEARNT_BESIDE_GATES,
    LEARNT_BESIDE_SUMS,
    RecurrentParams,
    ScaledParams,
    ShiftedParams,
)
from myoedge.operators.recurrent.quantized import (
    GRU_RESULTS,
    LSTM_RESULTS,
    recurrent_quantize,
    relu_quantize,
    tanh_quantize,
)
from myoedge.operators.recurrent.streaming_rules import (
    gru_streaming_rule,
    lstm_streaming_rule,
    plain_streaming_rule,
)
from myoedge.operators.recurrent.tiling import LAST_STATE, ON_CORES, PARTS_ON_NE16
from myoedge.operators.traits import ByHand, Constants, Described, Operands, Result, Weights, always

# ---- shapes and loops


def _state_shape(attrs: Attrs, gates: Shape, h: Shape, *others: Shape) -> Shape:
    """Return the shape of a state, [N, H], for gates [T, N, G H].

    others   another state [N, H], recurrent weights [G H, H], their biases [G H]
    Errors: ValueError for other shapes.
    """
    allowed = (h, (gates[-1], h[-1]), gates[-1:])
    if gates[1:-1] != h[:-1] or gates[-1] % h[-1] or any(x not in allowed for x in others):
        raise ValueError(f"gates {list(gates)}, a state {list(h)} and {[*map(list, others)]}")
    return h


def _steps_shape(attrs: Attrs, gates: Shape, *others: Shape) -> Shape:
    """Return the shape of the states of all steps."""
    return (gates[0], *_state_shape(attrs, gates, *others))


def _products(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> int:
    """Return the products of the recurrent weights and the previous states, of all steps."""
    return math.prod(shapes[0]) * out[-1]


GATE_BITS = optional(whole(8, 14))
HIDDEN_BITS = optional(whole(0, 15))
LSTM_ATTRIBUTES = {"reverse": FLAG, "gate_bits": GATE_BITS, "cell_bits": optional(whole(5, 15))}

GATE_SUMS = Format((EIGHT,), SIXTEEN, STORED_BITS)

GATES = register(
    OpDef(
        name="gates",
        attributes={"gate_bits": GATE_BITS},
        doc="y = x W^T + b in int16, steps of 2^-8, 2^-10 or 2^-14: inputs of lstm, gru gates",
        shape=linear_shape,
        real=linear_real,
        integer=Described(linear_nest),
        constants=Constants(quantize_beside, kinds=(WeightedParams,), learnt=LEARNT),
        kernels=(
            *on_cluster(
                rows_of_16_bits,
                GATE_SUMS,
                Format((EITHER,), SIXTEEN, WIDE_BITS, where=ROOM_FOR_SUMS),
            ),
            *int16_rows_on_ne16(GATE_SUMS),
        ),
        weights=Weights((1, 2), multiplicands=lambda attrs, x, *_: x.reshape(1, -1, x.shape[-1])),
        result=Result(
            dtype="int16",
            reach=-GATE_PARAMS.low * GATE_PARAMS.scale,
            fixed_params=gate_params,
        ),
        macs=row_products,
        streaming_rule=stream_except_last_axis,
    )
)

SUMS = register(
    replace(
        GATES,
        name="sums",
        attributes={},
        doc="y = x W^T + b in int16: the input's part of the sums of rnn",
        result=Result(),
    )
)

LSTM = register(
    OpDef(
        name="lstm",
        attributes=LSTM_ATTRIBUTES,
        doc="h of every step of an LSTM, one layer and direction; c is int16",
        shape=_steps_shape,
        real=every_step(lstm_floats),
        integer=ByHand(all_steps(lstm_steps), recurrent_bound),
        constants=Constants(
            recurrent_quantize,
            kinds=(RecurrentParams, ShiftedParams, ScaledParams),
            learnt=LEARNT_BESIDE_GATES,
        ),
        kernels=(*ON_CORES, PARTS_ON_NE16),
        weights=Weights((3,), multiplicands=states_before(lstm_floats), multiply_result=True),
        result=Result(fixed_params=always(HIDDEN_PARAMS), rules=LSTM_RESULTS),
        macs=_products,
        streaming_rule=lstm_streaming_rule,
        operands=Operands(first_states=(1,)),
    )
)

LSTM_CELL = register(
    final_state(
        LSTM,
        name="lstm_cell",
        attributes={**LSTM_ATTRIBUTES, "hidden_bits": HIDDEN_BITS},
        kernels=LAST_STATE,
        doc="c after the last step of an LSTM, by running it once more",
        shape=_state_shape,
        real=state_behind(lstm_floats),
        integer=ByHand(last_state(lstm_steps), recurrent_bound),
        operands=Operands(),
    )
)

GRU = register(
    replace(
        LSTM,
        name="gru",
        attributes={"reverse": FLAG, "reset_first": FLAG},
        doc="h of every step of a GRU, one layer and direction; int16 between steps",
        real=every_step(gru_floats),
        integer=ByHand(all_steps(gru_steps), gru_bound),
        weights=Weights((2, 3), states_before(gru_floats), multiply_result=True),
        streaming_rule=gru_streaming_rule,
        result=replace(LSTM.result, rules=GRU_RESULTS),
    )
)

GRU_STATE = register(
    final_state(
        GRU,
        name="gru_state",
        kernels=LAST_STATE,
        doc="16-bit h after the last step of a GRU, by running it once more: on streams",
        shape=_state_shape,
        real=state_behind(gru_floats),
        integer=ByHand(last_state(gru_steps), gru_bound),
        operands=Operands(),
    )
)

RNN_RELU = register(
    replace(
        LSTM,
        name="rnn_relu",
        attributes={"reverse": FLAG},
        kernels=ON_CORES,
        doc="h of every step of a plain recurrent layer with relu, one layer and direction",
        real=every_step(RELU_FLOATS),
        integer=ByHand(all_steps(relu_steps), recurrent_bound),
        constants=Constants(relu_quantize, (RecurrentParams,), LEARNT_BESIDE_SUMS),
        weights=Weights((2,), states_before(RELU_FLOATS), multiply_result=True),
        result=Result(),
        streaming_rule=plain_streaming_rule,
    )
)

RNN_TANH = register(
    replace(
        RNN_RELU,
        name="rnn_tanh",
        doc="h of every step of a plain recurrent layer with tanh, one layer and direction",
        real=every_step(TANH_FLOATS),
        integer=ByHand(all_steps(tanh_steps), recurrent_bound),
        constants=Constants(tanh_quantize, (RecurrentParams,), LEARNT_BESIDE_SUMS),
        weights=Weights((2,), states_before(TANH_FLOATS), multiply_result=True),
        result=Result(fixed_params=always(HIDDEN_PARAMS)),
    )
)
