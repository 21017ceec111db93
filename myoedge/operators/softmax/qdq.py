# SPDX-License-Identifier: Apache-2.0
"""Export of softmax, classes and decoders as ONNX nodes; indices are int32."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.numerics.arrays import outer_inner
from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import (
    Write,
    Writer,
    along_axis,
    number,
    reshaped,
    sliced,
    transposed,
    whole,
)
from myoedge.operators.softmax.classes import NOTHING

INT32 = np.dtype(np.int32)


def masked(w: Writer, step: QuantizedNode, scores: str, mask: str) -> str:
    """Write masked scores as ONNX nodes: hidden elements are lowered to exponentials of 0."""
    least = number(w, -1e9 if step.attrs.get("flat") else -1e6)
    hidden = w.node("Less", mask, number(w, 0.5))
    return w.node("Add", scores, w.node("Mul", w.cast(hidden, "float32"), least))


def _softmax(w: Writer, step: QuantizedNode, x: str, *mask: str) -> str:
    scores = masked(w, step, x, *mask) if mask else x
    return w.node("Softmax", scores, axis=step.attrs["axis"])


def _argmax(w: Writer, step: QuantizedNode, x: str) -> str:
    index = w.node("ArgMax", x, axis=step.attrs["axis"], keepdims=int(step.attrs["keepdim"]))
    return w.cast(index, "int32")


def _ctc_greedy(w: Writer, step: QuantizedNode, x: str) -> str:
    """Write a greedy CTC decoder as ONNX nodes: a kept symbol's position is the running count of
    kept symbols."""
    steps, batch, _ = step.shapes[0]
    best = w.node("ArgMax", x, axis=2, keepdims=0)
    none, blank = (w.constant(np.array(n, np.int64)) for n in (-1, step.attrs["blank"]))
    first = w.constant(np.full((1, batch), -1, np.int64))
    before = sliced(w, w.node("Concat", first, best, axis=0), 0, steps, 0)
    gone = w.node("Or", w.node("Equal", best, before), w.node("Equal", best, blank))
    kept = w.cast(w.node("Not", gone), "int64")
    places = w.node("CumSum", kept, w.constant(np.array(0, np.int64)))
    at = w.node("Where", gone, w.constant(np.array(steps + 1, np.int64)), places)
    empty = w.node("Expand", none, whole(w, steps + 2, batch))
    symbols = w.node("ScatterElements", empty, at, best, axis=0)
    count = w.node("ReduceSum", kept, whole(w, 0), keepdims=1)
    rest = sliced(w, symbols, 1, steps + 1, 0)
    return w.cast(transposed(w, w.node("Concat", count, rest, axis=0), 1, 0), "int32")


def _ctc_new(w: Writer, step: QuantizedNode, x: str) -> str:
    axis, made = step.attrs["axis"], step.out[step.attrs["axis"]]
    nothing = w.constant(np.array(NOTHING, INT32))
    if step.attrs["before"]:
        first = (*step.out[:axis], 1, *step.out[axis + 1 :])
        x = w.node("Concat", w.constant(np.full(first, NOTHING, INT32)), x, axis=axis)
    was, now = (sliced(w, x, at, at + made, axis) for at in (0, 1))
    blank = w.constant(np.array(step.attrs["blank"], INT32))
    old = w.node("Or", w.node("Equal", now, was), w.node("Equal", now, blank))
    return w.node("Where", old, nothing, now)


def _majority(w: Writer, step: QuantizedNode, x: str) -> str:
    """Write a majority vote as ONNX nodes: votes are summed over frames by a convolution window."""
    outer, made, inner = outer_inner(step.out, step.attrs["axis"])
    frames, taps = step.shapes[0][step.attrs["axis"]], step.attrs["frames"]
    apart = reshaped(w, x, outer, frames, inner, 1)
    classes = w.constant(np.arange(step.attrs["classes"], dtype=INT32))
    ballots = w.cast(w.node("Equal", apart, classes), "float32")
    rows = reshaped(w, transposed(w, ballots, 0, 2, 3, 1), -1, 1, frames)
    ones = w.constant(np.ones((1, 1, taps), np.float32))
    votes = w.node("Conv", rows, ones, pads=[step.attrs["before"], 0])
    sums = reshaped(w, votes, outer, inner, -1, made)
    most = transposed(w, w.node("ArgMax", sums, axis=2, keepdims=0), 0, 2, 1)
    return w.cast(reshaped(w, most, *step.out), "int32")


WRITE: Mapping[str, Write] = {
    "argmax": _argmax,
    "ctc_greedy": _ctc_greedy,
    "ctc_new": _ctc_new,
    "log_softmax": along_axis("LogSoftmax"),
    "majority": _majority,
    "softmax": _softmax,
}
