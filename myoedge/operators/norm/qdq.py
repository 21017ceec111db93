# SPDX-License-Identifier: Apache-2.0
"""Export of norms as ONNX nodes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.norm.group_norm import layout
from myoedge.operators.qdq import Write, Writer, number, reshaped, whole


def _layer_norm(w: Writer, step: QuantizedNode, x: str) -> str:
    parts = (w.constant(w.floats[n].astype(np.float32)) for n in step.node.inputs[1:])
    return w.node("LayerNormalization", x, *parts, axis=-1, epsilon=step.attrs["eps"])


def _rms_norm(w: Writer, step: QuantizedNode, x: str) -> str:
    """Write an RMS norm as basic ONNX operators, as ONNX has an RMS norm only from opset 23 on."""
    square = w.node("ReduceMean", w.node("Mul", x, x), whole(w, -1), keepdims=1)
    eps = number(w, step.attrs["eps"])
    root = w.node("Sqrt", w.node("Add", square, eps))
    gain = w.constant(w.floats[step.node.inputs[1]].astype(np.float32))
    return w.node("Mul", w.node("Div", x, root), gain)


def _group_norm(w: Writer, step: QuantizedNode, x: str) -> str:
    """Write a group norm as basic ONNX operators, because ONNX has a group norm, with channels
    first, only from opset 21 on."""
    at, over = layout(step.attrs, step.out), whole(w, 1, 3, 4)
    rows = reshaped(w, x, *at)
    if step.attrs["centred"]:
        rows = w.node("Sub", rows, w.node("ReduceMean", rows, over, keepdims=1))
    square = w.node("ReduceMean", w.node("Mul", rows, rows), over, keepdims=1)
    root = w.node("Sqrt", w.node("Add", square, number(w, step.attrs["eps"])))
    gain, offset = (
        reshaped(w, w.float_constant(name), at.groups, at.channels, 1)
        for name in step.node.inputs[1:]
    )
    y = w.node("Add", w.node("Mul", w.node("Div", rows, root), gain), offset)
    return reshaped(w, y, *step.out)


WRITE: Mapping[str, Write] = {
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
}
