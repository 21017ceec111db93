# SPDX-License-Identifier: Apache-2.0
"""Random test cases for recurrent layers, and for the linear layers before their gates."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.cases import Draw, DrawnUse, weight_slack

# torch's cells; identity input weights, so that they get the gate sums themselves.
CELLS = """\
order = torch.arange(len(w0)).reshape(w0.shape[1], -1).T.reshape(-1)
eye, none = torch.eye(len(w0), dtype=x0.dtype), torch.zeros(len(w0), dtype=x0.dtype)
weights = (eye, w0[order], none, ws[1][order] if ws[1:] else none)
found = []
for x in x0.flip(0) if reverse else x0:
    state = torch.{cell}(x[:, order], state, *weights)
    found.append({h})
"""
# The formulas of ONNX's GRU with linear_before_reset = 0, which torch does not have.
RESET_FIRST = """\
(r_r, r_z, r_n), (b_r, b_z, b_n) = w0.reshape(-1, 3, w0.shape[1]).unbind(1), w1.reshape(-1, 3).T
found = []
for x in x0.flip(0) if reverse else x0:
    x_r, x_z, x_n = x.reshape(*state.shape, 3).unbind(-1)
    reset = torch.sigmoid(x_r + state @ r_r.T + b_r)
    update = torch.sigmoid(x_z + state @ r_z.T + b_z)
    new = torch.tanh(x_n + (reset * state) @ r_n.T + b_n)
    state = (1 - update) * new + update * state
    found.append(state)
"""
PLAIN = """\
state, found = x1, []
for x in x0.flip(0) if reverse else x0:
    state = torch.{function}(x + state @ w0.T)
    found.append(state)
"""
LSTM = "state = (x1, x2)\n" + CELLS.format(cell="lstm_cell", h="state[0]")
GRU = "state = x1\n" + CELLS.format(cell="gru_cell", h="state")
GRU_RESET_FIRST = "state = x1\n" + RESET_FIRST
LSTM_START = """\
i, g, o = x0.unflatten(-1, (-1, 3)).unbind(-1)
torch.sigmoid(o) * torch.tanh(torch.sigmoid(i) * torch.tanh(g))
"""
LSTM_NEXT = """\
i, f, g, o = (x0[0] + x1).unflatten(-1, (-1, 4)).unbind(-1)
c = torch.sigmoid(f) * x2 + torch.sigmoid(i) * torch.tanh(g)
"""
GRU_START = """\
r, z, n = x0.unflatten(-1, (-1, 3)).unbind(-1)
(1 - torch.sigmoid(z)) * torch.tanh(n + torch.sigmoid(r) * w0)
"""
ROOMY = ((1.0, 0.0), (1.0, 0.0), (1.3, 0.0), (300.0, 0.0))
# Quantisation steps of an LSTM's gates and c other than the default.
SCALED = (
    {"cell_bits": 8}, {"cell_bits": 5}, {"gate_bits": 14}, {"cell_bits": 13},
    {"gate_bits": 14, "cell_bits": 15},
)  # fmt: skip
RESULTS = "torch.stack(found[::-1] if reverse else found)"


def sums(op: str, d: Draw) -> DrawnUse:
    shape = (*d.shape(1, 3, 4), d.pick([1, 2, 3, 4, 5, 8, 17, 150]))
    weights = d.weights((d.integer(1, 9), shape[-1]))
    common = d.common(1, act=False) | {"slack": gates_slack, "per_tensor": d.flag()}
    return DrawnUse(op, {}, (shape,), "F.linear(x0, *ws)", weights=weights, **common)


def gates_slack(case: Any) -> Array:
    """Return the largest permitted deviation of gate sums in output steps: rounded weights, a
    15-bit factor, and the low bits that a pre-shift drops."""
    bits = 2.0 ** -np.floor(np.log2(np.maximum(case.step.integers.mult, 1)))
    dropped = np.ldexp(case.step.integers.mult.astype(np.float64), -case.step.integers.shift)
    return np.asarray(
        weight_slack(case) + 2**14 * bits * 2 + dropped * (case.step.integers.pre > 0) + 1
    )


def recurrent(op: str, d: Draw) -> DrawnUse:
    """Return a random test case of an LSTM or GRU operator (`op`) with 1 to 17 units and 1 to 6
    time steps; with most weights the influence of old states decays."""
    lstm = op.startswith("lstm")
    per_unit, states = (4, 2) if lstm else (3, 1)
    steps, batch, units = (
        d.integer(1, 6),
        d.pick([1, 1, 1, 2, 3]),
        d.pick([1, 2, 3, 4, 5, 8, 9, 17]),
    )
    size, attrs = d.pick([0.1, 0.1, 1.0, 8.0]), dict[str, Any](reverse=d.flag())
    if lstm and (steps_of := d.pick([*({},) * 5, *SCALED])):
        attrs |= steps_of
        size = 0.1 if "gate_bits" in steps_of else size  # h adds less than the gates' range
    r = d.rng.normal(size=(per_unit * units, units)) * size / units
    bias = () if lstm else (d.rng.normal(size=per_unit * units) * size,)
    attrs |= {} if lstm else {"reset_first": d.flag()}
    text = LSTM if lstm else GRU_RESET_FIRST if attrs["reset_first"] else GRU
    text += {"lstm_cell": "state[1]", "gru_state": "state"}.get(op, RESULTS)
    shapes = ((steps, batch, per_unit * units), *((batch, units),) * states)
    common = d.common(states + 1, act=False) | {"kinds": ("int16", *("float32",) * states)}
    if text.endswith(RESULTS):  # int16 results saturate at their range
        common["factors"] = d.pick(ROOMY)
    gates, h, *cells = common["spans"]  # contributions of h within +-32, the range of the sums
    common["spans"] = (gates, (max(h[0], -2.0), min(h[1], 2.0)), *cells)
    common["int16"] = tuple(i for i in range(1, 1 + states) if d.pick([True, False, False]))
    return DrawnUse(op, attrs, shapes, text, weights=(r, *bias), slack=recurrent_slack, **common)


def recurrent_slack(case: Any) -> Array:
    """Return the largest permitted deviation in output steps: rounding errors of states and gates,
    accumulated over the time steps (`_error_bounds`)."""
    errors = _error_bounds(case, case.shapes[0][0])
    if case.op in ("lstm_cell", "gru_state"):
        return np.asarray(errors[-1][1] / case.target.scale)
    steps = np.array([h for h, _ in errors])
    ordered = steps[::-1] if case.attrs["reverse"] else steps
    return np.asarray(ordered[:, None, None] / case.target.scale)


def _largest_h(case: Any, *, wide: bool) -> float:
    """Return the largest |h|: 1 for int8 states; for a GRU's int16 states the results' range."""
    if not wide or case.op in ("lstm_cell", "gru_state"):
        return 1.0 if not wide else math.inf
    return float(case.target.scale * 2.0 ** (14 if case.op == "gru" else 15))


def _gate_weight_error(case: Any, r: Array, *, gru: bool, wide: bool) -> float:
    """Return a bound on the error of a gate's sum from weight rounding: half a step per weight."""
    levels = 2**13 if wide else 127  # at least
    error = float(float(r.max()) / (2 * levels) * r.shape[1])
    more = float(np.abs(case.weights[1]).max()) / (2 * levels) if gru else 0.0
    return error + more


def _int16_h_step(case: Any, reach: float) -> float:
    """Return the quantisation step of an int16 h."""
    unit = 2.0**-13 * max(reach, 1.0)
    return unit if case.op in ("lstm_cell", "gru_state") else max(unit, float(case.target.scale))


def _error_bounds(case: Any, steps: int) -> list[tuple[float, float]]:
    """Return bounds on the errors of h and c (for a GRU, of h as multiplied and as stored) after
    every time step.

    The error of a gate's sum comes from its factor, its weights (half a step each) and h. A sigmoid
    passes on at most a quarter of it, a tanh all of it; each adds 2**-11.
    """
    r, gru = np.abs(case.weights[0]), case.op.startswith("gru")
    wide = case.step.weight_type.bits == 16
    total = float(r.sum(axis=1).max())
    weights = _gate_weight_error(case, r, gru=gru, wide=wide)
    first = [case.params(name) for name in case.names[1:]]
    reach = [q.reach * q.scale for q in first]
    unit = _int16_h_step(case, reach[0]) if wide else 2.0**-7
    outside = max(reach[0] - _largest_h(case, wide=wide), 0.0)  # an initial h saturates
    bits = case.attrs.get("cell_bits", 11)
    limit, cell_unit = 2.0 ** (15 - bits), 2.0**-bits
    beyond = outside if gru else max(reach[-1] - 0.99 * limit, 0.0)
    h, c = unit + outside, cell_unit + (unit if wide and gru else 0.0) + beyond
    largest, found = min(reach[-1], limit), []
    beside = max(reach[0], 1.0) if wide else 1.0  # factor of a weight's error
    own = (2.0**-9 + unit * total if wide else 2.0**-8 * (1 + total)) + weights * beside
    for _ in range(steps):
        gate = own + total * h
        if gru:
            new = gate * (1 + max(total, 1.0) * beside / 4) + 2.0**-10
            c = c + new + (2 + max(reach[0] - 1.0, 0.0)) * (gate / 4 + 2.0**-10) + 2.0**-13
            c, h = (c + unit, c + unit) if wide else (c, c + 2.0**-8)
        else:
            c = c + largest * (gate / 4 + 2.0**-10) + gate * 1.25 + max(2.0**-9, 2 * cell_unit)
            c += max(largest + 1.0 - limit, 0.0)  # c saturates
            largest = min(largest + 1.0, limit)
            h = c + gate / 4 + 2.0**-9 + (unit if wide else 2.0**-8)
        found.append((h, c))
    return found


def start(op: str, d: Draw) -> DrawnUse:
    """Return a random test case of one LSTM or GRU time step from zero states (`op`), for a random
    batch of sequences."""
    units = d.pick([1, 2, 3, 8, 17])
    bias = (d.rng.normal(size=units),) if op == "gru_start" else ()
    common = d.common(1, act=False) | {"kinds": ("int16",), "factors": d.pick(ROOMY)}
    text = GRU_START if bias else LSTM_START
    shape = (d.integer(1, 3), d.integer(1, 20), 3 * units)
    return DrawnUse(op, {}, (shape,), text, weights=bias, slack=start_slack, **common)


def one_step(op: str, d: Draw) -> DrawnUse:
    """Return a random test case of one LSTM time step that returns h or c (`op`), with a random
    batch size."""
    rows, units = d.integer(1, 20), d.pick([1, 2, 3, 8, 17])
    gates = (rows, 4 * units)
    shapes = ((1, *gates), gates, (rows, units))
    common = d.common(3, act=False) | {"kinds": ("int16", "int16", "float32")}
    common |= {"factors": d.pick(ROOMY), "int16": d.pick([(), (2,)])}
    text = LSTM_NEXT + (
        "c" if op == "lstm_next_cell" else "(torch.sigmoid(o) * torch.tanh(c))[None]"
    )
    return DrawnUse(op, {}, shapes, text, slack=next_slack, **common)


def next_slack(case: Any) -> Array:
    """Return the largest permitted deviation in output steps: four gate functions with an error of
    2**-13 each, and c, rounded twice and saturated at 2**10."""
    c = case.params("x2")
    reach = c.reach * c.scale
    rounded = 2.0 ** -(case.step.integers.cell_bits + 0.0)
    beyond = max(reach + 1.0 - 2.0**10, 0.0)
    return np.asarray((2.0**-10 + 2.0**-12 * reach + rounded + beyond) / case.target.scale)


def start_slack(case: Any) -> Array:
    """Return the largest permitted deviation in output steps: functions of three gates and of c
    with an error of 2**-13 each, and half a bias step of 1/1024."""
    return np.asarray(2.0**-10 / case.target.scale)


def plain(op: str, d: Draw) -> DrawnUse:
    """Return a random test case of a plain RNN with tanh or relu (`op`), with 1 to 17 units;
    typical weights of a unit sum to about 1."""
    steps, batch, units = d.integer(1, 6), d.pick([1, 1, 2]), d.pick([1, 3, 4, 5, 8, 9, 17])
    attrs = {"reverse": d.flag()}
    r = d.rng.normal(size=(units, units)) * d.pick([0.1, 1.0, 2.0]) / units
    shapes, text = ((steps, batch, units), (batch, units)), PLAIN.format(function=op[4:]) + RESULTS
    common = d.common(2, act=False) | {"factors": d.pick([(1.0, 0.0), (1.0, 0.0), (1.3, 0.0)])}
    common |= {"int16": d.pick([(0,), (0,), (0, 1)])}
    return DrawnUse(op, attrs, shapes, text, weights=(r,), slack=plain_slack, **common)


def plain_slack(case: Any) -> Array:
    """Return the largest permitted deviation in output steps: rounding of x, h, weights, sums and
    results, accumulated over the time steps; an initial h saturates at the results' range."""
    r, y = np.abs(case.weights[0]), case.target.scale
    total, weights = float(r.sum(axis=1).max()), float(r.max()) / 254 * r.shape[1]
    x, first, widest = case.params("x0").scale, case.params("x1"), case.target.reach * y
    reach = max(widest, first.reach * first.scale)
    (first_low, first_high), (low, high) = map(_value_range, (first, case.target))
    error, found = y + first.scale + max(first_high - high, low - first_low, 0.0), []
    for _ in range(case.shapes[0][0]):
        sums = 2 * x + 2 * max(widest * 16 / 2**15, 2.0**-10) + weights * reach
        error = sums + total * error + y + 2.0**-12
        found.append(error)
    steps = np.array(found[::-1] if case.attrs["reverse"] else found)
    return np.asarray(steps[:, None, None] / y)


def _value_range(q: QuantParams) -> tuple[float, float]:
    return (q.low - q.zero_point) * q.scale, (q.high - q.zero_point) * q.scale


CASES = {
    **{op: partial(plain, op) for op in ("rnn_tanh", "rnn_relu")},
    **{op: partial(start, op) for op in ("lstm_start", "gru_start")},
    **{op: partial(one_step, op) for op in ("lstm_next", "lstm_next_cell")},
    **{op: partial(sums, op) for op in ("gates", "sums")},
    **{op: partial(recurrent, op) for op in ("lstm", "lstm_cell", "gru", "gru_state")},
}
