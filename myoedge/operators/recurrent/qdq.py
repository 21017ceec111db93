# SPDX-License-Identifier: Apache-2.0
"""LSTM, GRU and RNN as ONNX writes them; the identity as weights, as their gates come ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, number, reshaped, transposed, weight_scale, whole
from myoedge.operators.recurrent.cells import CELL_REACH, HIDDEN_PARAMS, STATE_REACH

ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}  # ONNX's gates by ours


def write(op: str, *, result: int) -> Write:
    """`result`: which of ONNX's outputs it is, h of all steps or the last c."""

    def node(w: Writer, step: QuantizedNode, gates: str, h: str, *c: str) -> str:
        order, (batch, units) = ORDER[op], step.shapes[1]
        size = len(order) * units
        by_unit = reshaped(w, gates, *step.shapes[0][:2], units, len(order))
        by_gate = w.node("Gather", transposed(w, by_unit, 0, 1, 3, 2), whole(w, *order), axis=2)
        x = reshaped(w, by_gate, *step.shapes[0][:2], size)
        eye = w.node("EyeLike", w.node("ConstantOfShape", whole(w, size, size)))
        scale = weight_scale(w, step, HIDDEN_PARAMS, step["bias"])
        integers = w.constant(_sorted(step["weight"], order), f"{w.label}/weight")
        scales = w.constant(_sorted(scale, order).astype(np.float32), f"{w.label}/weight.scale")
        r = reshaped(w, w.node("DequantizeLinear", integers, scales, axis=0), 1, size, units)
        own = np.stack([np.zeros(size), _sorted(step["bias"] * scale * HIDDEN_PARAMS.scale, order)])
        bias = w.constant(own.astype(np.float32).reshape(1, -1), f"{w.label}/bias")
        if op == "LSTM":  # the first h with as many bits as it is kept with
            w.store(f"{w.label}/first", h, HIDDEN_PARAMS)
            first = [w.reals[f"{w.label}/first"], *(_clipped(w, x, CELL_REACH) for x in c)]
        else:
            first = [_clipped(w, h, STATE_REACH)]
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
    scale = weight_scale(w, step, w.params[step.node.name], np.zeros(units))
    integers = w.constant(np.ascontiguousarray(step["weight"]), f"{w.label}/weight")
    scales = w.constant(scale.astype(np.float32), f"{w.label}/weight.scale")
    r = reshaped(w, w.node("DequantizeLinear", integers, scales, axis=0), 1, units, units)
    w.store(f"{w.label}/first", h, w.params[step.node.name])
    first = reshaped(w, w.reals[f"{w.label}/first"], 1, batch, units)
    inputs = (sums, reshaped(w, eye, 1, units, units), r, "", "", first)
    direction = "reverse" if step.attrs["reverse"] else "forward"
    attrs = dict[str, Any](hidden_size=units, activations=["Tanh"])
    if step.node.op == "rnn_relu":  # results that are larger saturate, and are h then
        to = w.params[step.node.name]
        attrs |= {"activations": ["Relu"], "clip": float(to.scale * (to.high - to.zero_point))}
    y = w.node("RNN", *inputs, direction=direction, **attrs)
    return reshaped(w, y, *step.out)


def _clipped(w: Writer, x: str, limit: float) -> str:
    return w.node("Clip", x, *(number(w, edge) for edge in (-limit, limit)))


def _sorted(rows: Array, order: Sequence[int]) -> Array:
    """Unit by unit, as the operators have them -> gate by gate."""
    units = rows.reshape(-1, len(order), *rows.shape[1:])
    return np.ascontiguousarray(units.swapaxes(0, 1)[list(order)].reshape(rows.shape))


WRITE: Mapping[str, Write] = {
    "gru": write("GRU", result=0),
    "gru_state": write("GRU", result=1),
    "lstm": write("LSTM", result=0),
    "lstm_cell": write("LSTM", result=2),
    "rnn_relu": _plain,
    "rnn_tanh": _plain,
}
