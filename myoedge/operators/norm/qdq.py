# SPDX-License-Identifier: Apache-2.0
"""Norms as ONNX writes them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, number, whole


def _layer_norm(w: Writer, step: QuantizedNode, x: str) -> str:
    parts = (w.constant(w.floats[n].astype(np.float32)) for n in step.node.inputs[1:])
    return w.node("LayerNormalization", x, *parts, axis=-1, epsilon=step.attrs["eps"])


def _rms_norm(w: Writer, step: QuantizedNode, x: str) -> str:
    """Written out: ONNX has it as an operator from opset 23 on."""
    square = w.node("ReduceMean", w.node("Mul", x, x), whole(w, -1), keepdims=1)
    eps = number(w, step.attrs["eps"])
    root = w.node("Sqrt", w.node("Add", square, eps))
    gain = w.constant(w.floats[step.node.inputs[1]].astype(np.float32))
    return w.node("Mul", w.node("Div", x, root), gain)


WRITE: Mapping[str, Write] = {"layer_norm": _layer_norm, "rms_norm": _rms_norm}
