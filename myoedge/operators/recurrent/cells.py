# SPDX-License-Identifier: Apache-2.0
"""Recurrent cells: what each is, and its time steps in floats and in integers.

h is int8 or int16, the stored state and c are int16. Gate sums lie unit by unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.nest.formulas import shifted
from myoedge.numerics.arrays import Array, rounded_shift
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import exact_sums
from myoedge.operators.base import QuantizedNode
from myoedge.operators.library.packing import bound_of

GATE_BITS = 10  # fraction bits of the gate sums, unless an LSTM's attributes set others
CELL_BITS = 11  # fraction bits of an LSTM's c, an int16 within +-16, likewise
STATE_BITS = 14  # fraction bits of a GRU's stored h: 15 bits, +-1
Q15 = 15  # fraction bits of the functions of gates
# Arguments of these: +-32 in steps of 1/1024; the functions are constant beyond.
GATE_PARAMS = QuantParams(2.0**-GATE_BITS, 0, INT16)
HIDDEN_PARAMS = QuantParams(2.0**-7, 0)  # h as it is multiplied and returned
STATE_PARAMS = QuantParams(2.0**-STATE_BITS, 0, INT16)  # a GRU's stored h, beside int8 results
SUMS_REACH = 16.0  # range of a plain RNN's sums, relative to the results': terms may cancel
TABLE_INTERVALS = 512  # intervals between table entries, interpolated
SIGMOID_REACH, TANH_REACH = 16.0, 8.0  # the functions are constant beyond
SIGMOID_ENTRIES, TANH_ENTRIES = 4, 5  # fraction bits of the table step
SIGMOID_STEP, TANH_STEP = GATE_BITS - SIGMOID_ENTRIES, GATE_BITS - TANH_ENTRIES  # log2 of it
INT8_RESULT_SHIFT = 23  # of an LSTM's h, from Q30 to steps of 1/128
INT16_LIMITS = (INT16.low, INT16.high)
STATE_LIMITS = (-(1 << STATE_BITS), (1 << STATE_BITS) - 1)
Steps = Callable[..., Iterator[tuple[Array, Array]]]  # h and the stored state of each time step


def sigmoid(x: Array) -> Array:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))


def time_order(attrs: Attrs, gates: Array) -> Array:
    return gates[::-1] if attrs["reverse"] else gates


def _gates_of(sums: Array, h: Array) -> Array:
    return np.moveaxis(sums.reshape(*h.shape, -1), -1, 0)


# ---- floats: gate sums of inputs [T, N, G H], initial states [N, H], weights [G H, H], bias [G H]


def lstm_real(
    i: Array, f: Array | None, g: Array, o: Array, c: Array | None, stored: Any = np.asarray
) -> tuple[Array, Array]:
    """Return h and the next c of an LSTM's gate sums; without c, those of c = 0.

    stored   function: c -> c as it is kept for the next time step
    """
    more = sigmoid(i) * np.tanh(g)
    c = stored(more if f is None else sigmoid(f) * c + more)
    return np.asarray(sigmoid(o) * np.tanh(c)), c


def lstm_floats(
    attrs: Attrs,
    gates: Array,
    h: Array,
    c: Array,
    r: Array,
    stored: Callable[[Array], Array] = np.asarray,
    added: Callable[[Array], Array] = np.asarray,
) -> Iterator[tuple[Array, Array]]:
    """Run an LSTM in floats; yield h and c after every time step.

    stored   function: c -> c as it is kept for the next time step
    added    function: either part of the gate sums, of inputs or of h -> the part as it is added
    """
    for now in time_order(attrs, gates):
        i, f, g, o = _gates_of(added(now) + added(h @ r.T), h)
        h, c = lstm_real(i, f, g, o, c, stored)
        yield h, c


def gru_floats(
    attrs: Attrs, gates: Array, h: Array, r: Array, b: Array
) -> Iterator[tuple[Array, Array]]:
    """Run a GRU in floats; yield (h, h) after every time step.

    attrs["reset_first"]   whether h is reset before its product for the new gate
    """
    for now in time_order(attrs, gates):
        x_r, x_z, x_n = _gates_of(now, h)
        h_r, h_z, h_n = _gates_of(h @ r.T + b, h)
        reset = sigmoid(x_r + h_r)
        h_n = _gates_of((reset * h) @ r.T + b, h)[2] if attrs["reset_first"] else reset * h_n
        n = np.tanh(x_n + h_n)
        h = np.asarray(n + sigmoid(x_z + h_z) * (h - n))
        yield h, h


def _elman_float_step(
    function: Callable[[Array], Array], attrs: Attrs, sums: Array, h: Array, r: Array
) -> Iterator[tuple[Array, Array]]:
    for now in time_order(attrs, sums):
        h = np.asarray(function(now + h @ r.T))
        yield h, h


# ---- integers: the same with gate sums int16 and initial states int8 or int16


def table(function: str) -> Array:
    """Return a Q15 table of "sigmoid" or "tanh" at equally spaced arguments, int16 [513]."""
    reach = SIGMOID_REACH if function == "sigmoid" else TANH_REACH
    x = np.linspace(-reach, reach, TABLE_INTERVALS + 1)
    y = sigmoid(x) if function == "sigmoid" else np.tanh(x)
    return np.asarray(np.minimum(np.rint(2.0**Q15 * y), INT16.high), np.int16)


TABLES = {name: table(name) for name in ("sigmoid", "tanh")}


def interpolated(values: Array, x: Array, bits: int) -> Array:
    """Interpolate a Q15 table linearly at x.

    values   table as returned by `table`
    x        integers; the table's entries are 2**bits apart
    """
    limit = TABLE_INTERVALS // 2 << bits
    at = np.clip(x, -limit, limit - 1) + limit
    low = at >> bits
    start, end = (values.take(low + n).astype(np.int64) for n in (0, 1))
    return np.asarray(start + rounded_shift((end - start) * (at & ((1 << bits) - 1)), bits))


def lstm_cell(
    at: Callable[[str, Any, int], Any],
    sums: Sequence[Any],
    c: Any,
    cell_bits: int,
    clip: Callable[[Any, int, int], Any],
    gate_bits: int = GATE_BITS,
) -> tuple[Any, Any]:
    """Return the next c and h in Q30, of integers or of expressions of a description.

    at     (table, x, bits between entries) -> the function at x, Q15
    sums   of the four gates
    c      int16; None: 0, and no forget gate
    clip   (x, low, high) -> x limited
    """
    (i, f, g, o), narrow = sums, gate_bits - SIGMOID_ENTRIES
    more = at("sigmoid", i, narrow) * at("tanh", g, gate_bits - TANH_ENTRIES)
    more = shifted(more, Q15 - cell_bits)
    if c is None:
        c = rounded_shift(more, Q15)
    else:
        c = clip(rounded_shift(at("sigmoid", f, narrow) * c + more, Q15), *INT16_LIMITS)
    return c, at("sigmoid", o, narrow) * at("tanh", c, cell_bits - TANH_ENTRIES)


def _look_up(step: QuantizedNode, name: str, x: Array, bits: int) -> Array:
    return interpolated(getattr(step.integers, name), x, bits)


def cell_bits(step: QuantizedNode) -> int:
    """Return the number of fraction bits of an LSTM's cell state c."""
    return int(getattr(step.integers, "cell_bits", CELL_BITS))


def gate_params(attrs: Attrs) -> QuantParams:
    """Return the quantisation parameters of the gate sums that a node's attributes select."""
    return QuantParams(2.0 ** -attrs.get("gate_bits", GATE_BITS), 0, INT16)


def hidden_limits(step: QuantizedNode) -> tuple[int, int]:
    """Return the smallest and the largest integer of h as it is multiplied by the weights."""
    return step.weight_type.low, step.weight_type.high


def hidden_params(step: QuantizedNode) -> QuantParams:
    """Return the quantisation parameters of an LSTM's or GRU's h as it is multiplied by the
    weights."""
    numbers = step.integers
    if numbers.result_shift is not None:
        return QuantParams(2.0 ** (numbers.result_shift - 30), 0, step.weight_type)
    if step.weight_type != INT16:
        return HIDDEN_PARAMS
    return QuantParams(2.0 ** (numbers.new_shift - Q15) / numbers.new_mult, 0, INT16)


def _convert_state(step: QuantizedNode, name: str, x: Array) -> Array:
    """Return integers converted by the constants with a prefix."""
    parts = (getattr(step.integers, f"{name}_{part}") for part in ("mult", "offset", "shift"))
    mult, offset, shift = parts
    return np.asarray((x.astype(np.int64) * mult + offset) >> shift)


def first_state(limits: Any, name: str, step: QuantizedNode, x: Array) -> Array:
    """Convert an initial state to the integers that are stored, saturated at `limits`, which may be
    a function of the node; name: prefix of the conversion's constants."""
    ends = limits(step) if callable(limits) else limits
    return np.asarray(np.clip(_convert_state(step, name, x), *ends))


first_hidden = partial(first_state, hidden_limits, "h")  # as it is multiplied by the weights
first_kept = partial(first_state, STATE_LIMITS, "h")  # a GRU's, as it is stored
first_cell = partial(first_state, INT16_LIMITS, "c")


def _recurrent_sums(step: QuantizedNode, h: Array) -> Array:
    """Return the contribution of h to every gate, [gates, N, H]."""
    acc = exact_sums(h, step.integers.weight.T, step.integers.bias)
    return _gates_of(np.clip(step.integers.requant.rescale(acc), *INT16_LIMITS).astype(np.int64), h)


def _lstm_steps(
    step: QuantizedNode, gates: Array, h: Array, c: Array
) -> Iterator[tuple[Array, Array]]:
    h, c, numbers = first_hidden(step, h), first_cell(step, c), step.integers
    shift = INT8_RESULT_SHIFT if numbers.result_shift is None else numbers.result_shift
    bits, kept = getattr(numbers, "gate_bits", GATE_BITS), cell_bits(step)
    for now in time_order(step.attrs, gates):
        sums = _gates_of(now.astype(np.int64), h) + _recurrent_sums(step, h)
        c, out = lstm_cell(partial(_look_up, step), tuple(sums), c, kept, np.clip, bits)
        h = np.clip(rounded_shift(out, shift), *hidden_limits(step))
        yield h, c


def _gru_steps(step: QuantizedNode, gates: Array, h: Array) -> Iterator[tuple[Array, Array]]:
    state = first_kept(step, h)
    small = _multiplied_state(step, state)
    for now in time_order(step.attrs, gates):
        x_r, x_z, x_n = _gates_of(now.astype(np.int64), state)
        h_r, h_z, h_n = _recurrent_sums(step, small)
        r, z = (_look_up(step, "sigmoid", v, SIGMOID_STEP) for v in (x_r + h_r, x_z + h_z))
        if step.attrs["reset_first"]:
            (_, _, h_n) = _recurrent_sums(
                step, _multiplied_state(step, rounded_shift(r * state, Q15))
            )
        else:
            h_n = rounded_shift(r * h_n, Q15)
        n = _look_up(step, "tanh", x_n + h_n, TANH_STEP)  # saturated at twice the state's range
        n = (
            np.clip(_convert_state(step, "new", n), *INT16_LIMITS)
            if step.weight_type == INT16
            else rounded_shift(n, 1)
        )
        state = np.clip(n + rounded_shift(z * (state - n), Q15), *STATE_LIMITS)
        small = _multiplied_state(step, state)
        yield small, state


def _multiplied_state(step: QuantizedNode, state: Array) -> Array:
    """Return the GRU's h as it is multiplied by the weights: the state, or its upper 8 bits."""
    if step.weight_type == INT16:
        return state
    return np.asarray(np.clip(rounded_shift(state, STATE_BITS - 7), INT8.low, INT8.high))


def _elman_steps(
    function: Callable[[QuantizedNode, Array], Array], step: QuantizedNode, sums: Array, h: Array
) -> Iterator[tuple[Array, Array]]:
    h = first_hidden(step, h)
    for now in time_order(step.attrs, sums):
        (added,) = _recurrent_sums(step, h)
        total = np.clip(_convert_state(step, "x", now) + added, *INT16_LIMITS)
        h = np.clip(_convert_state(step, "y", function(step, total)), *hidden_limits(step))
        yield h, h


# ---- the record


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of which operators, kernels, import and export are made.

    onnx         ONNX's operator
    activations  of it
    order        for each of its gates, the index of ours
    floats, integers   time steps
    states       initial letters of the states
    sums         operator of the gate sums of inputs
    """

    onnx: str
    activations: tuple[str, ...]
    order: tuple[int, ...]
    floats: Steps
    integers: Steps
    states: str = "h"
    sums: str = "gates"

    def largest(self, step: QuantizedNode) -> int:
        """Return the largest |sum of products with h|, or |f c + i g| or a GRU's |z (h - n)| before
        its shift if that is larger."""
        own = (2**15 - 1) * (2**15 + (1 << cell_bits(step)))
        if self.onnx == "GRU":  # |h| <= 2**14, n is int16
            own = 2**15 * (3 * 2**14 if step.weight_type == INT16 else 2**15 - 1)
        return max(bound_of(step, step.weight_type), own + 2**14)


def _elman_cell(name: str, real: Any, integer: Any) -> Cell:
    steps = partial(_elman_float_step, real), partial(_elman_steps, integer)
    return Cell("RNN", (name,), (0,), *steps, sums="sums")


CELLS = {
    "lstm": Cell(
        "LSTM", ("sigmoid", "tanh", "tanh"), (0, 3, 1, 2), lstm_floats, _lstm_steps, states="hc"
    ),
    "gru": Cell("GRU", ("sigmoid", "tanh"), (1, 0, 2), gru_floats, _gru_steps),
    "rnn_tanh": _elman_cell("tanh", np.tanh, lambda step, x: _look_up(step, "tanh", x, TANH_STEP)),
    "rnn_relu": _elman_cell("relu", lambda x: np.maximum(x, 0.0), lambda step, x: np.maximum(x, 0)),
}
LAST_STATES = {"lstm_cell": "lstm", "gru_state": "gru"}  # operator -> the cell whose state it gives


def cell_of(op: str) -> Cell:
    return CELLS[LAST_STATES.get(op, op)]
