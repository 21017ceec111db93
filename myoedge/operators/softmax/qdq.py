# SPDX-License-Identifier: Apache-2.0
"""Classes and their strings as ONNX writes them: indices are int32."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.operators.base import QuantizedNode, outer_inner
from myoedge.operators.qdq import (
    Write,
    Writer,
    whole,
)
from myoedge.operators.softmax.ctc import NOTHING


def _argmax(w: Writer, step: QuantizedNode, x: str) -> str:
    index = w.node("ArgMax", x, axis=step.attrs["axis"], keepdims=int(step.attrs["keepdim"]))
    return w.cast(index, "int32")


def _ctc_greedy(w: Writer, step: QuantizedNode, x: str) -> str:
    """The count so far is the place of what is kept; the others go behind the end."""
    steps, batch, _ = step.shapes[0]
    best = w.node("ArgMax", x, axis=2, keepdims=0)
    none, blank = (w.constant(np.array(n, np.int64)) for n in (-1, step.attrs["blank"]))
    first = w.constant(np.full((1, batch), -1, np.int64))
    before = w.node(
        "Slice", w.node("Concat", first, best, axis=0), *(whole(w, n) for n in (0, steps, 0))
    )
    gone = w.node("Or", w.node("Equal", best, before), w.node("Equal", best, blank))
    kept = w.cast(w.node("Not", gone), "int64")
    places = w.node("CumSum", kept, w.constant(np.array(0, np.int64)))
    at = w.node("Where", gone, w.constant(np.array(steps + 1, np.int64)), places)
    empty = w.node("Expand", none, whole(w, steps + 2, batch))
    symbols = w.node("ScatterElements", empty, at, best, axis=0)
    count = w.node("ReduceSum", kept, whole(w, 0), keepdims=1)
    rest = w.node("Slice", symbols, *(whole(w, n) for n in (1, steps + 1, 0)))
    y = w.node("Transpose", w.node("Concat", count, rest, axis=0), perm=[1, 0])
    return w.cast(y, "int32")


INT32 = np.dtype(np.int32)


def ctc_new(w: Writer, step: QuantizedNode, x: str) -> str:
    axis, made = step.attrs["axis"], step.out[step.attrs["axis"]]
    nothing = w.constant(np.array(NOTHING, INT32))
    if step.attrs["before"]:
        first = (*step.out[:axis], 1, *step.out[axis + 1 :])
        x = w.node("Concat", w.constant(np.full(first, NOTHING, INT32)), x, axis=axis)
    was, now = (w.node("Slice", x, *(whole(w, n) for n in (at, at + made, axis))) for at in (0, 1))
    blank = w.constant(np.array(step.attrs["blank"], INT32))
    old = w.node("Or", w.node("Equal", now, was), w.node("Equal", now, blank))
    return w.node("Where", old, nothing, now)


def majority(w: Writer, step: QuantizedNode, x: str) -> str:
    """Votes are sums over the frames, the window of a convolution."""
    outer, made, inner = outer_inner(step.out, step.attrs["axis"])
    given, taps = step.shapes[0][step.attrs["axis"]], step.attrs["frames"]
    apart = w.node("Reshape", x, whole(w, outer, given, inner, 1))
    every = w.constant(np.arange(step.attrs["classes"], dtype=INT32))
    ballots = w.cast(w.node("Equal", apart, every), "float32")
    turned = w.node("Transpose", ballots, perm=[0, 2, 3, 1])
    rows = w.node("Reshape", turned, whole(w, -1, 1, given))
    ones = w.constant(np.ones((1, 1, taps), np.float32))
    votes = w.node("Conv", rows, ones, pads=[step.attrs["before"], 0])
    sums = w.node("Reshape", votes, whole(w, outer, inner, -1, made))
    most = w.node("Transpose", w.node("ArgMax", sums, axis=2, keepdims=0), perm=[0, 2, 1])
    return w.cast(w.node("Reshape", most, whole(w, *step.out)), "int32")


WRITE: Mapping[str, Write] = {
    "argmax": _argmax,
    "ctc_greedy": _ctc_greedy,
    "ctc_new": ctc_new,
    "majority": majority,
}
