# SPDX-License-Identifier: Apache-2.0
"""Classes over time as ONNX writes them: indices come in, as int32."""

from __future__ import annotations

import numpy as np

from myoedge.codegen.qdq.writer import Writer
from myoedge.operators.base import QuantizedNode, outer_inner
from myoedge.operators.softmax.ctc import NOTHING
from myoedge.quantization.scales import QuantGraph

INT32 = np.dtype(np.int32)


def ctc_new(w: Writer, q: QuantGraph, step: QuantizedNode, x: str) -> str:
    axis, made = step.attrs["axis"], step.out[step.attrs["axis"]]
    nothing = w.constant(np.array(NOTHING, INT32))
    if step.attrs["before"]:
        first = (*step.out[:axis], 1, *step.out[axis + 1 :])
        x = w.node("Concat", w.constant(np.full(first, NOTHING, INT32)), x, axis=axis)
    was, now = (w.node("Slice", x, *map(w.whole, (at, at + made, axis))) for at in (0, 1))
    blank = w.constant(np.array(step.attrs["blank"], INT32))
    old = w.node("Or", w.node("Equal", now, was), w.node("Equal", now, blank))
    return w.node("Where", old, nothing, now)


def majority(w: Writer, q: QuantGraph, step: QuantizedNode, x: str) -> str:
    """Votes are sums over the frames, the window of a convolution."""
    from onnx import TensorProto

    outer, made, inner = outer_inner(step.out, step.attrs["axis"])
    given, taps = step.shapes[0][step.attrs["axis"]], step.attrs["frames"]
    apart = w.node("Reshape", x, w.whole(outer, given, inner, 1))
    every = w.constant(np.arange(step.attrs["classes"], dtype=INT32))
    ballots = w.node("Cast", w.node("Equal", apart, every), to=TensorProto.FLOAT)
    turned = w.node("Transpose", ballots, perm=[0, 2, 3, 1])
    rows = w.node("Reshape", turned, w.whole(-1, 1, given))
    ones = w.constant(np.ones((1, 1, taps), np.float32))
    votes = w.node("Conv", rows, ones, pads=[step.attrs["before"], 0])
    sums = w.node("Reshape", votes, w.whole(outer, inner, -1, made))
    most = w.node("Transpose", w.node("ArgMax", sums, axis=2, keepdims=0), perm=[0, 2, 1])
    return w.node("Cast", w.node("Reshape", most, w.whole(*step.out)), to=TensorProto.INT32)
