# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers in integers, step by step: h in 8 bits, what is kept of it and c in 16."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.element_type import INT16
from myoedge.numerics.fixed_point import INT32_MAX, exact_matmul
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import SumRequant, choose_sum_requant
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs
from myoedge.operators.products.packing import acc_bound, quantize

LSTM_GATES, GRU_GATES = 4, 3
# What a gate's function is taken of: +-32 in steps of 1/1024, beyond which it does not change.
GATE_PARAMS = QuantParams(2.0**-10, 0, INT16)
HIDDEN_PARAMS = QuantParams(2.0**-7, 0)  # h, as it is multiplied and put out
CELL_BITS = 11  # fraction of an LSTM's c: int16, +-16
STATE_BITS = 14  # fraction of a GRU's h between steps: 15 bits, +-1
CELL_REACH, STATE_REACH = 16.0, 1.0
SUMS_REACH = 16.0  # of a plain layer's sums: parts may cancel
TABLE_INTERVALS = 512  # between entries; values between are interpolated
SIGMOID_REACH, TANH_REACH = 16.0, 8.0  # beyond them the functions do not change
INT16_LIMITS = (-(1 << 15), (1 << 15) - 1)
STATE_LIMITS = (-(1 << STATE_BITS), (1 << STATE_BITS) - 1)
IntegerSteps = Callable[..., Iterator[tuple[Array, Array]]]  # h and the state kept, step by step


def sigmoid(x: Array) -> Array:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))


def time_order(attrs: Attrs, gates: Array) -> Array:
    return gates[::-1] if attrs["reverse"] else gates


def states_before(steps: Callable[..., Iterator[tuple[Array, Array]]]) -> Callable[..., Array]:
    """`multiplicands` of operators with these steps in floats: h before each."""

    def vectors(attrs: Attrs, gates: Array, h: Array, *others: Array) -> Array:
        states = [h, *(state for state, _ in steps(attrs, gates, h, *others))]
        return np.concatenate(states[:-1])[None]

    return vectors


def in_order(attrs: Attrs, states: Sequence[Array]) -> Array:
    return np.stack(states[::-1] if attrs["reverse"] else states)


def table(function: str) -> Array:
    """int16 [513]: the function in Q15 at equal distances over its reach."""
    reach = SIGMOID_REACH if function == "sigmoid" else TANH_REACH
    x = np.linspace(-reach, reach, TABLE_INTERVALS + 1)
    y = sigmoid(x) if function == "sigmoid" else np.tanh(x)
    return np.asarray(np.minimum(np.rint(2.0**15 * y), INT16_LIMITS[1]), np.int16)


def interpolated(values: Array, x: Array, bits: int) -> Array:
    """Q15 of the function: a step of the table is 2**bits of x."""
    limit = TABLE_INTERVALS // 2 << bits
    at = np.clip(x, -limit, limit - 1) + limit
    low, points = at >> bits, values.astype(np.int64)
    part = (points[low + 1] - points[low]) * (at & ((1 << bits) - 1))
    return np.asarray(points[low] + ((part + (1 << bits >> 1)) >> bits))


SIGMOID_STEP, TANH_STEP, CELL_STEP = 6, 5, 6  # bits between entries: of Q10, Q10 and Q11


def recurrent_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    """Weights per row, from int8 h to the gates' steps; the two tables; factors of the states.

    h_*, c_*   from a first state to the bits that steps keep of it
    y_*        from a last state to the output, of operators that give it
    """
    lstm = inputs.shapes[0][-1] == LSTM_GATES * inputs.out[-1]
    bits = {"h": 7, "c": CELL_BITS} if lstm else {"h": STATE_BITS}
    constants = (inputs.constant(i) for i in range(1 + len(bits), len(inputs.constants)))
    inner = replace(
        inputs,
        input_params=(HIDDEN_PARAMS,),
        constants=(None, *constants),
        target=GATE_PARAMS,
        formats=_second(inputs, 1 + len(bits)),
    )
    weights = quantize(inner)
    scalars = dict(weights.scalars)
    for index, name in enumerate(bits, start=1):
        scalars |= from_params(inputs.params(index), name, bits[name])
    if len(inputs.out) == 2:
        y, unit = inputs.target, 2.0 ** -(CELL_BITS if lstm else STATE_BITS)
        scalars |= _factor(
            "y", choose_sum_requant([unit / y.scale], [-INT16_LIMITS[0]], [0], y.zero_point)
        )
    tables = {name: table(name) for name in ("sigmoid", "tanh")}
    return QuantizedParams(scalars, {**weights.arrays, **tables})


def _second(inputs: QuantizeInputs, index: int) -> dict[int, ConstantFormat]:
    """The format of weights at a place among the inputs, for the second place."""
    return {1: inputs.formats[index]} if index in inputs.formats else {}


def relu_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    """Sums reach as far as SUMS_REACH times the results."""
    y = inputs.target
    unit = SUMS_REACH * y.scale * max(y.high - y.zero_point, 1) / -INT16_LIMITS[0]
    return _plain_quantize(inputs, unit, unit, {"relu": 1}, {})


def tanh_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    """Sums are in steps of 1/1024."""
    return _plain_quantize(inputs, GATE_PARAMS.scale, 2.0**-15, {}, {"tanh": table("tanh")})


def _plain_quantize(
    inputs: QuantizeInputs,
    unit: float,
    result: float,
    scalars: dict[str, int],
    tables: dict[str, Array],
) -> QuantizedParams:
    """Weights per row, from h to sums; factors of a first h, of what inputs add, and of results.

    unit, result   step of the sums, and of their function
    """
    x, h, y = inputs.params(0), inputs.params(1), inputs.target
    inner = replace(
        inputs,
        input_params=(y,),
        constants=(None, inputs.constant(2)),
        target=QuantParams(unit, 0, INT16),
        formats=_second(inputs, 2),
    )
    weights, most = quantize(inner), -INT16_LIMITS[0]
    factors = {
        "h": choose_sum_requant([h.scale / y.scale], [most], [h.zero_point], y.zero_point),
        "x": choose_sum_requant([x.scale / unit], [most], [x.zero_point], 0.0),
        "y": choose_sum_requant([result / y.scale], [most], [0], y.zero_point),
    }
    for name, to in factors.items():
        scalars |= _factor(name, to)
    return QuantizedParams({**weights.scalars, **scalars}, {**weights.arrays, **tables})


def from_params(q: QuantParams, name: str, bits: int) -> dict[str, int]:
    """Factor and offset from a state with these parameters to so many fraction bits."""
    return _factor(name, choose_sum_requant([q.scale * 2.0**bits], [-q.low], [q.zero_point], 0.0))


def _factor(name: str, to: SumRequant) -> dict[str, int]:
    return {f"{name}_mult": to.mult[0], f"{name}_offset": to.offset, f"{name}_shift": to.shift}


def first_state(step: QuantizedNode, name: str, x: Array, limits: tuple[int, int]) -> Array:
    """A first state in the bits that the steps keep of it."""
    return np.asarray(np.clip(_scaled(step, name, x.astype(np.int64)), *limits))


def _by_gate(sums: Array, h: Array) -> Array:
    """[N, gates of all units] -> [gates, N, H]."""
    return np.moveaxis(sums.astype(np.int64).reshape(*h.shape, -1), -1, 0)


def _recurrent(step: QuantizedNode, h: Array) -> Array:
    """Contribution of h to every gate [gates, N, H]."""
    acc = exact_matmul(h, step["weight"].T) + step["bias"]
    assert np.abs(acc).max(initial=0) <= INT32_MAX
    return _by_gate(np.clip(step.integers.requant.rescale(acc), *INT16_LIMITS), h)


def lstm_steps(
    step: QuantizedNode, gates: Array, h: Array, c: Array
) -> Iterator[tuple[Array, Array]]:
    """gates int16 [T, N, 4H], h int8 and c int8 or int16 [N, H] -> (h, c) of every step."""
    h = first_state(step, "h", h, (-128, 127))
    c = first_state(step, "c", c, INT16_LIMITS)
    sigmoid, tanh = step["sigmoid"], step["tanh"]
    for now in time_order(step.attrs, gates):
        i, f, g, o = _by_gate(now, h) + _recurrent(step, h)
        i, f, o = (interpolated(sigmoid, v, SIGMOID_STEP) for v in (i, f, o))
        added = i * interpolated(tanh, g, TANH_STEP) >> (15 - CELL_BITS)
        c = np.clip((f * c + added + (1 << 14)) >> 15, *INT16_LIMITS)
        out = o * interpolated(tanh, c, CELL_STEP)
        h = np.clip((out + (1 << 22)) >> 23, -128, 127)
        yield h, c


def gru_steps(step: QuantizedNode, gates: Array, h: Array) -> Iterator[tuple[Array, Array]]:
    """gates int16 [T, N, 3H], h int8 or int16 [N, H] -> (h, h in 16 bits) of every step."""
    state = first_state(step, "h", h, STATE_LIMITS)
    sigmoid, tanh = step["sigmoid"], step["tanh"]
    small = _rounded(state)
    for now in time_order(step.attrs, gates):
        x_r, x_z, x_n = _by_gate(now, state)
        h_r, h_z, h_n = _recurrent(step, small)
        r, z = (interpolated(sigmoid, v, SIGMOID_STEP) for v in (x_r + h_r, x_z + h_z))
        if step.attrs["reset_first"]:
            (_, _, h_n) = _recurrent(step, _rounded((r * state + (1 << 14)) >> 15))
        else:
            h_n = (r * h_n + (1 << 14)) >> 15
        n = (interpolated(tanh, x_n + h_n, TANH_STEP) + 1) >> 1
        state = np.clip(n + ((z * (state - n) + (1 << 14)) >> 15), *STATE_LIMITS)
        small = _rounded(state)
        yield small, state


def _plain_steps(
    function: Callable[[QuantizedNode, Array], Array], step: QuantizedNode, sums: Array, h: Array
) -> Iterator[tuple[Array, Array]]:
    """sums int16 [T, N, H], h int8 [N, H] -> h of every step, twice."""
    h = first_state(step, "h", h, (-128, 127))
    for now in time_order(step.attrs, sums):
        (added,) = _recurrent(step, h)
        total = np.clip(_scaled(step, "x", now.astype(np.int64)) + added, *INT16_LIMITS)
        h = np.clip(_scaled(step, "y", function(step, total)), -128, 127)
        yield h, h


relu_steps = partial(_plain_steps, lambda step, x: np.maximum(x, 0))
tanh_steps = partial(_plain_steps, lambda step, x: interpolated(step["tanh"], x, TANH_STEP))


def _scaled(step: QuantizedNode, name: str, x: Array) -> Array:
    return np.asarray((x * step[f"{name}_mult"] + step[f"{name}_offset"]) >> step[f"{name}_shift"])


def _rounded(state: Array) -> Array:
    return np.asarray(np.clip((state + (1 << (STATE_BITS - 8))) >> (STATE_BITS - 7), -128, 127))


def all_steps(steps: IntegerSteps) -> Callable[..., Array]:
    """`integer` of operators that give h of every step."""

    def integer(step: QuantizedNode, *xs: Array) -> Array:
        """Arguments of `steps` -> h int8 [T, N, H]."""
        return in_order(step.attrs, [h for h, _ in steps(step, *xs)]).astype(np.int8)

    return integer


def last_state(steps: IntegerSteps) -> Callable[..., Array]:
    """`integer` of operators that give the state behind the last step."""

    def integer(step: QuantizedNode, *xs: Array) -> Array:
        """Arguments of `steps` -> the last state [N, H], requantised to the output."""
        (*_, (_, last)) = steps(step, *xs)
        to = SumRequant((step["y_mult"],), step["y_offset"], step["y_shift"])
        return to.apply((last,), step.low, step.high, step.element_type)

    return integer


def recurrent_bound(step: QuantizedNode) -> int:
    """Largest of the sums over h, and of c' before its last shift."""
    return max(acc_bound(step), 2**30 + 2**26 + 2**14)


def gru_bound(step: QuantizedNode) -> int:
    """Largest of the sums over h, and of z (h - n) with both within +-1."""
    return max(acc_bound(step), 2**15 * (2**15 - 1) + 2**14)
