# SPDX-License-Identifier: Apache-2.0
"""Export of attention and rotary embeddings as ONNX nodes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.operators.attention.geometry import added, in_window
from myoedge.operators.attention.rotary import split
from myoedge.operators.base import QuantizedNode
from myoedge.operators.elementwise.qdq import scaled
from myoedge.operators.qdq import Write, Writer, reshaped, sliced, transposed, whole
from myoedge.operators.softmax.qdq import masked


def _attention(w: Writer, step: QuantizedNode, *xs: str) -> str:
    """Write the products and the softmax as ONNX nodes; masked keys get a large negative bias."""
    (_, rows, _, _), (_, keys, _, _) = step.shapes[:2]
    left, right = transposed(w, xs[0], 0, 2, 1, 3), transposed(w, xs[1], 0, 2, 3, 1)
    scores = scaled(w, w.node("MatMul", left, right), step.attrs["scale"], 0.0)
    at = added(step.attrs, step.shapes)
    scores = w.node("Add", scores, xs[at["bias"]]) if "bias" in at else scores
    scores = masked(w, step, scores, xs[at["mask"]]) if "mask" in at else scores
    if step.attrs["window"]:
        hidden = np.where(in_window(step.attrs, rows, keys), 0.0, -1e9)
        scores = w.node("Add", scores, w.constant(hidden.astype(np.float32)))
    v = sliced(w, xs[2], 0, keys, 3)
    shares = w.node("Softmax", scores, axis=-1)
    return transposed(w, w.node("MatMul", shares, transposed(w, v, 0, 1, 3, 2)), 0, 2, 1, 3)


def _rotary(w: Writer, step: QuantizedNode, x: str) -> str:
    """Write a rotary embedding as ONNX nodes: split the pairs, rotate, concatenate."""
    cos, sin = (w.floats[n].astype(np.float32) for n in step.node.inputs[1:])
    outer, period, inner, pairs = split(step.attrs, step.out, len(cos))
    side = 3 if step.attrs.get("halves") else 4
    apart = (2, pairs) if side == 3 else (pairs, 2)
    both = reshaped(w, x, outer, period, inner, *apart)
    even, odd = (w.node("Gather", both, whole(w, i), axis=side) for i in (0, 1))
    c, s = (w.constant(np.expand_dims(t.reshape(1, period, 1, pairs), side)) for t in (cos, sin))
    first = w.node("Sub", w.node("Mul", even, c), w.node("Mul", odd, s))
    second = w.node("Add", w.node("Mul", odd, c), w.node("Mul", even, s))
    return reshaped(w, w.node("Concat", first, second, axis=side), *step.out)


WRITE: Mapping[str, Write] = {"attention": _attention, "rotary": _rotary}
