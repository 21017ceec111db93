# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers over time: one node per layer and direction, which adds the products with h to
the gate sums; each cell gives its operators.

Columns of the gates and rows of the weights are ordered by unit: (input, forget, cell, output) for
an LSTM, (reset, update, new) for a GRU, one for a plain RNN. Separate nodes `gates`, or `sums` for
a plain RNN, compute the inputs' contribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import SumRequant
from myoedge.operators.attributes import FLAG, optional, whole
from myoedge.operators.base import OpDef, QuantizedNode, add_operator, add_variant, register
from myoedge.operators.common_rules import final_state, row_products, stream_except_last_axis
from myoedge.operators.format import EIGHT, EITHER, SIXTEEN, STORED_BITS, WIDE_BITS, Format
from myoedge.operators.library.packing import LEARNT, ROOM_FOR_SUMS, WeightedParams
from myoedge.operators.linear import (
    kernels_of_16_bits,
    linear_nest,
    linear_real,
    linear_shape,
    quantize_beside,
)
from myoedge.operators.recurrent.cells import (
    CELLS,
    GATE_PARAMS,
    HIDDEN_PARAMS,
    LAST_STATES,
    STATE_BITS,
    STATE_PARAMS,
    Cell,
    Steps,
    cell_bits,
    first_cell,
    first_hidden,
    first_kept,
    gate_params,
    hidden_params,
)
from myoedge.operators.recurrent.ne16 import PARTS_ON_NE16
from myoedge.operators.recurrent.quantized import (
    GRU_RESULTS,
    LEARNT_BESIDE_GATES,
    LEARNT_BESIDE_SUMS,
    LSTM_RESULTS,
    RecurrentParams,
    ScaledParams,
    from_params,
    plain_quantize,
    recurrent_quantize,
)
from myoedge.operators.recurrent.tiling import LAST_STATE, ON_CORES
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule, StreamState
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


def _sequence_shape(attrs: Attrs, gates: Shape, *others: Shape) -> Shape:
    """Return the shape of the states of all steps."""
    return (gates[0], *_state_shape(attrs, gates, *others))


GATE_BITS = optional(whole(8, 14))
HIDDEN_BITS = optional(whole(0, 15))

GATE_SUMS = Format((EIGHT,), SIXTEEN, STORED_BITS)

GATES = add_operator(
    name="gates",
    attributes={"gate_bits": GATE_BITS},
    doc="y = x W^T + b in int16, steps of 2^-8, 2^-10 or 2^-14: inputs of lstm, gru gates",
    shape=linear_shape,
    real=linear_real,
    integer=Described(linear_nest),
    constants=Constants(quantize_beside, kinds=(WeightedParams,), learnt=LEARNT),
    kernels=kernels_of_16_bits(
        GATE_SUMS, Format((EITHER,), SIXTEEN, WIDE_BITS, where=ROOM_FOR_SUMS)
    ),
    weights=Weights((1, 2), multiplicands=lambda attrs, x, *_: x.reshape(1, -1, x.shape[-1])),
    result=Result(
        dtype="int16", reach=-GATE_PARAMS.low * GATE_PARAMS.scale, fixed_params=gate_params
    ),
    macs=row_products,
    streaming_rule=stream_except_last_axis,
)

SUMS = add_variant(
    GATES,
    name="sums",
    attributes={},
    doc="y = x W^T + b in int16: the input's part of the sums of rnn",
    result=Result(),
)

# ---- what a cell's time steps give


def _order_states(attrs: Attrs, states: Sequence[Array]) -> Array:
    return np.stack(states[::-1] if attrs["reverse"] else states)


def _float_sequence(steps: Steps, attrs: Attrs, *xs: Array) -> Array:
    """Return h of all time steps in floats, [T, N, H]."""
    return _order_states(attrs, [h for h, _ in steps(attrs, *xs)])


def _float_last_state(steps: Steps, attrs: Attrs, *xs: Array) -> Array:
    """Return the state after the last time step in floats, [N, H]."""
    return [state for _, state in steps(attrs, *xs)][-1]


def _multiplied_states(steps: Steps, attrs: Attrs, gates: Array, h: Array, *others: Array) -> Array:
    """Return h before each time step, in floats."""
    states = [h, *(state for state, _ in steps(attrs, gates, h, *others))]
    return np.concatenate(states[:-1])[None]


def _integer_sequence(steps: Steps, step: QuantizedNode, *xs: Array) -> Array:
    """Return h of all time steps, int8 or int16 [T, N, H]."""
    states = _order_states(step.attrs, [h for h, _ in steps(step, *xs)])
    return states.astype(step.element_type.dtype)


def _integer_last_state(steps: Steps, step: QuantizedNode, *xs: Array) -> Array:
    """Return the state after the last time step, [N, H], requantised to the output."""
    (*_, (_, last)) = steps(step, *xs)
    to = SumRequant((step.integers.y_mult,), step.integers.y_offset, step.integers.y_shift)
    return to.apply((last,), step.low, step.high, step.element_type)


# ---- states on streams: they are passed from frame to frame without rounding

AS_IT_IS = {"h_mult": 1, "h_offset": 0, "h_shift": 0}


def _state_constants(q: QuantParams, name: str, bits: int) -> dict[str, int]:
    """Return the constants that read and give a state of `bits` fraction bits."""
    return {**from_params(q, name, bits), **from_params(q, "y", bits)}


def _lstm_h_state(usual: StreamState, step: QuantizedNode) -> StreamState:
    """Return the state rule of an LSTM's h, which equals its result."""
    if hidden_params(step) == usual.params:
        return usual
    return replace(usual, params=None, scalars=AS_IT_IS)


def _lstm_c_state(state: StreamState, step: QuantizedNode) -> StreamState:
    """Return the state rule of an LSTM's c, in its own quantisation step."""
    bits = cell_bits(step)
    params = QuantParams(2.0**-bits, 0, INT16)
    return replace(state, params=params, scalars=_state_constants(params, "c", bits))


def _int16_state(state: StreamState, step: QuantizedNode) -> StreamState:
    """Return the state rule of an operator whose int16 result is its state; for int8 results the
    rule is unchanged."""
    if step.element_type != INT16:
        return state
    return replace(state, params=None, scalars=AS_IT_IS, last="")


H = StreamState(1, "h", (), None, first_hidden, scalars=AS_IT_IS, by_step=_int16_state)
STREAMED = {  # the first is h; shapes are those of the operands
    "lstm": (
        replace(
            H,
            params=HIDDEN_PARAMS,
            scalars=from_params(HIDDEN_PARAMS, "h", 7),
            by_step=_lstm_h_state,
        ),
        StreamState(2, "c", (), None, first_cell, last="lstm_cell", by_step=_lstm_c_state),
    ),
    "gru": (
        replace(
            H,
            params=STATE_PARAMS,
            first=first_kept,
            scalars=_state_constants(STATE_PARAMS, "h", STATE_BITS),
            last="gru_state",
        ),
    ),
}


def _streaming_rule(op: str, at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming forwards in time, and that of sequences, which are independent;
    None for other axes."""
    states = STREAMED.get(op, (H,))
    if (at.axis == 0 and 0 < at.operand <= len(states)) or (at.axis, at.operand) == (1, 0):
        return StreamingRule(1)
    if at.operand or at.axis or at.attrs["reverse"]:
        return None
    return StreamingRule(0, carries=tuple(replace(x, shape=at.shapes[x.operand]) for x in states))


# ---- operators of cells

OF_GATES = Constants(recurrent_quantize, (RecurrentParams, ScaledParams), LEARNT_BESIDE_GATES)
FIXED = Result(fixed_params=always(HIDDEN_PARAMS))
OWN: dict[str, dict[str, Any]] = {  # what an operator has of its own
    "lstm": {
        "doc": "h of every step of an LSTM, one layer and direction; c is int16",
        "attributes": {
            "reverse": FLAG, "gate_bits": GATE_BITS, "cell_bits": optional(whole(5, 15)),
        },
        "result": replace(FIXED, rules=LSTM_RESULTS),
    },
    "gru": {
        "doc": "h of every step of a GRU, one layer and direction; int16 between steps",
        "attributes": {"reverse": FLAG, "reset_first": FLAG},
        "result": replace(FIXED, rules=GRU_RESULTS),
    },
    "rnn_relu": {
        "doc": "h of every step of a plain recurrent layer with relu, one layer and direction",
        "constants": Constants(
            partial(plain_quantize, relu=True), (RecurrentParams,), LEARNT_BESIDE_SUMS
        ),
    },
    "rnn_tanh": {
        "doc": "h of every step of a plain recurrent layer with tanh, one layer and direction",
        "constants": Constants(
            partial(plain_quantize, relu=False), (RecurrentParams,), LEARNT_BESIDE_SUMS
        ),
        "result": FIXED,
    },
    "lstm_cell": {"doc": "c after the last step of an LSTM, by running it once more"},
    "gru_state": {"doc": "16-bit h after a GRU's last step, by running it once more: on streams"},
}  # fmt: skip


def _make_sequence_operator(op: str, cell: Cell) -> OpDef:
    """Return the operator that gives h of all time steps."""
    weights = range(1 + len(cell.states), 2 + len(cell.states) + (op == "gru"))
    vectors = partial(_multiplied_states, cell.floats)
    usual = OpDef(
        name=op,
        doc="",
        attributes={"reverse": FLAG},
        shape=_sequence_shape,
        real=partial(_float_sequence, cell.floats),
        integer=ByHand(partial(_integer_sequence, cell.integers), cell.largest),
        constants=OF_GATES,
        kernels=(*ON_CORES, *(PARTS_ON_NE16,) * (cell.sums == "gates")),
        weights=Weights(tuple(weights), vectors, multiply_result=True),
        # products of the recurrent weights and the previous states, of all steps
        macs=lambda attrs, shapes, out: math.prod(shapes[0]) * out[-1],
        streaming_rule=partial(_streaming_rule, op),
        operands=Operands(first_states=(1,)),
    )
    return replace(usual, **OWN[op])


def _make_last_state_operator(op: str, cell: Cell, every: OpDef) -> OpDef:
    """Return the operator that gives the state after the last time step."""
    more = {"hidden_bits": HIDDEN_BITS} if "c" in cell.states else {}
    return final_state(
        every,
        name=op,
        attributes={**every.attributes, **more},
        kernels=LAST_STATE,
        shape=_state_shape,
        real=partial(_float_last_state, cell.floats),
        integer=ByHand(partial(_integer_last_state, cell.integers), cell.largest),
        operands=Operands(),
        **OWN[op],
    )


BY_CELL = {name: register(_make_sequence_operator(name, cell)) for name, cell in CELLS.items()}
for _name, _cell in LAST_STATES.items():
    _make_last_state_operator(_name, CELLS[_cell], BY_CELL[_cell])
