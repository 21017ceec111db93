# SPDX-License-Identifier: Apache-2.0
"""The writers of all operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.operators.attention.definition import HIDING, hides, mask
from myoedge.operators.base import QuantizedNode
from myoedge.operators.elementwise.qdq import scaled
from myoedge.operators.qdq import Write, Writer, operator_writers, whole


def _attention(w: Writer, q: Any, step: QuantizedNode, *xs: str) -> str:
    """Products and softmax written out; masked keys get what no softmax lets through."""
    (_, rows, _, _), (_, keys, _, _) = step.shapes[:2]
    left, right = (
        w.node("Transpose", xs[0], perm=[0, 2, 1, 3]),
        w.node("Transpose", xs[1], perm=[0, 2, 3, 1]),
    )
    scores = scaled(w, w.node("MatMul", left, right), step.attrs["scale"], 0.0)
    scores = w.node("Add", scores, xs[3]) if len(xs) > 3 else scores
    if hides(step.attrs):
        gone = np.where(q.constants[step.operands[3]] == HIDING, -1e9, 0.0)
        scores = w.node("Add", scores, w.constant(gone.astype(np.float32)))
    if step.attrs["window"]:
        hidden = np.where(mask(step.attrs, rows, keys), 0.0, -1e9)
        scores = w.node("Add", scores, w.constant(hidden.astype(np.float32)))
    v = w.node("Slice", xs[2], *(whole(w, n) for n in (0, keys, 3, 1)))
    shares = w.node("Softmax", scores, axis=-1)
    y = w.node("MatMul", shares, w.node("Transpose", v, perm=[0, 1, 3, 2]))
    return w.node("Transpose", y, perm=[0, 2, 1, 3])


def _along_axis(op: str) -> Write:
    return lambda w, step, *xs: w.node(op, *xs, axis=step.attrs["axis"])


WRITE: Mapping[str, Write] = {
    **operator_writers(),
    "attention": lambda w, step, *xs: _attention(w, w, step, *xs),
    "log_softmax": _along_axis("LogSoftmax"),
    "softmax": _along_axis("Softmax"),
}
