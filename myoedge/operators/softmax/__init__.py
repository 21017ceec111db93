# SPDX-License-Identifier: Apache-2.0
"""Softmax, log-softmax, argmax, and decoding of class indices over time;
export as ONNX nodes, and random test cases."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array, outer_inner
from myoedge.operators.base import QuantizedNode
from myoedge.operators.cases import Draw, DrawnUse
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

# If the mask hides all keys of a row, its scores are 0 before the softmax (flat), or unchanged.
MASKED = """\
hidden = (x1 < 0.5).expand(x0.shape)
blind = hidden.all(axis, keepdim=True)
x0.masked_fill(hidden & ~blind, -math.inf).masked_fill(blind & flat, 0.0).softmax(axis)
"""
GREEDY = """\
y = torch.full((x0.shape[1], 1 + x0.shape[0]), -1, dtype=torch.int32)
for row, best in zip(y, x0.argmax(-1).T, strict=True):
    symbols = torch.unique_consecutive(best)
    symbols = symbols[symbols != blank]
    row[0] = len(symbols)
    row[1 : 1 + len(symbols)] = symbols
y
"""
# Of several equal counts, the first wins; ids outside the classes do not count.
MAJORITY = """\
ids = torch.arange(classes)
starts = [t - before for t in range(x0.shape[axis] + before - frames + 1)]
spans = [(max(start, 0), start + frames) for start in starts]
frames_of = [x0.narrow(axis, low, high - low)[..., None] == ids for low, high in spans]
torch.stack([same.sum(axis).argmax(-1) for same in frames_of], axis).int()
"""
NEW = """\
x = torch.cat([torch.full_like(x0.narrow(axis, 0, 1), -1)] * before + [x0], axis)
last, now = (x.narrow(axis, i, x.shape[axis] - 1) for i in (0, 1))
now.where((now != last) & (now != blank), -torch.ones_like(now))
"""


def _draw_row(d: Draw) -> tuple[Shape, int]:
    long = d.pick([(1000,), (2, 1000), (1000, 2), (3000,)])
    shape = d.pick([d.shape(1, 4, 12), long])
    return shape, d.integer(0, len(shape) - 1)


def _draw_score_spans(d: Draw, operands: int = 1) -> dict[str, Any]:
    """Draw the spans of int8 or int16 scores, and of a mask with values 0 and 1."""
    common, wide = d.common(1, act=False), d.pick([1.0, 8.0, 60.0])
    ((low, high),) = common["spans"]
    return common | {"spans": ((low * wide, high * wide), (0.0, 1.0))[:operands]}


def softmax(d: Draw) -> DrawnUse:
    """Return a random test case of a softmax, with no mask or with one that is broadcast along
    leading axes."""
    x, axis = _draw_row(d)
    if d.flag():
        text, common = "x0.softmax(axis)", _draw_score_spans(d) | {"int16": d.pick([(), (0,)])}
        return DrawnUse("softmax", {"axis": axis}, (x,), text, slack=softmax_slack, **common)
    alike = d.integer(0, axis)
    shapes = (x, (*[1] * alike, *x[alike:]))
    attrs = {"axis": axis, "masked": True, "flat": d.flag()}
    common = _draw_score_spans(d, 2) | {"int16": d.pick([(), (0,)])}
    return DrawnUse("softmax", attrs, shapes, MASKED, slack=softmax_slack, **common)


def softmax_slack(case: Any) -> Array | float:
    """Return the largest permitted deviation in output steps: each exponential is rounded to
    2**-15, which adds half of that per element to the sum; a product of two exponentials is rounded
    three times."""
    row = case.shapes[0][case.attrs["axis"]]
    if not case.step.has_int16:
        return float(256 * row / 2**16)
    share = np.asarray(case.real(case.dequantized))
    error = 1.5 * (1 + row * share) + share + 1.0
    return np.asarray(error * 2.0**-15 / case.params("y").scale)


def log_softmax(d: Draw) -> DrawnUse:
    x, axis = _draw_row(d)
    text, common = "x0.log_softmax(axis)", _draw_score_spans(d) | {"slack": log_softmax_slack}
    int16 = d.pick([(), (0,)])
    return DrawnUse("log_softmax", {"axis": axis}, (x,), text, int16=int16, **common)


def log_softmax_slack(case: Any) -> float:
    """Return the largest permitted deviation in output steps: the error of the softmax, of ln from
    a table of 256 entries (1/512) in Q12, and of two factors that share a shift (half a step each
    for int16)."""
    row, step = case.shapes[0][case.attrs["axis"]], case.target.scale
    factor = max(case.params("x0").scale, 1 / 4096) / step
    shared = 255 * max(factor, 1.0) / 2**14 + 2 * max(factor, 1 / 64)
    if case.step.has_int16:
        shared = 2.0**16 / 2.0**case.step.integers.shift
        row *= 3
    return float((row / 2**16 + 1 / 512 + 1 / 256) / step + shared)


def argmax(d: Draw) -> DrawnUse:
    """Return a random test case of argmax on data with ties, for which torch returns the first
    maximum."""
    x, axis = _draw_row(d)
    common = d.common(1, act=False) | {"factors": (1.0, 0.0)}
    attrs = {"axis": axis, "keepdim": d.flag()}
    common["int16"] = d.pick([(), (), (0,)])
    return DrawnUse("argmax", attrs, (x,), "x0.argmax(axis, keepdim)", **common)


def ctc_greedy(d: Draw) -> DrawnUse:
    """Return a random test case of greedy CTC decoding with few classes and values, so that
    repetitions, blanks and ties are frequent."""
    x = (d.integer(1, 9), d.integer(1, 3), d.integer(1, 4))
    attrs = {"blank": d.integer(0, x[-1] - 1)}
    wide = d.pick([(), (), (0,)])
    return DrawnUse("ctc_greedy", attrs, (x,), GREEDY, int16=wide, **d.common(1, act=False))


def draw_classes(op: str, d: Draw) -> DrawnUse:
    """Return a random test case of an operator on class indices (`op`: ctc_new or majority), with
    few classes, so that repetitions and ties are frequent; some votes are for many."""
    count, frames = d.integer(1, 4), d.integer(1, 5) if op == "majority" else 2
    count *= d.pick([1, 1, 1, 50]) if op == "majority" else 1
    x = list(d.shape(1, 3, 4))
    axis = d.integer(0, len(x) - 1)
    x[axis] = d.integer(frames, 12)
    attrs = {"axis": axis, "before": d.integer(0, frames - 1)}
    last = {"frames": frames, "classes": count}
    attrs |= last if op == "majority" else {"blank": d.integer(0, count - 1)}
    least, end = 0, count
    if op == "majority":  # invalid ids have no vote
        least, end = d.pick([(0, count), (-1, count + 1), (-(2**31), 2**31 - 1)])
    common = d.common(1, act=False) | {"dtype": "int32", "least": least, "classes": end}
    text = MAJORITY if op == "majority" else NEW
    return DrawnUse(op, attrs, (tuple(x),), text, **common)


CASES = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "argmax": argmax,
    "ctc_greedy": ctc_greedy,
    **{op: partial(draw_classes, op) for op in ("ctc_new", "majority")},
}


INT32 = np.dtype(np.int32)


def masked(w: Writer, step: QuantizedNode, scores: str, mask: str) -> str:
    """Write masked scores as ONNX nodes: hidden elements are lowered to exponentials of 0."""
    least = number(w, -1e9 if step.attrs.get("flat") else -1e6)
    hidden = w.node("Less", mask, number(w, 0.5))
    return w.node("Add", scores, w.node("Mul", w.cast(hidden, "float32"), least))


def _write_softmax(w: Writer, step: QuantizedNode, x: str, *mask: str) -> str:
    scores = masked(w, step, x, *mask) if mask else x
    return w.node("Softmax", scores, axis=step.attrs["axis"])


def _write_argmax(w: Writer, step: QuantizedNode, x: str) -> str:
    index = w.node("ArgMax", x, axis=step.attrs["axis"], keepdims=int(step.attrs["keepdim"]))
    return w.cast(index, "int32")


def _write_ctc_greedy(w: Writer, step: QuantizedNode, x: str) -> str:
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


def _write_ctc_new(w: Writer, step: QuantizedNode, x: str) -> str:
    axis, made = step.attrs["axis"], step.out[step.attrs["axis"]]
    nothing = w.constant(np.array(NOTHING, INT32))
    if step.attrs["before"]:
        first = (*step.out[:axis], 1, *step.out[axis + 1 :])
        x = w.node("Concat", w.constant(np.full(first, NOTHING, INT32)), x, axis=axis)
    was, now = (sliced(w, x, at, at + made, axis) for at in (0, 1))
    blank = w.constant(np.array(step.attrs["blank"], INT32))
    old = w.node("Or", w.node("Equal", now, was), w.node("Equal", now, blank))
    return w.node("Where", old, nothing, now)


def _write_majority(w: Writer, step: QuantizedNode, x: str) -> str:
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
    "argmax": _write_argmax,
    "ctc_greedy": _write_ctc_greedy,
    "ctc_new": _write_ctc_new,
    "log_softmax": along_axis("LogSoftmax"),
    "majority": _write_majority,
    "softmax": _write_softmax,
}
