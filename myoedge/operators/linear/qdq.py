# SPDX-License-Identifier: Apache-2.0
"""Export of linear layers and matrix products as ONNX nodes."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, transposed, weights


def _added(w: Writer, step: QuantizedNode, x: str) -> str:
    """Write the sums that an input adds to gates, from weights and a bias."""
    weight, bias = weights(w, step, [1, 0])
    y = w.node("MatMul", x, weight)
    return w.node("Add", y, bias) if len(step.node.inputs) > 2 else y


def _linear(w: Writer, step: QuantizedNode, x: str) -> str:
    weight, bias = weights(w, step, [1, 0])
    return w.node("Add", w.node("MatMul", x, weight), bias)


def _matmul(w: Writer, step: QuantizedNode, a: str, b: str) -> str:
    if step.attrs.get("b_turned", False):
        rank = len(step.shapes[1])
        b = transposed(w, b, *range(rank - 2), rank - 1, rank - 2)
    return w.node("MatMul", a, b)


WRITE: Mapping[str, Write] = {
    "gates": _added,
    "linear": _linear,
    "sums": _added,
    "matmul": _matmul,
}
