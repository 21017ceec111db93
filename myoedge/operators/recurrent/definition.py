# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers over time, one layer and direction a node: what steps before add to the gates.

Columns of the gates and rows of the weights go unit by unit: (input, forget, cell, output) of an
LSTM, (reset, update, new) of a GRU, one of a plain layer. What a step's input adds to them comes
from `gates`, of a plain layer from `sums`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.weight_format import EIGHT_BITS
from myoedge.operators.base import (
    LoopNest,
    OpDef,
    OperandAxis,
    StreamingRule,
    StreamState,
    register,
)
from myoedge.operators.common_rules import beside_last, final_state
from myoedge.operators.kernel import Dim, on_cluster
from myoedge.operators.linear.definition import (
    linear_integer,
    linear_nest,
    linear_real,
    linear_shape,
    quantize_beside,
    rows_of_16_bits,
)
from myoedge.operators.products.ne16 import (
    has_int8_products,
    is_in_words,
    sums_on_ne16,
    wide_rows_on_ne16,
)
from myoedge.operators.products.packing import acc_bound, accepts_int16
from myoedge.operators.recurrent.cells import (
    CELL_BITS,
    GATE_PARAMS,
    HIDDEN_PARAMS,
    INT16_LIMITS,
    LSTM_GATES,
    STATE_BITS,
    STATE_LIMITS,
    all_steps,
    first_state,
    from_params,
    gru_bound,
    gru_steps,
    in_order,
    last_state,
    lstm_steps,
    recurrent_bound,
    recurrent_quantize,
    relu_quantize,
    relu_steps,
    sigmoid,
    states_before,
    tanh_quantize,
    tanh_steps,
    time_order,
)
from myoedge.operators.recurrent.ne16 import (
    one_sequence_of_many_units,
    resets_products,
    steps_on_ne16,
)
from myoedge.operators.recurrent.streamed import streamed_kernels
from myoedge.operators.recurrent.tiling import in_tiles

FloatSteps = Callable[..., Iterator[tuple[Array, Array]]]

# ---- meaning in floats


def lstm_floats(
    attrs: Attrs, gates: Array, h: Array, c: Array, r: Array
) -> Iterator[tuple[Array, Array]]:
    """gates [T, N, 4H], h and c [N, H], r [4H, H] -> (h, c) of every step."""
    for now in time_order(attrs, gates):
        i, f, g, o = np.moveaxis((now + h @ r.T).reshape(*h.shape, -1), -1, 0)
        c = np.asarray(sigmoid(f) * c + sigmoid(i) * np.tanh(g))
        h = np.asarray(sigmoid(o) * np.tanh(c))
        yield h, c


def gru_floats(
    attrs: Attrs, gates: Array, h: Array, r: Array, b: Array
) -> Iterator[tuple[Array, Array]]:
    """gates [T, N, 3H], h [N, H], r [3H, H], b [3H] -> h of every step, twice.

    attrs["reset_first"]: h is reset before it is multiplied for the new gate, else behind that.
    """

    def added(h: Array) -> Array:
        return np.moveaxis((h @ r.T + b).reshape(*h.shape, -1), -1, 0)

    for now in time_order(attrs, gates):
        x_r, x_z, x_n = np.moveaxis(now.reshape(*h.shape, -1), -1, 0)
        h_r, h_z, h_n = added(h)
        reset = sigmoid(x_r + h_r)
        h_n = added(reset * h)[2] if attrs["reset_first"] else reset * h_n
        n = np.tanh(x_n + h_n)
        h = np.asarray(n + sigmoid(x_z + h_z) * (h - n))
        yield h, h


def plain_floats(
    function: Callable[[Array], Array], attrs: Attrs, sums: Array, h: Array, r: Array
) -> Iterator[tuple[Array, Array]]:
    """sums [T, N, H], h [N, H], r [H, H] -> h of every step, twice."""
    for now in time_order(attrs, sums):
        h = np.asarray(function(now + h @ r.T))
        yield h, h


RELU_FLOATS = partial(plain_floats, lambda sums: np.maximum(sums, 0.0))
TANH_FLOATS = partial(plain_floats, np.tanh)


def _all_steps(steps: FloatSteps) -> Callable[..., Array]:
    """`real` of operators that give h of every step [T, N, H]."""
    return lambda attrs, *xs: in_order(attrs, [h for h, _ in steps(attrs, *xs)])


def _last_state(steps: FloatSteps) -> Callable[..., Array]:
    """`real` of operators that give the state behind the last step [N, H]."""
    return lambda attrs, *xs: [state for _, state in steps(attrs, *xs)][-1]


# ---- shapes and loops


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


def lstm_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Forwards, with h and c as one frame leaves them for the next: exact in their own bits."""
    if at.operand or at.axis or at.attrs["reverse"]:
        return None
    h = StreamState(
        1, "h", at.shapes[1], HIDDEN_PARAMS, lambda step, x: first_state(step, "h", x, (-128, 127)),
        scalars=from_params(HIDDEN_PARAMS, "h", 7),
    )  # fmt: skip
    cell = {**from_params(CELL, "c", CELL_BITS), **from_params(CELL, "y", CELL_BITS), "wide": 1}
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
    h = StreamState(
        1, "h", at.shapes[1], WHOLE, lambda step, x: first_state(step, "h", x, STATE_LIMITS),
        scalars={**factors, "wide": 1}, last="gru_state",
    )  # fmt: skip
    return StreamingRule(0, carries=(h,))


def plain_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Forwards, with h as it is."""
    if at.operand or at.axis or at.attrs["reverse"]:
        return None
    same = {"h_mult": 1, "h_offset": 0, "h_shift": 0}
    h = StreamState(
        1, "h", at.shapes[1], None, lambda step, x: first_state(step, "h", x, (-128, 127)),
        scalars=same,
    )  # fmt: skip
    return StreamingRule(0, carries=(h,))


GATES = register(
    OpDef(
        name="gates",
        doc="y = x W^T + b in 16 bits, steps of 1/1024: what inputs add to the gates of lstm, gru",
        shape=linear_shape,
        nest=linear_nest,
        real=linear_real,
        integer=linear_integer,
        quantize=quantize_beside,
        acc_bound=acc_bound,
        kernels=(
            *on_cluster(rows_of_16_bits),
            sums_on_ne16(wide_rows_on_ne16, has_int8_products),
            sums_on_ne16(partial(wide_rows_on_ne16, in_place=True), has_int8_products, is_in_words),
        ),
        weights=(1, 2),
        out_dtype="int16",
        fixed_params=GATE_PARAMS,
        multiplies=True,
        multiplicands=lambda attrs, x, *_: x.reshape(1, -1, x.shape[-1]),
        streaming_rule=beside_last,
        accepts_int16=accepts_int16,
        int16_weights=EIGHT_BITS.rounded,
    )
)

SUMS = register(
    replace(
        GATES,
        name="sums",
        doc="y = x W^T + b in 16 bits: what inputs add to the sums of rnn",
        out_dtype="float32",
        fixed_params=None,
        int16_result=True,
    )
)

ON_CORES = (*on_cluster(in_tiles), *streamed_kernels())

LSTM = register(
    OpDef(
        name="lstm",
        doc="h of every step of an LSTM, one layer and direction; c has 16 bits",
        shape=lambda attrs, gates, h, *_: (gates[0], *h),
        nest=_nest,
        real=_all_steps(lstm_floats),
        integer=all_steps(lstm_steps),
        quantize=recurrent_quantize,
        acc_bound=recurrent_bound,
        kernels=(
            *ON_CORES,
            sums_on_ne16(steps_on_ne16, has_int8_products, one_sequence_of_many_units),
        ),
        weights=(3,),
        fixed_params=HIDDEN_PARAMS,
        multiplies=True,
        multiplicands=states_before(lstm_floats),
        streaming_rule=lstm_streaming_rule,
    )
)

LSTM_CELL = register(
    final_state(
        LSTM,
        name="lstm_cell",
        kernels=ON_CORES,
        doc="c behind the last step of an LSTM, by running it once more",
        shape=_state_shape,
        real=_last_state(lstm_floats),
        integer=last_state(lstm_steps),
        fixed_params=None,
    )
)

GRU = register(
    replace(
        LSTM,
        name="gru",
        kernels=(
            *ON_CORES,
            sums_on_ne16(
                steps_on_ne16, has_int8_products, one_sequence_of_many_units, resets_products
            ),
        ),
        doc="h of every step of a GRU, one layer and direction; between steps it has 16 bits",
        real=_all_steps(gru_floats),
        integer=all_steps(gru_steps),
        acc_bound=gru_bound,
        weights=(2, 3),
        multiplicands=states_before(gru_floats),
        streaming_rule=gru_streaming_rule,
    )
)

GRU_STATE = register(
    final_state(
        GRU,
        name="gru_state",
        kernels=on_cluster(in_tiles),
        doc="h behind the last step of a GRU in 16 bits, by running it once more: on streams",
        shape=_state_shape,
        real=_last_state(gru_floats),
        integer=last_state(gru_steps),
        fixed_params=None,
    )
)

RNN_RELU = register(
    replace(
        LSTM,
        name="rnn_relu",
        kernels=ON_CORES,
        doc="h of every step of a plain recurrent layer with relu, one layer and direction",
        real=_all_steps(RELU_FLOATS),
        multiplicands=states_before(RELU_FLOATS),
        integer=all_steps(relu_steps),
        quantize=relu_quantize,
        acc_bound=recurrent_bound,
        weights=(2,),
        fixed_params=None,
        streaming_rule=plain_streaming_rule,
    )
)

RNN_TANH = register(
    replace(
        RNN_RELU,
        name="rnn_tanh",
        doc="h of every step of a plain recurrent layer with tanh, one layer and direction",
        real=_all_steps(TANH_FLOATS),
        multiplicands=states_before(TANH_FLOATS),
        integer=all_steps(tanh_steps),
        quantize=tanh_quantize,
        fixed_params=HIDDEN_PARAMS,
    )
)
