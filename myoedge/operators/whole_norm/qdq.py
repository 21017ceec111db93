# SPDX-License-Identifier: Apache-2.0
"""Norms of whole numbers as ONNX writes them: in int64, whose division is C's."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, whole


def _whole_norm(w: Writer, step: QuantizedNode, x: str) -> str:
    rows, length = w.cast(x, "int64"), whole(w, step.out[-1])
    if step.attrs["centred"]:
        total = w.node("ReduceSum", rows, whole(w, -1), keepdims=1)
        rows = w.node("Sub", rows, w.node("Div", total, length))
    squares = w.node("ReduceSum", w.node("Mul", rows, rows), whole(w, -1), keepdims=1)
    mean = w.node("Add", w.node("Div", squares, length), whole(w, 1))
    root = w.cast(w.node("Floor", w.node("Sqrt", w.cast(mean, "float64"))), "int64")
    gain, offset = (
        whole(w, *map(int, getattr(step.integers, name))) for name in ("gain", "offset")
    )
    scaled = w.node("Add", w.node("Div", w.node("Mul", rows, gain), root), offset)
    y = _shifted(w, scaled, step.attrs["shift"])
    if not step.attrs["centred"]:
        return w.cast(y, "float32")  # saturates where it is stored
    low = w.node("Add", y, whole(w, 128))
    inside = w.node("Mod", low, whole(w, 256))
    return w.cast(w.node("Sub", inside, whole(w, 128)), "float32")


def _shifted(w: Writer, x: str, shift: int) -> str:
    """x >> shift, toward minus infinity: less what is left over, which has the divisor's sign."""
    divisor = whole(w, 1 << shift)
    return w.node("Div", w.node("Sub", x, w.node("Mod", x, divisor)), divisor)


WRITE: Mapping[str, Write] = {"whole_norm": _whole_norm}
