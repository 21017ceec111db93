# SPDX-License-Identifier: Apache-2.0
"""LSTM and GRU over time, one layer and direction a node: what the steps before add to the gates.

Columns of the gates and rows of the weights go unit by unit: (input, forget, cell, output) of an
LSTM, (reset, update, new) of a GRU. What a step's input adds to them comes from `gates`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import (
    LoopNest,
    OpDef,
    QuantizedNode,
    StreamingRule,
    StreamState,
    register,
)
from myoedge.operators.kernel import Dim, on_cluster
from myoedge.operators.recurrent.cells import (
    CELL_BITS,
    GRU_GATES,
    HALF,
    HIDDEN,
    LSTM_GATES,
    STATE,
    STATE_BITS,
    cell_integer,
    cell_quantize,
    first_state,
    from_params,
    gru_bound,
    gru_integer,
    gru_quantize,
    in_order,
    lstm_integer,
    lstm_quantize,
    recurrent_bound,
    sigmoid,
    state_integer,
    state_quantize,
    time_order,
)
from myoedge.operators.recurrent.tiling import (
    cell_in_tiles,
    gru_in_tiles,
    lstm_in_tiles,
    state_in_tiles,
)

# ---- meaning in floats


def lstm_real(attrs: Attrs, gates: Array, h: Array, c: Array, r: Array) -> Array:
    """gates [T, N, 4H], h and c [N, H], r [4H, H] -> h of every step [T, N, H]."""
    steps = _lstm_floats(attrs, gates, h, c, r)
    return in_order(attrs, [h for h, _ in steps])


def cell_real(attrs: Attrs, gates: Array, h: Array, c: Array, r: Array) -> Array:
    """Arguments of lstm_real -> c of the last step [N, H]."""
    (*_, (_, last)) = _lstm_floats(attrs, gates, h, c, r)
    return last


def _lstm_floats(
    attrs: Attrs, gates: Array, h: Array, c: Array, r: Array
) -> Iterator[tuple[Array, Array]]:
    for now in time_order(attrs, gates):
        i, f, g, o = np.moveaxis((now + h @ r.T).reshape(*h.shape, LSTM_GATES), -1, 0)
        c = np.asarray(sigmoid(f) * c + sigmoid(i) * np.tanh(g))
        h = np.asarray(sigmoid(o) * np.tanh(c))
        yield h, c


def gru_real(attrs: Attrs, gates: Array, h: Array, r: Array, b: Array) -> Array:
    """gates [T, N, 3H], h [N, H], r [3H, H], b [3H] -> h of every step [T, N, H].

    attrs["reset_first"]: h is reset before it is multiplied for the new gate, else behind that.
    """

    found = [*_gru_floats(attrs, gates, h, r, b)]
    return in_order(attrs, found)


def state_real(attrs: Attrs, gates: Array, h: Array, r: Array, b: Array) -> Array:
    """Arguments of gru_real -> h behind the last step [N, H]."""
    (*_, last) = _gru_floats(attrs, gates, h, r, b)
    return last


def _gru_floats(attrs: Attrs, gates: Array, h: Array, r: Array, b: Array) -> Iterator[Array]:
    def added(h: Array) -> Array:
        return np.moveaxis((h @ r.T + b).reshape(*h.shape, GRU_GATES), -1, 0)

    for now in time_order(attrs, gates):
        x_r, x_z, x_n = np.moveaxis(now.reshape(*h.shape, GRU_GATES), -1, 0)
        h_r, h_z, h_n = added(h)
        reset = sigmoid(x_r + h_r)
        h_n = added(reset * h)[2] if attrs["reset_first"] else reset * h_n
        n = np.tanh(x_n + h_n)
        h = np.asarray(n + sigmoid(x_z + h_z) * (h - n))
        yield h


# ---- shapes and loops


def _sequence_shape(attrs: Attrs, gates: Shape, h: Shape, *_: Shape) -> Shape:
    return (gates[0], *h)


def _state_shape(attrs: Attrs, gates: Shape, h: Shape, *_: Shape) -> Shape:
    return h


def _nest(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> LoopNest:
    """Loops over the products by what came of the step before."""
    (t, n, columns), units = shapes[0], out[-1]
    per_unit = columns // units
    time: Dim = (("t", 1),)
    batch: Dim = (("n", 1),)
    unit: Dim = (("j", 1),)
    row: Dim = (("j", per_unit), ("g", 1))
    states = ("h", "c") if per_unit == LSTM_GATES else ("h",)
    operands = {
        "x": (time, batch, row),
        **dict.fromkeys(states, (batch, unit)),
        "w": (row, (("c", 1),)),
        "y": (time, batch, unit) if len(out) > 2 else (batch, unit),
    }
    axes = {"t": t, "n": n, "j": units, "g": per_unit, "c": units}
    summed = {"g", "c"} if len(out) > 2 else {"g", "c", "t"}
    return LoopNest(axes, operands, frozenset(summed))


# ---- in time

CELL = QuantParams(2.0**-CELL_BITS, 0, INT16)


WHOLE = QuantParams(2.0**-STATE_BITS, 0, INT16)  # a GRU's h between steps


def lstm_streaming_rule(
    attrs: Attrs, shapes: Sequence[Shape], index: int, axis: int
) -> StreamingRule | None:
    """Forwards, with h and c as one frame leaves them for the next: exact in their own bits."""
    if index or axis or attrs["reverse"]:
        return None

    def first_h(step: QuantizedNode, x: Array) -> Array:
        return first_state(step, "h", x, (-128, 127))

    def first_c(step: QuantizedNode, x: Array) -> Array:
        return first_state(step, "c", x, (HALF.min, HALF.max))

    cell = {**from_params(CELL, "c", CELL_BITS), **from_params(CELL, "y", CELL_BITS), "wide": 1}
    h = StreamState(1, "h", shapes[1], HIDDEN, first_h, scalars=from_params(HIDDEN, "h", 7))
    c = StreamState(2, "c", shapes[2], CELL, first_c, scalars=cell, last="lstm_cell")
    return StreamingRule(0, lambda made: attrs, carries=(h, c))


def gru_streaming_rule(
    attrs: Attrs, shapes: Sequence[Shape], index: int, axis: int
) -> StreamingRule | None:
    """Forwards, with h as one frame leaves it for the next: in all of its bits."""
    if index or axis or attrs["reverse"]:
        return None

    def first_h(step: QuantizedNode, x: Array) -> Array:
        return first_state(step, "h", x, STATE)

    factors = {**from_params(WHOLE, "h", STATE_BITS), **from_params(WHOLE, "y", STATE_BITS)}
    h = StreamState(
        1, "h", shapes[1], WHOLE, first_h, scalars={**factors, "wide": 1}, last="gru_state"
    )
    return StreamingRule(0, lambda made: attrs, carries=(h,))


LSTM = register(
    OpDef(
        name="lstm",
        doc="h of every step of an LSTM, one layer and direction; c has 16 bits",
        shape=_sequence_shape,
        nest=_nest,
        real=lstm_real,
        integer=lstm_integer,
        quantize=lstm_quantize,
        acc_bound=recurrent_bound,
        kernels=on_cluster(lstm_in_tiles),
        weights=(3,),
        fixed_params=HIDDEN,
        multiplies=True,
        streaming_rule=lstm_streaming_rule,
    )
)

LSTM_CELL = register(
    OpDef(
        name="lstm_cell",
        doc="c behind the last step of an LSTM, by running it once more",
        shape=_state_shape,
        nest=_nest,
        real=cell_real,
        integer=cell_integer,
        quantize=cell_quantize,
        acc_bound=recurrent_bound,
        kernels=on_cluster(cell_in_tiles),
        weights=(3,),
        multiplies=True,
    )
)

GRU = register(
    OpDef(
        name="gru",
        doc="h of every step of a GRU, one layer and direction; between steps it has 16 bits",
        shape=_sequence_shape,
        nest=_nest,
        real=gru_real,
        integer=gru_integer,
        quantize=gru_quantize,
        acc_bound=gru_bound,
        kernels=on_cluster(gru_in_tiles),
        weights=(2, 3),
        fixed_params=HIDDEN,
        multiplies=True,
        streaming_rule=gru_streaming_rule,
    )
)

GRU_STATE = register(
    OpDef(
        name="gru_state",
        doc="h behind the last step of a GRU in 16 bits, by running it once more: on streams",
        shape=_state_shape,
        nest=_nest,
        real=state_real,
        integer=state_integer,
        quantize=state_quantize,
        acc_bound=gru_bound,
        kernels=on_cluster(state_in_tiles),
        weights=(2, 3),
        multiplies=True,
    )
)
