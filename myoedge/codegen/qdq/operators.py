# SPDX-License-Identifier: Apache-2.0
"""The writers of all operators."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.operators.attention.definition import added, in_window
from myoedge.operators.base import QuantizedNode
from myoedge.operators.elementwise.qdq import scaled
from myoedge.operators.qdq import Write, Writer, operator_writers, whole


def _attention(w: Writer, step: QuantizedNode, *xs: str) -> str:
    """Products and softmax written out; masked keys get what no softmax lets through."""
    (_, rows, _, _), (_, keys, _, _) = step.shapes[:2]
    left, right = (
        w.node("Transpose", xs[0], perm=[0, 2, 1, 3]),
        w.node("Transpose", xs[1], perm=[0, 2, 3, 1]),
    )
    scores = scaled(w, w.node("MatMul", left, right), step.attrs["scale"], 0.0)
    at = added(step.attrs, step.shapes)
    scores = w.node("Add", scores, xs[at["bias"]]) if "bias" in at else scores
    scores = _masked(w, step, scores, xs[at["mask"]]) if "mask" in at else scores
    if step.attrs["window"]:
        hidden = np.where(in_window(step.attrs, rows, keys), 0.0, -1e9)
        scores = w.node("Add", scores, w.constant(hidden.astype(np.float32)))
    v = w.node("Slice", xs[2], *(whole(w, n) for n in (0, keys, 3, 1)))
    shares = w.node("Softmax", scores, axis=-1)
    y = w.node("MatMul", shares, w.node("Transpose", v, perm=[0, 1, 3, 2]))
    return w.node("Transpose", y, perm=[0, 2, 1, 3])


def _masked(w: Writer, step: QuantizedNode, scores: str, mask: str) -> str:
    """Scores less so much where a mask is 0 that exp is 0, or that they are all lost in it."""
    least = w.constant(np.array(-1e9 if step.attrs.get("flat") else -1e6, np.float32))
    hidden = w.node("Less", mask, w.constant(np.array(0.5, np.float32)))
    return w.node("Add", scores, w.node("Mul", w.cast(hidden, "float32"), least))


def _softmax(w: Writer, step: QuantizedNode, x: str, *mask: str) -> str:
    scores = _masked(w, step, x, *mask) if mask else x
    return w.node("Softmax", scores, axis=step.attrs["axis"])


def _along_axis(op: str) -> Write:
    return lambda w, step, *xs: w.node(op, *xs, axis=step.attrs["axis"])


WRITE: Mapping[str, Write] = {
    **operator_writers(),
    "attention": _attention,
    "log_softmax": _along_axis("LogSoftmax"),
    "softmax": _softmax,
}
