# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers on streams: states that frames leave for the next ones, exact in their bits."""

from __future__ import annotations

from dataclasses import replace

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OperandAxis, QuantizedNode, StreamingRule, StreamState
from myoedge.operators.recurrent.cells import (
    CELL_BITS,
    HIDDEN_PARAMS,
    INT16_LIMITS,
    STATE_BITS,
    STATE_LIMITS,
    first_hidden,
    first_state,
)
from myoedge.operators.recurrent.quantized import from_params

CELL = QuantParams(2.0**-CELL_BITS, 0, INT16)
WHOLE = QuantParams(2.0**-STATE_BITS, 0, INT16)  # a GRU's h between steps
# the first h of the whole network may have had 16 bits where the one that frames leave has 8
AS_IT_IS = {"h_mult": 1, "h_offset": 0, "h_shift": 0, "h0_wide": 0}
AS_IT_IS_WIDE = {**AS_IT_IS, "h0_wide": 1}


def lstm_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Forwards, with h and c as one frame leaves them for the next."""
    if at.operand or at.axis or at.attrs["reverse"]:
        return None
    shape = at.shapes[1]
    wide = StreamState(1, "h", shape, None, first_hidden, scalars=AS_IT_IS_WIDE)
    factors = {**from_params(HIDDEN_PARAMS, "h", 7), "h0_wide": 0}
    h = StreamState(1, "h", shape, HIDDEN_PARAMS, first_hidden, scalars=factors, of_int16=wide)
    cell = {**from_params(CELL, "c", CELL_BITS), **from_params(CELL, "y", CELL_BITS), "c0_wide": 1}
    c = StreamState(
        2, "c", at.shapes[2], CELL, lambda step, x: first_state(step, "c", x, INT16_LIMITS),
        scalars=cell, last="lstm_cell",
    )  # fmt: skip
    return StreamingRule(0, carries=(h, c))


def gru_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Forwards, with h as one frame leaves it for the next: in all of its bits."""
    if at.operand or at.axis or at.attrs["reverse"]:
        return None
    factors = {**from_params(WHOLE, "h", STATE_BITS), **from_params(WHOLE, "y", STATE_BITS)}
    wide = StreamState(1, "h", at.shapes[1], None, _first_kept, scalars=AS_IT_IS_WIDE)
    h = StreamState(
        1, "h", at.shapes[1], WHOLE, _first_kept,
        scalars={**factors, "h0_wide": 1}, last="gru_state", of_int16=wide,
    )  # fmt: skip
    return StreamingRule(0, carries=(h,))


def _first_kept(step: QuantizedNode, x: Array) -> Array:
    """A GRU's first h in the bits that it keeps."""
    return first_state(step, "h", x, STATE_LIMITS)


def plain_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Forwards, with h as it is."""
    if at.operand or at.axis or at.attrs["reverse"]:
        return None
    wide = StreamState(1, "h", at.shapes[1], None, first_hidden, scalars=AS_IT_IS_WIDE)
    h = replace(wide, scalars=AS_IT_IS, of_int16=wide)
    return StreamingRule(0, carries=(h,))
