# SPDX-License-Identifier: Apache-2.0
"""Export of sums of squares as ONNX nodes."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, number, whole


def _variance(w: Writer, step: QuantizedNode, x: str) -> str:
    attrs, axes = step.attrs, whole(w, *step.attrs["axes"])
    if attrs["centred"]:
        x = w.node("Sub", x, w.node("ReduceMean", x, axes, keepdims=1))
    total = w.node("ReduceSumSquare", x, axes, keepdims=int(attrs["keepdim"]))
    y = w.node("Div", total, number(w, attrs["divisor"]))
    return w.node("Sqrt", y) if attrs["root"] else y


WRITE: Mapping[str, Write] = {"variance": _variance}
