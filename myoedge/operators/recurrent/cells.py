# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers in integers, time step by time step: h is int8 or int16, the stored state and c
are int16."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.fixed_point import exact_sums
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import SumRequant
from myoedge.operators.base import QuantizedNode
from myoedge.operators.products.packing import bound_of
from myoedge.operators.recurrent.params import ScaledParams, ShiftedParams

LSTM_GATES, GRU_GATES = 4, 3
# Arguments of the gate functions: +-32 in steps of 1/1024; the functions are constant beyond.
GATE_PARAMS = QuantParams(2.0**-10, 0, INT16)
HIDDEN_PARAMS = QuantParams(2.0**-7, 0)  # h as it is multiplied and returned
GATE_BITS = 10  # fraction bits of the gate sums, unless an LSTM's attributes set others
CELL_BITS = 11  # fraction bits of an LSTM's c, an int16 within +-16, likewise
STATE_BITS = 14  # fraction bits of a GRU's stored h: 15 bits, +-1
STATE_REACH = 1.0
SUMS_REACH = 16.0  # range of a plain RNN's sums, relative to the results': terms may cancel
TABLE_INTERVALS = 512  # intervals between table entries, interpolated
SIGMOID_REACH, TANH_REACH = 16.0, 8.0  # the functions are constant beyond
INT16_LIMITS = (-(1 << 15), (1 << 15) - 1)
INT8_LIMITS = (-128, 127)
STATE_LIMITS = (-(1 << STATE_BITS), (1 << STATE_BITS) - 1)
IntegerSteps = Callable[..., Iterator[tuple[Array, Array]]]  # h and the stored state, per time step


def sigmoid(x: Array) -> Array:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))


def time_order(attrs: Attrs, gates: Array) -> Array:
    return gates[::-1] if attrs["reverse"] else gates


def states_before(steps: Callable[..., Iterator[tuple[Array, Array]]]) -> Callable[..., Array]:
    """Return a `multiplicands` function (OpDef) that runs a recurrence in floats and returns h
    before each time step.

    steps   function that runs the recurrence and yields (h, c)
    """

    def vectors(attrs: Attrs, gates: Array, h: Array, *others: Array) -> Array:
        states = [h, *(state for state, _ in steps(attrs, gates, h, *others))]
        return np.concatenate(states[:-1])[None]

    return vectors


def in_order(attrs: Attrs, states: Sequence[Array]) -> Array:
    return np.stack(states[::-1] if attrs["reverse"] else states)


def table(function: str) -> Array:
    """Return a Q15 table of "sigmoid" or "tanh" at equally spaced arguments, int16 [513]."""
    reach = SIGMOID_REACH if function == "sigmoid" else TANH_REACH
    x = np.linspace(-reach, reach, TABLE_INTERVALS + 1)
    y = sigmoid(x) if function == "sigmoid" else np.tanh(x)
    return np.asarray(np.minimum(np.rint(2.0**15 * y), INT16_LIMITS[1]), np.int16)


def interpolated(values: Array, x: Array, bits: int) -> Array:
    """Interpolate a Q15 table linearly at x.

    values   table as returned by `table`
    x        integers; the table's entries are 2**bits apart
    """
    limit = TABLE_INTERVALS // 2 << bits
    at = np.clip(x, -limit, limit - 1) + limit
    low, points = at >> bits, values.astype(np.int64)
    part = (points[low + 1] - points[low]) * (at & ((1 << bits) - 1))
    return np.asarray(points[low] + ((part + (1 << bits >> 1)) >> bits))


SIGMOID_STEP, TANH_STEP = 6, 5  # log2 of the table step, in Q10
SIGMOID_ENTRIES, TANH_ENTRIES = 4, 5  # fraction bits of the table step
INT8_RESULT_SHIFT = 23  # of an LSTM's h, from Q30 to steps of 1/128


def cell_bits(step: QuantizedNode) -> int:
    """Return the number of fraction bits of an LSTM's cell state c."""
    scaled = isinstance(step.integers, ScaledParams)
    return step.integers.cell_bits if scaled else CELL_BITS


def gate_params(attrs: Attrs) -> QuantParams:
    """Return the quantisation parameters of the gate sums that a node's attributes select."""
    return QuantParams(2.0 ** -attrs.get("gate_bits", GATE_BITS), 0, INT16)


def is_wide(step: QuantizedNode) -> bool:
    """Return whether the layer multiplies int16 h by int16 weights."""
    return step.weight_type == INT16


def hidden_limits(step: QuantizedNode) -> tuple[int, int]:
    """Return the smallest and the largest integer of h as it is multiplied by the weights: int8 or
    int16."""
    return INT16_LIMITS if is_wide(step) else INT8_LIMITS


def hidden_params(step: QuantizedNode) -> QuantParams:
    """Return the quantisation parameters of an LSTM's or GRU's h as it is multiplied by the
    weights."""
    numbers = step.integers
    if isinstance(numbers, ShiftedParams):
        return QuantParams(2.0 ** (numbers.result_shift - 30), 0, step.weight_type)
    if not is_wide(step):
        return HIDDEN_PARAMS
    return QuantParams(2.0 ** (numbers.new_shift - 15) / numbers.new_mult, 0, INT16)


def first_state(step: QuantizedNode, name: str, x: Array, limits: tuple[int, int]) -> Array:
    """Convert an initial state to the integer format in which the state is stored, saturated at
    `limits`.

    name   prefix of the conversion's constants: "h" or "c"
    """
    return np.asarray(np.clip(_scaled(step, name, x.astype(np.int64)), *limits))


def first_hidden(step: QuantizedNode, x: Array) -> Array:
    """Convert an initial h to the integers that are multiplied by the weights."""
    return first_state(step, "h", x, hidden_limits(step))


def _by_gate(sums: Array, h: Array) -> Array:
    """Reorder gate sums [N, gates of all units] to [gates, N, H]."""
    return np.moveaxis(sums.astype(np.int64).reshape(*h.shape, -1), -1, 0)


def _recurrent(step: QuantizedNode, h: Array) -> Array:
    """Return the contribution of h to every gate, [gates, N, H]."""
    acc = exact_sums(h, step.integers.weight.T, step.integers.bias)
    return _by_gate(np.clip(step.integers.requant.rescale(acc), *INT16_LIMITS), h)


def lstm_steps(
    step: QuantizedNode, gates: Array, h: Array, c: Array
) -> Iterator[tuple[Array, Array]]:
    """Run an LSTM in integers; yield h and c after every time step.

    gates   int16 [T, N, 4H]
    h, c    initial states, int8 or int16 [N, H]
    """
    h, limits = first_hidden(step, h), hidden_limits(step)
    c = first_state(step, "c", c, INT16_LIMITS)
    numbers, kept = step.integers, cell_bits(step)
    shifted, scaled = (isinstance(numbers, kind) for kind in (ShiftedParams, ScaledParams))
    shift = numbers.result_shift if shifted else INT8_RESULT_SHIFT
    sums = numbers.gate_bits if scaled else GATE_BITS
    sigmoid, tanh = step.integers.sigmoid, step.integers.tanh
    for now in time_order(step.attrs, gates):
        i, f, g, o = _by_gate(now, h) + _recurrent(step, h)
        i, f, o = (interpolated(sigmoid, v, sums - SIGMOID_ENTRIES) for v in (i, f, o))
        added = i * interpolated(tanh, g, sums - TANH_ENTRIES) >> (15 - kept)
        c = np.clip((f * c + added + (1 << 14)) >> 15, *INT16_LIMITS)
        out = o * interpolated(tanh, c, kept - TANH_ENTRIES)
        h = np.clip((out + (1 << shift >> 1)) >> shift, *limits)
        yield h, c


def gru_steps(step: QuantizedNode, gates: Array, h: Array) -> Iterator[tuple[Array, Array]]:
    """Run a GRU in integers; yield h as it is multiplied and h as int16 after every time step.

    gates   int16 [T, N, 3H]
    h       initial state, int8 or int16 [N, H]
    """
    state = first_state(step, "h", h, STATE_LIMITS)
    sigmoid, tanh = step.integers.sigmoid, step.integers.tanh
    small = _multiplied(step, state)
    for now in time_order(step.attrs, gates):
        x_r, x_z, x_n = _by_gate(now, state)
        h_r, h_z, h_n = _recurrent(step, small)
        r, z = (interpolated(sigmoid, v, SIGMOID_STEP) for v in (x_r + h_r, x_z + h_z))
        if step.attrs["reset_first"]:
            (_, _, h_n) = _recurrent(step, _multiplied(step, (r * state + (1 << 14)) >> 15))
        else:
            h_n = (r * h_n + (1 << 14)) >> 15
        n = _new_state(step, interpolated(tanh, x_n + h_n, TANH_STEP))
        state = np.clip(n + ((z * (state - n) + (1 << 14)) >> 15), *STATE_LIMITS)
        small = _multiplied(step, state)
        yield small, state


def _new_state(step: QuantizedNode, n: Array) -> Array:
    """Convert a GRU's new gate from Q15 to the steps of its state, saturated at twice the state's
    range."""
    if not is_wide(step):
        return np.asarray((n + 1) >> 1)
    return np.asarray(np.clip(_scaled(step, "new", n), *INT16_LIMITS))


def _multiplied(step: QuantizedNode, state: Array) -> Array:
    """Return the GRU's h as it is multiplied by the weights: the state, or its upper 8 bits."""
    if is_wide(step):
        return state
    return np.asarray(np.clip((state + (1 << (STATE_BITS - 8))) >> (STATE_BITS - 7), *INT8_LIMITS))


def _plain_steps(
    function: Callable[[QuantizedNode, Array], Array], step: QuantizedNode, sums: Array, h: Array
) -> Iterator[tuple[Array, Array]]:
    """Run a plain RNN in integers; yield (h, h) after every time step.

    sums   int16 [T, N, H]
    h      initial state, int8 or int16 [N, H]
    """
    h, limits = first_hidden(step, h), hidden_limits(step)
    for now in time_order(step.attrs, sums):
        (added,) = _recurrent(step, h)
        total = np.clip(_scaled(step, "x", now.astype(np.int64)) + added, *INT16_LIMITS)
        h = np.clip(_scaled(step, "y", function(step, total)), *limits)
        yield h, h


relu_steps = partial(_plain_steps, lambda step, x: np.maximum(x, 0))
tanh_steps = partial(_plain_steps, lambda step, x: interpolated(step.integers.tanh, x, TANH_STEP))


def _scaled(step: QuantizedNode, name: str, x: Array) -> Array:
    return np.asarray(
        (x * getattr(step.integers, f"{name}_mult") + getattr(step.integers, f"{name}_offset"))
        >> getattr(step.integers, f"{name}_shift")
    )


def all_steps(steps: IntegerSteps) -> Callable[..., Array]:
    """Return an `integer` function (OpDef) that runs a recurrence and returns h of all time
    steps."""

    def integer(step: QuantizedNode, *xs: Array) -> Array:
        """Return h int8 or int16 [T, N, H]; arguments as `steps`."""
        states = in_order(step.attrs, [h for h, _ in steps(step, *xs)])
        return states.astype(step.element_type.dtype)

    return integer


def last_state(steps: IntegerSteps) -> Callable[..., Array]:
    """Return an `integer` function (OpDef) that runs a recurrence and returns the state after the
    last time step."""

    def integer(step: QuantizedNode, *xs: Array) -> Array:
        """Return the last state [N, H], requantised to the output; arguments as `steps`."""
        (*_, (_, last)) = steps(step, *xs)
        to = SumRequant((step.integers.y_mult,), step.integers.y_offset, step.integers.y_shift)
        return to.apply((last,), step.low, step.high, step.element_type)

    return integer


def recurrent_bound(step: QuantizedNode) -> int:
    """Return the largest |sum of products with h|, or the largest |f c + i g| before its shift if
    that is larger."""
    return max(
        bound_of(step, step.weight_type), (2**15 - 1) * (2**15 + (1 << cell_bits(step))) + 2**14
    )


def gru_bound(step: QuantizedNode) -> int:
    """Return the largest intermediate of a GRU: |sum of products with h|, or |z (h - n)| with |h|
    <= 2**14 and int16 n."""
    return max(
        bound_of(step, step.weight_type),
        2**15 * (3 * 2**14 if is_wide(step) else 2**15 - 1) + 2**14,
    )
