# SPDX-License-Identifier: Apache-2.0
"""Softmax of whole numbers as ONNX writes it: exact in operators of int64 and float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, whole
from myoedge.operators.whole_softmax.definition import ONE, exponentials


def _below_largest(w: Writer, x: str) -> str:
    """Distances from the largest of a row, int64."""
    most = w.node("ReduceMax", x, whole(w, -1), keepdims=1)
    return w.cast(w.node("Sub", most, x), "int64")


def _whole_softmax(w: Writer, step: QuantizedNode, x: str) -> str:
    table = w.constant(exponentials(step.attrs).astype(np.int64))
    e = w.node("Gather", table, _below_largest(w, x), axis=0)
    total = w.node("ReduceSum", e, whole(w, -1), keepdims=1)
    scaled = w.node("Mul", e, whole(w, step.attrs["levels"] - 1))
    return w.cast(w.node("Div", scaled, total), "float32")


def _shift_softmax(w: Writer, step: QuantizedNode, x: str) -> str:
    """Halvings of distances, 0 to 8, from a table; the groups one behind the other."""
    group, length, most, total = step.attrs["group"], step.out[-1], "", ""
    halved = w.constant(ONE >> (np.arange(256, dtype=np.int64) + 16 >> 5))
    for start in range(0, length, group):
        ends = (whole(w, start), whole(w, start + group), whole(w, -1))
        part = w.node("Slice", x, *ends)
        own = w.node("ReduceMax", part, whole(w, -1), keepdims=1)
        larger = w.node("Max", most, own) if most else own
        below = w.cast(w.node("Sub", larger, part), "int64")
        added = w.node("Gather", halved, below, axis=0)
        added = w.node("ReduceSum", added, whole(w, -1), keepdims=1)
        total = w.node("Add", _halved(w, total, larger, most), added) if total else added
        most = larger
    share = w.node("Div", whole(w, step.attrs["most"] * ONE), total)
    return w.cast(_halved(w, share, most, x), "float32")


def _halved(w: Writer, value: str, most: str, x: str) -> str:
    """value >> (most - x + 16 >> 5), int64."""
    powers = w.constant(1 << (np.arange(256, dtype=np.int64) + 16 >> 5))
    distance = w.cast(w.node("Sub", most, x), "int64")
    return w.node("Div", value, w.node("Gather", powers, distance, axis=0))


WRITE: Mapping[str, Write] = {
    "whole_softmax": _whole_softmax,
    "shift_softmax": _shift_softmax,
}
