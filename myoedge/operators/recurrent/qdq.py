# SPDX-License-Identifier: Apache-2.0
"""LSTM and GRU as ONNX writes them; the identity as weights, as their input is the gates, ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.weight_format import WeightFormat
from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import (
    Write,
    Writer,
    number,
    reshaped,
    whole,
)
from myoedge.operators.recurrent.cells import CELL_REACH, HIDDEN, STATE_REACH

ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}  # ONNX's gates by ours


def write(op: str, *, result: int) -> Write:
    """`result`: which of ONNX's outputs it is, h of all steps or the last c."""

    def node(w: Writer, step: QuantizedNode, gates: str, h: str, *c: str) -> str:
        order, (batch, units) = ORDER[op], step.shapes[1]
        size = len(order) * units
        x = _by_gate(w, gates, (*step.shapes[0][:2], units), order)
        shape = w.node("ConstantOfShape", whole(w, size, size))
        eye = reshaped(w, w.node("EyeLike", shape), 1, size, size)
        r, bias = _weights(w, step, order)
        first = [_start(w, op, h), *(_clipped(w, x, CELL_REACH) for x in c)]
        states = [reshaped(w, name, 1, batch, units) for name in first]
        more: dict[str, Any] = {}
        if op == "GRU":
            more = {"linear_before_reset": int(not step.attrs["reset_first"])}
        direction = "reverse" if step.attrs["reverse"] else "forward"
        inputs = (x, eye, r, bias, "", *states)
        y = w.node(op, *inputs, result=result, hidden_size=units, direction=direction, **more)
        return reshaped(w, y, *step.out)

    return node


def _by_gate(w: Writer, gates: str, shape: Sequence[int], order: Sequence[int]) -> str:
    """[T, N, H * G] unit by unit -> gate by gate."""
    apart = w.node("Transpose", reshaped(w, gates, *shape, len(order)), perm=[0, 1, 3, 2])
    sorted_ = w.node("Gather", apart, whole(w, *order), axis=2)
    return reshaped(w, sorted_, *shape[:2], shape[2] * len(order))


def _start(w: Writer, op: str, h: str) -> str:
    """The first h with as many bits as it is kept with."""
    if op == "GRU":
        return _clipped(w, h, STATE_REACH)
    name = f"{w.label}/first"
    w.store(name, h, HIDDEN)
    return w.reals[name]


def _clipped(w: Writer, x: str, limit: float) -> str:
    edges = (number(w, edge) for edge in (-limit, limit))
    return w.node("Clip", x, *edges)


def _weights(w: Writer, step: QuantizedNode, order: Sequence[int]) -> tuple[str, str]:
    """(of h [1, G * H, H], bias [1, 2 * G * H]), dequantised, gate by gate."""
    scale = _scales(w, step)
    size, units = step["weight"].shape
    integers = w.constant(_sorted(step["weight"], order), f"{w.label}/weight")
    scales = w.constant(_sorted(scale, order).astype(np.float32), f"{w.label}/weight.scale")
    r = w.node("DequantizeLinear", integers, scales, axis=0)
    own = _sorted(step["bias"] * scale * HIDDEN.scale, order)
    bias = np.concatenate([np.zeros(size), own]).astype(np.float32)
    return reshaped(w, r, 1, size, units), w.constant(bias[None], f"{w.label}/bias")


def _sorted(rows: Array, order: Sequence[int]) -> Array:
    units = rows.reshape(-1, len(order), *rows.shape[1:])
    return np.ascontiguousarray(units.swapaxes(0, 1)[list(order)].reshape(rows.shape))


def _scales(w: Writer, step: QuantizedNode) -> Array:
    """float64 per row: of the two ways to choose it, the one that was taken."""
    names = step.node.inputs[len(step.operands) :]
    r, *own = (w.floats[name].astype(np.float64) for name in names)
    bias = own[0] if own else np.zeros(len(r))
    for per_channel in (True, False):
        integers, scale = WeightFormat(8, per_channel).quantize(r, bias, HIDDEN)
        if np.array_equal(integers, step["weight"]):
            return scale
    raise AssertionError(f"{step.node.where}: integers do not come from its weights")


WRITE: Mapping[str, Write] = {
    "gru": write("GRU", result=0),
    "gru_state": write("GRU", result=1),
    "lstm": write("LSTM", result=0),
    "lstm_cell": write("LSTM", result=2),
}
