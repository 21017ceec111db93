# SPDX-License-Identifier: Apache-2.0
"""Import rows of sums along an axis."""

from __future__ import annotations

from typing import Any

from myoedge.operators.graph_builder import GraphBuilder, slice_axis
from myoedge.operators.import_rows import Arguments, Calls, OnnxCall, calls, first


def cumsum(b: GraphBuilder, a: Arguments, out: Any) -> str:
    x = first(a)
    return b.add("cumsum", x, axis=a["dim"] % len(b.shape(x)))


def cumsum_onnx(c: OnnxCall) -> str:
    """From the end with `reverse`; with `exclusive` up to the element before."""
    b, x, shape = c.builder, c.x(), c.shape()
    axis = int(c.array(1, "the axis").reshape(-1)[0]) % len(shape)
    n, last = shape[axis], (shape[axis] - 1, -1, -1)
    x = slice_axis(b, x, axis, *last) if c.attrs.get("reverse") else x
    if c.attrs.get("exclusive"):
        pads = tuple((int(d == axis), 0) for d in range(len(shape)))
        x = slice_axis(b, b.add("pad", x, pads=pads, value=0.0), axis, 0, n)
    y = b.add("cumsum", x, axis=axis)
    return slice_axis(b, y, axis, *last) if c.attrs.get("reverse") else y


ATEN: Calls = {"cumsum": calls(cumsum, "cumsum")}
ONNX: Calls = {"cumsum": {"CumSum": cumsum_onnx}}
