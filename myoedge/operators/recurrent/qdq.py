# SPDX-License-Identifier: Apache-2.0
"""Export of LSTM, GRU and RNN as ONNX nodes, whose input weights are the identity because other
nodes compute the gate sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.numerics.element_type import INT16
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
    CELLS,
    GATE_PARAMS,
    LAST_STATES,
    STATE_BITS,
    cell_bits,
    cell_of,
    hidden_params,
)


def write(*, result: int) -> Write:
    """Return the function that exports a recurrent operator as ONNX's LSTM, GRU or RNN.

    result   index of the ONNX output: h of all time steps, its last one, or the last c
    """

    def node(w: Writer, step: QuantizedNode, gates: str, *states: str) -> str:
        cell, (batch, units) = cell_of(step.node.op), step.shapes[1]
        size = len(cell.order) * units
        eye = w.node("EyeLike", w.node("ConstantOfShape", whole(w, size, size)))
        rows, *own = _write_weights(w, step)
        r, bias = reshaped(w, _write_gate_order(w, rows, cell.order, units), 1, size, units), ""
        if len(cell.order) > 1:
            none = w.constant(np.zeros((1, size), np.float32))
            added = [
                reshaped(w, _write_gate_order(w, name, cell.order), 1, size) for name in own
            ] or [none]
            bias = w.node("Concat", none, *added, axis=1)
        x = _write_gate_order(w, gates, cell.order, steps=step.shapes[0][:2])
        first = [
            reshaped(w, name, 1, batch, units) for name in _write_initial_states(w, step, *states)
        ]
        inputs = (x, reshaped(w, eye, 1, size, size), r, bias, "", *first)
        direction = "reverse" if step.attrs["reverse"] else "forward"
        given = {"hidden_size": units, "direction": direction, **_cell_attributes(w, step)}
        return reshaped(w, w.node(cell.onnx, *inputs, result=result, **given), *step.out)

    return node


def _cell_attributes(w: Writer, step: QuantizedNode) -> dict[str, Any]:
    """Return the attributes of an ONNX node that say what its cell is."""
    cell = cell_of(step.node.op)
    if cell.onnx == "RNN":
        to, names = w.params[step.node.name], [name.capitalize() for name in cell.activations]
        largest = float(to.scale * (to.high - to.zero_point))  # and h saturates with the results
        return {"activations": names, **({"clip": largest} if names == ["Relu"] else {})}
    return {"linear_before_reset": int(not step.attrs["reset_first"])} if cell.onnx == "GRU" else {}


def _write_initial_states(w: Writer, step: QuantizedNode, h: str, *c: str) -> list[str]:
    """Return the initial states with their stored precision."""
    cell = cell_of(step.node.op)
    if cell.onnx == "GRU":  # 15 bits of a 16-bit h, or +-1
        wide = step.weight_type == INT16
        return [_write_clip(w, h, hidden_params(step).scale * 2**STATE_BITS if wide else 1.0)]
    q = hidden_params(step) if c else w.params[step.node.name]
    reach = 2.0 ** (15 - cell_bits(step))
    return [w.rounded(f"{w.label}/first", h, q)[1], *(_write_clip(w, x, reach) for x in c)]


def _write_clip(w: Writer, x: str, limit: float) -> str:
    return w.node("Clip", x, *(number(w, edge) for edge in (-limit, limit)))


def _write_gate_order(
    w: Writer, rows: str, order: Sequence[int], *columns: int, steps: Sequence[int] = ()
) -> str:
    """Reorder gates from the operators' order (unit by unit) to ONNX's (gate by gate).

    columns, steps   dimensions behind and before the rows
    """
    if len(order) == 1:
        return rows
    at, behind = len(steps), len(steps) + 2 + len(columns)
    apart = reshaped(w, rows, *steps, -1, len(order), *columns)
    gates = w.node("Gather", apart, whole(w, *order), axis=at + 1)
    turned = transposed(w, gates, *range(at), at + 1, at, *range(at + 2, behind))
    return reshaped(w, turned, *steps, -1, *columns)


def _write_weights(w: Writer, step: QuantizedNode) -> list[str]:
    """Return the dequantised recurrent weights and biases as ONNX tensors, unit by unit."""
    plain = cell_of(step.node.op).onnx == "RNN"
    x = w.params[step.node.name] if plain else hidden_params(step)
    bias = np.zeros(len(step.integers.weight), np.int32) if plain else step.integers.bias
    scale = np.asarray(step.integers.scale)
    made = [dequantized(w, "weight", step.integers.weight, scale)]
    if len(step.node.inputs) > len(step.operands) + 1:
        made.append(dequantized(w, "bias", bias, scale * x.scale))
    return made


def _write_lstm_first_step(w: Writer, step: QuantizedNode, gates: str) -> str:
    i, g, o = _write_gates(w, step, gates)
    cell = w.node("Mul", w.node("Sigmoid", i), w.node("Tanh", g))
    return w.node("Mul", w.node("Sigmoid", o), w.node("Tanh", cell))


def next_step(*, cell: bool) -> Write:
    """Return the function that exports one LSTM time step, whose products are separate operators.

    cell   whether it returns c, saturated at the limits of its bits, instead of h
    """

    def node(w: Writer, step: QuantizedNode, gates: str, added: str, c: str) -> str:
        shape = step.shapes[2]
        total = reshaped(w, w.node("Add", gates, added), *shape, 4)
        i, f, g, o = (reshaped(w, sliced(w, total, n, n + 1, len(shape)), *shape) for n in range(4))
        kept = w.node("Mul", w.node("Sigmoid", f), c)
        more = w.node("Mul", w.node("Sigmoid", i), w.node("Tanh", g))
        state = _write_clip(w, w.node("Add", kept, more), 2.0 ** (15 - step.integers.cell_bits))
        h = state if cell else w.node("Mul", w.node("Sigmoid", o), w.node("Tanh", state))
        return reshaped(w, h, *step.out)

    return node


def _write_gru_first_step(w: Writer, step: QuantizedNode, gates: str) -> str:
    r, z, n = _write_gates(w, step, gates)
    own = dequantized(w, "own", step.integers.own, np.full(step.out[-1], GATE_PARAMS.scale))
    new = w.node("Tanh", w.node("Add", n, w.node("Mul", w.node("Sigmoid", r), own)))
    return w.node("Mul", new, w.node("Sigmoid", w.node("Neg", z)))


def _write_gates(w: Writer, step: QuantizedNode, gates: str) -> list[str]:
    """Write the gates of a single time step, each with the shape of the result."""
    by_unit, last = reshaped(w, gates, *step.out, 3), len(step.out)
    return [reshaped(w, sliced(w, by_unit, g, g + 1, last), *step.out) for g in range(3)]


RESULTS = {"lstm_cell": 2, "gru_state": 1}  # other operators give h of all time steps
WRITE: Mapping[str, Write] = {
    "gru_start": _write_gru_first_step,
    "lstm_next": next_step(cell=False),
    "lstm_next_cell": next_step(cell=True),
    "lstm_start": _write_lstm_first_step,
    **{op: write(result=RESULTS.get(op, 0)) for op in (*CELLS, *LAST_STATES)},
}
