# SPDX-License-Identifier: Apache-2.0
"""Export of LSTM, GRU and RNN as ONNX nodes, whose input weights are the identity because other
nodes compute the gate sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import (
    Write,
    Writer,
    dequantized,
    number,
    reshaped,
    sliced,
    transposed,
    whole,
)
from myoedge.operators.recurrent.cells import (
    GATE_PARAMS,
    STATE_BITS,
    STATE_REACH,
    cell_bits,
    hidden_params,
    is_wide,
)
from myoedge.operators.recurrent.start import GATES

ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}  # index of our gate for each of ONNX's


def write(op: str, *, result: int) -> Write:
    """Return the function that exports a recurrent operator as ONNX's LSTM, GRU or RNN.

    result   index of the ONNX output: h of all time steps, or the last c
    """

    def node(w: Writer, step: QuantizedNode, gates: str, h: str, *c: str) -> str:
        order, (batch, units) = ORDER[op], step.shapes[1]
        size = len(order) * units
        by_unit = reshaped(w, gates, *step.shapes[0][:2], units, len(order))
        by_gate = w.node("Gather", transposed(w, by_unit, 0, 1, 3, 2), whole(w, *order), axis=2)
        x = reshaped(w, by_gate, *step.shapes[0][:2], size)
        eye = w.node("EyeLike", w.node("ConstantOfShape", whole(w, size, size)))
        rows, *own = _weights(w, step)
        r = reshaped(w, _by_gate(w, rows, order, units), 1, size, units)
        none = w.constant(np.zeros((1, size), np.float32))
        added = [reshaped(w, _by_gate(w, name, order), 1, size) for name in own] or [none]
        bias = w.node("Concat", none, *added, axis=1)
        if op == "LSTM":  # the initial h with its stored precision
            reach = 2.0 ** (15 - cell_bits(step))
            first = [
                w.rounded(f"{w.label}/first", h, hidden_params(step))[1],
                *(_clipped(w, x, reach) for x in c),
            ]
        else:
            first = [_clipped(w, h, _state_reach(step))]
        states = [reshaped(w, name, 1, batch, units) for name in first]
        more: dict[str, Any] = {}
        if op == "GRU":
            more = {"linear_before_reset": int(not step.attrs["reset_first"])}
        direction = "reverse" if step.attrs["reverse"] else "forward"
        inputs = (x, reshaped(w, eye, 1, size, size), r, bias, "", *states)
        y = w.node(op, *inputs, result=result, hidden_size=units, direction=direction, **more)
        return reshaped(w, y, *step.out)

    return node


def _plain(w: Writer, step: QuantizedNode, sums: str, h: str) -> str:
    units, batch = step.out[-1], step.shapes[1][0]
    eye = w.node("EyeLike", w.node("ConstantOfShape", whole(w, units, units)))
    r = reshaped(w, _weights(w, step)[0], 1, units, units)
    _, rounded = w.rounded(f"{w.label}/first", h, w.params[step.node.name])
    first = reshaped(w, rounded, 1, batch, units)
    inputs = (sums, reshaped(w, eye, 1, units, units), r, "", "", first)
    direction = "reverse" if step.attrs["reverse"] else "forward"
    attrs = dict[str, Any](hidden_size=units, activations=["Tanh"])
    if step.node.op == "rnn_relu":  # larger results saturate, and so does h
        to = w.params[step.node.name]
        attrs |= {"activations": ["Relu"], "clip": float(to.scale * (to.high - to.zero_point))}
    y = w.node("RNN", *inputs, direction=direction, **attrs)
    return reshaped(w, y, *step.out)


def _state_reach(step: QuantizedNode) -> float:
    """Return the largest magnitude of a GRU's state: 15 bits of its 16-bit h, or 1."""
    return STATE_REACH if not is_wide(step) else hidden_params(step).scale * 2**STATE_BITS


def _clipped(w: Writer, x: str, limit: float) -> str:
    return w.node("Clip", x, *(number(w, edge) for edge in (-limit, limit)))


def _by_gate(w: Writer, rows: str, order: Sequence[int], *columns: int) -> str:
    """Reorder rows of gates from the operators' order (unit by unit) to ONNX's (gate by gate)."""
    apart = reshaped(w, rows, -1, len(order), *columns)
    gates = w.node("Gather", apart, whole(w, *order), axis=1)
    rest = range(2, 2 + len(columns))
    return reshaped(w, transposed(w, gates, 1, 0, *rest), -1, *columns)


def _weights(w: Writer, step: QuantizedNode) -> list[str]:
    """Return the dequantised recurrent weights and biases as ONNX tensors, unit by unit."""
    plain = step.node.op.startswith("rnn")
    x = w.params[step.node.name] if plain else hidden_params(step)
    bias = np.zeros(len(step.integers.weight), np.int32) if plain else step.integers.bias
    scale = np.asarray(step.integers.scale)
    made = [dequantized(w, "weight", step.integers.weight, scale)]
    if len(step.node.inputs) > len(step.operands) + 1:
        made.append(dequantized(w, "bias", bias, scale * x.scale))
    return made


def _lstm_start(w: Writer, step: QuantizedNode, gates: str) -> str:
    i, g, o = _gates(w, step, gates)
    cell = w.node("Mul", w.node("Sigmoid", i), w.node("Tanh", g))
    return w.node("Mul", w.node("Sigmoid", o), w.node("Tanh", cell))


def next_step(*, cell: bool) -> Write:
    """Return the function that exports one LSTM time step, whose products are separate operators.

    cell   whether it returns c, saturated at the limits of its bits, instead of h
    """

    def node(w: Writer, step: QuantizedNode, gates: str, added: str, c: str) -> str:
        shape = step.shapes[2]
        total = reshaped(w, w.node("Add", gates, added), *shape, len(ORDER["LSTM"]))
        i, f, g, o = (reshaped(w, sliced(w, total, n, n + 1, len(shape)), *shape) for n in range(4))
        kept = w.node("Mul", w.node("Sigmoid", f), c)
        more = w.node("Mul", w.node("Sigmoid", i), w.node("Tanh", g))
        state = _clipped(w, w.node("Add", kept, more), 2.0 ** (15 - step.integers.cell_bits))
        h = state if cell else w.node("Mul", w.node("Sigmoid", o), w.node("Tanh", state))
        return reshaped(w, h, *step.out)

    return node


def _gru_start(w: Writer, step: QuantizedNode, gates: str) -> str:
    r, z, n = _gates(w, step, gates)
    own = dequantized(w, "own", step.integers.own, np.full(step.out[-1], GATE_PARAMS.scale))
    new = w.node("Tanh", w.node("Add", n, w.node("Mul", w.node("Sigmoid", r), own)))
    return w.node("Mul", new, w.node("Sigmoid", w.node("Neg", z)))


def _gates(w: Writer, step: QuantizedNode, gates: str) -> list[str]:
    """Write the gates of a single time step, each with the shape of the result."""
    by_unit, last = reshaped(w, gates, *step.out, GATES), len(step.out)
    return [reshaped(w, sliced(w, by_unit, g, g + 1, last), *step.out) for g in range(GATES)]


WRITE: Mapping[str, Write] = {
    "gru_start": _gru_start,
    "lstm_next": next_step(cell=False),
    "lstm_next_cell": next_step(cell=True),
    "lstm_start": _lstm_start,
    "gru": write("GRU", result=0),
    "gru_state": write("GRU", result=1),
    "lstm": write("LSTM", result=0),
    "lstm_cell": write("LSTM", result=2),
    "rnn_relu": _plain,
    "rnn_tanh": _plain,
}
