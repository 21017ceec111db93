# SPDX-License-Identifier: Apache-2.0
"""LSTM and GRU in integers, step by step: h in 8 bits, what is kept of it and c in 16."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.numerics.fixed_point import INT32_MAX, exact_matmul
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import SumRequant, choose_sum_requant
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs
from myoedge.operators.products.weighted import acc_bound, quantize
from myoedge.operators.recurrent.gates import GATE

LSTM_GATES, GRU_GATES = 4, 3
HIDDEN = QuantParams(2.0**-7, 0)  # h, as it is multiplied and put out
CELL_BITS = 11  # fraction of an LSTM's c: int16, +-16
STATE_BITS = 14  # fraction of a GRU's h between steps: 15 bits, +-1
CELL_REACH, STATE_REACH = 16.0, 1.0
TABLE = 512  # intervals of a table, between which values are interpolated
SIGMOID_REACH, TANH_REACH = 16.0, 8.0  # beyond them the functions do not change
HALF = np.iinfo(np.int16)
STATE = (-(1 << STATE_BITS), (1 << STATE_BITS) - 1)


def sigmoid(x: Array) -> Array:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))


def time_order(attrs: Attrs, gates: Array) -> Array:
    return gates[::-1] if attrs["reverse"] else gates


def in_order(attrs: Attrs, found: Sequence[Array]) -> Array:
    return np.stack(found[::-1] if attrs["reverse"] else found)


def table(function: str) -> Array:
    """int16 [513]: the function in Q15 at equal distances over its reach."""
    reach = SIGMOID_REACH if function == "sigmoid" else TANH_REACH
    x = np.linspace(-reach, reach, TABLE + 1)
    y = sigmoid(x) if function == "sigmoid" else np.tanh(x)
    return np.asarray(np.minimum(np.rint(2.0**15 * y), HALF.max), np.int16)


def interpolated(values: Array, x: Array, bits: int) -> Array:
    """Q15 of the function: a step of the table is 2**bits of x."""
    limit = TABLE // 2 << bits
    at = np.clip(x, -limit, limit - 1) + limit
    low, points = at >> bits, values.astype(np.int64)
    part = (points[low + 1] - points[low]) * (at & ((1 << bits) - 1))
    return np.asarray(points[low] + ((part + (1 << bits >> 1)) >> bits))


SIGMOID_STEP, TANH_STEP, CELL_STEP = 6, 5, 6  # bits between entries: of Q10, Q10 and Q11


def _recurrent_quantize(
    inputs: QuantizeInputs, weights: tuple[Array | None, ...]
) -> QuantizedParams:
    """Weights per row, from int8 h to the gates' steps; the two tables."""
    inner = replace(inputs, input_params=(HIDDEN,), constants=(None, *weights), target=GATE)
    found = quantize(inner)
    tables = {name: table(name) for name in ("sigmoid", "tanh")}
    return QuantizedParams(found.scalars, {**found.arrays, **tables})


def _start(inputs: QuantizeInputs, index: int, name: str, bits: int) -> dict[str, int]:
    """Factor and offset from a first state to so many fraction bits."""
    return from_params(inputs.params(index), name, bits)


def from_params(q: QuantParams, name: str, bits: int) -> dict[str, int]:
    c = choose_sum_requant([q.scale * 2.0**bits], [-q.low], [q.zero_point], 0.0)
    return {f"{name}_mult": c.mult[0], f"{name}_offset": c.offset, f"{name}_shift": c.shift}


def lstm_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    found = _recurrent_quantize(inputs, (inputs.constant(3),))
    starts = {**_start(inputs, 1, "h", 7), **_start(inputs, 2, "c", CELL_BITS)}
    return QuantizedParams({**found.scalars, **starts}, found.arrays)


def cell_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    """Parameters of lstm_quantize, and the factor from c to the output."""
    return _with_last(lstm_quantize(inputs), inputs.target, CELL_BITS)


def _with_last(found: QuantizedParams, y: QuantParams, bits: int) -> QuantizedParams:
    """Adds the factor from a last state with so many fraction bits to the output."""
    c = choose_sum_requant([2.0**-bits / y.scale], [-HALF.min], [0], y.zero_point)
    last = {"y_mult": c.mult[0], "y_offset": c.offset, "y_shift": c.shift}
    return QuantizedParams({**found.scalars, **last}, found.arrays)


def gru_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    found = _recurrent_quantize(inputs, (inputs.constant(2), inputs.constant(3)))
    return QuantizedParams({**found.scalars, **_start(inputs, 1, "h", STATE_BITS)}, found.arrays)


def state_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    """Parameters of gru_quantize, and the factor from h with all of its bits to the output."""
    return _with_last(gru_quantize(inputs), inputs.target, STATE_BITS)


def first_state(step: QuantizedNode, name: str, x: Array, limits: tuple[int, int]) -> Array:
    """A first state in the bits that the steps keep of it."""
    scaled = x.astype(np.int64) * step[f"{name}_mult"] + step[f"{name}_offset"]
    return np.asarray(np.clip(scaled >> step[f"{name}_shift"], *limits))


def _recurrent(step: QuantizedNode, h: Array, per_unit: int) -> tuple[Array, ...]:
    """Contribution of h to every gate, each [N, H]."""
    acc = exact_matmul(h, step["weight"].T) + step["bias"]
    assert np.abs(acc).max(initial=0) <= INT32_MAX
    sums = np.clip(step.integers.requant.rescale(acc), HALF.min, HALF.max)
    return tuple(np.moveaxis(sums.reshape(*h.shape, per_unit), -1, 0))


def _parts(now: Array, h: Array, per_unit: int) -> tuple[Array, ...]:
    return tuple(np.moveaxis(now.astype(np.int64).reshape(*h.shape, per_unit), -1, 0))


def _lstm_steps(
    step: QuantizedNode, gates: Array, h: Array, c: Array
) -> Iterator[tuple[Array, Array]]:
    h, c = first_state(step, "h", h, (-128, 127)), first_state(step, "c", c, (HALF.min, HALF.max))
    sigmoid, tanh = step["sigmoid"], step["tanh"]
    for now in time_order(step.attrs, gates):
        pairs = zip(_parts(now, h, LSTM_GATES), _recurrent(step, h, LSTM_GATES), strict=True)
        i, f, g, o = (x + r for x, r in pairs)
        i, f, o = (interpolated(sigmoid, v, SIGMOID_STEP) for v in (i, f, o))
        added = i * interpolated(tanh, g, TANH_STEP) >> (15 - CELL_BITS)
        c = np.clip((f * c + added + (1 << 14)) >> 15, HALF.min, HALF.max)
        out = o * interpolated(tanh, c, CELL_STEP)
        h = np.clip((out + (1 << 22)) >> 23, -128, 127)
        yield h, c


def lstm_integer(step: QuantizedNode, gates: Array, h: Array, c: Array) -> Array:
    """gates int16 [T, N, 4H], h int8 and c int8 or int16 [N, H] -> int8 [T, N, H]."""
    found = [h for h, _ in _lstm_steps(step, gates, h, c)]
    return in_order(step.attrs, found).astype(np.int8)


def cell_integer(step: QuantizedNode, gates: Array, h: Array, c: Array) -> Array:
    """Arguments of lstm_integer -> c of the last step, of the type of the first one [N, H]."""
    (*_, (_, last)) = _lstm_steps(step, gates, h, c)
    return _last(step, last)


def _last(step: QuantizedNode, state: Array) -> Array:
    """State behind the last step, requantised to the output."""
    to = SumRequant((step["y_mult"],), step["y_offset"], step["y_shift"])
    return to.apply((state,), step.low, step.high, step.element_type)


def gru_integer(step: QuantizedNode, gates: Array, h: Array) -> Array:
    """gates int16 [T, N, 3H], h int8 or int16 [N, H] -> int8 [T, N, H]; between steps 16 bits."""
    found = [_rounded(state) for state in _gru_steps(step, gates, h)]
    return in_order(step.attrs, found).astype(np.int8)


def state_integer(step: QuantizedNode, gates: Array, h: Array) -> Array:
    """Arguments of gru_integer -> h behind the last step, of the type of the first one [N, H]."""
    (*_, last) = _gru_steps(step, gates, h)
    return _last(step, last)


def _gru_steps(step: QuantizedNode, gates: Array, h: Array) -> Iterator[Array]:
    state = first_state(step, "h", h, STATE)
    sigmoid, tanh = step["sigmoid"], step["tanh"]
    small = _rounded(state)
    for now in time_order(step.attrs, gates):
        x_r, x_z, x_n = _parts(now, state, GRU_GATES)
        h_r, h_z, h_n = _recurrent(step, small, GRU_GATES)
        r, z = (interpolated(sigmoid, v, SIGMOID_STEP) for v in (x_r + h_r, x_z + h_z))
        if step.attrs["reset_first"]:
            (_, _, h_n) = _recurrent(step, _rounded((r * state + (1 << 14)) >> 15), GRU_GATES)
        else:
            h_n = (r * h_n + (1 << 14)) >> 15
        n = (interpolated(tanh, x_n + h_n, TANH_STEP) + 1) >> 1
        state = np.clip(n + ((z * (state - n) + (1 << 14)) >> 15), *STATE)
        small = _rounded(state)
        yield state


def _rounded(state: Array) -> Array:
    return np.asarray(np.clip((state + (1 << (STATE_BITS - 8))) >> (STATE_BITS - 7), -128, 127))


def recurrent_bound(step: QuantizedNode) -> int:
    """Largest of the sums over h, and of c' before its last shift."""
    return max(acc_bound(step), 2**30 + 2**26 + 2**14)


def gru_bound(step: QuantizedNode) -> int:
    """Largest of the sums over h, and of z (h - n) with both within +-1."""
    return max(acc_bound(step), 2**15 * (2**15 - 1) + 2**14)
