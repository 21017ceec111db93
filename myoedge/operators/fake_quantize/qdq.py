# SPDX-License-Identifier: Apache-2.0
"""Fake quantisation in the exported ONNX model: float operators."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, number


def _fake_quantize(w: Writer, step: QuantizedNode, x: str) -> str:
    scale, zero, low, high = (step.attrs[n] for n in ("scale", "zero_point", "low", "high"))
    steps = w.node("Round", w.node("Div", x, number(w, scale)))
    inside = w.node("Clip", steps, number(w, low - zero), number(w, high - zero))
    return w.node("Mul", inside, number(w, scale))


WRITE: Mapping[str, Write] = {"fake_quantize": _fake_quantize}
