# SPDX-License-Identifier: Apache-2.0
"""Rotary embeddings as ONNX writes them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.operators.attention.rotary import split
from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import (
    Write,
    Writer,
    whole,
)


def _rotary(w: Writer, step: QuantizedNode, x: str) -> str:
    """Pairs apart, turned, and together again."""
    cos, sin = (w.floats[n].astype(np.float32) for n in step.node.inputs[1:])
    outer, period, inner, pairs = split(step.attrs, step.out, len(cos))
    both = w.node("Reshape", x, whole(w, outer, period, inner, pairs, 2))
    even, odd = (w.node("Gather", both, whole(w, i), axis=4) for i in (0, 1))
    c, s = (w.constant(t.reshape(1, period, 1, pairs, 1)) for t in (cos, sin))
    first = w.node("Sub", w.node("Mul", even, c), w.node("Mul", odd, s))
    second = w.node("Add", w.node("Mul", odd, c), w.node("Mul", even, s))
    return w.node("Reshape", w.node("Concat", first, second, axis=4), whole(w, *step.out))


WRITE: Mapping[str, Write] = {"rotary": _rotary}
