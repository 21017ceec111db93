# SPDX-License-Identifier: Apache-2.0
"""Streaming rules of recurrent layers: states are passed from frame to frame without rounding."""

from __future__ import annotations

from dataclasses import replace

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import QuantizedNode
from myoedge.operators.recurrent.cells import (
    HIDDEN_PARAMS,
    INT16_LIMITS,
    STATE_BITS,
    STATE_LIMITS,
    cell_bits,
    first_hidden,
    first_state,
    hidden_params,
)
from myoedge.operators.recurrent.quantized import from_params
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule, StreamState

WHOLE = QuantParams(2.0**-STATE_BITS, 0, INT16)  # a GRU's stored h
AS_IT_IS = {"h_mult": 1, "h_offset": 0, "h_shift": 0}


def lstm_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming an LSTM: forwards in time, with h and c as states; None for
    other axes."""
    if at.operand or at.axis or at.attrs["reverse"]:
        return None
    factors = from_params(HIDDEN_PARAMS, "h", 7)
    h = StreamState(
        1, "h", at.shapes[1], HIDDEN_PARAMS, first_hidden, scalars=factors, by_step=_hidden,
    )  # fmt: skip
    c = StreamState(2, "c", at.shapes[2], None, _first_cell, last="lstm_cell", by_step=_cell)
    return StreamingRule(0, carries=(h, c))


def _hidden(usual: StreamState, step: QuantizedNode) -> StreamState:
    """Return the state rule of an LSTM's h, which equals its result."""
    if hidden_params(step) == usual.params:
        return usual
    return replace(usual, params=None, scalars=AS_IT_IS)


def _cell(state: StreamState, step: QuantizedNode) -> StreamState:
    """Return the state rule of an LSTM's c, in its own quantisation step."""
    bits = cell_bits(step)
    params = QuantParams(2.0**-bits, 0, INT16)
    scalars = {**from_params(params, "c", bits), **from_params(params, "y", bits)}
    return replace(state, params=params, scalars=scalars)


def _of_16_bits(state: StreamState, step: QuantizedNode) -> StreamState:
    """Return the state rule of an operator whose int16 result is its state; for int8 results the
    rule is unchanged."""
    if step.element_type != INT16:
        return state
    return replace(state, params=None, scalars=AS_IT_IS, last="")


def _first_cell(step: QuantizedNode, x: Array) -> Array:
    """Convert an initial c to the precision of the stored state."""
    return first_state(step, "c", x, INT16_LIMITS)


def gru_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a GRU: forwards in time, with h in its stored format as state;
    None for other axes."""
    if at.operand or at.axis or at.attrs["reverse"]:
        return None
    factors = {**from_params(WHOLE, "h", STATE_BITS), **from_params(WHOLE, "y", STATE_BITS)}
    h = StreamState(
        1, "h", at.shapes[1], WHOLE, _first_kept,
        scalars=factors, last="gru_state", by_step=_of_16_bits,
    )  # fmt: skip
    return StreamingRule(0, carries=(h,))


def _first_kept(step: QuantizedNode, x: Array) -> Array:
    """Convert a GRU's initial h to the precision of the stored state."""
    return first_state(step, "h", x, STATE_LIMITS)


def plain_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a plain RNN: forwards in time, with h as state; None for other
    axes."""
    if at.operand or at.axis or at.attrs["reverse"]:
        return None
    h = StreamState(
        1, "h", at.shapes[1], None, first_hidden, scalars=AS_IT_IS, by_step=_of_16_bits,
    )  # fmt: skip
    return StreamingRule(0, carries=(h,))
