# SPDX-License-Identifier: Apache-2.0
"""Requantisation that a file gives as ONNX writes it: in float64, where it is exact."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.numerics.stated_requant import StatedRequant
from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer


def requantised(w: Writer, step: QuantizedNode, x: str) -> str:
    """Accumulators requantised as the file says; x itself where it says nothing."""
    stated = StatedRequant.of(step.attrs)
    if stated is None:
        return x
    rank = len(step.out)
    axis = step.attrs.get("axis", -1) % max(rank, 1)
    along = [-1 if d == axis else 1 for d in range(rank)]
    mult, add = (
        w.constant(np.array(v, np.float64).reshape(along if len(v) > 1 else ()))
        for v in (stated.mult, [n + (1 << stated.shift >> 1) for n in stated.add])
    )
    total = w.node("Add", w.node("Mul", w.cast(x, "float64"), mult), add)
    steps = w.node("Mul", total, w.constant(np.array(2.0**-stated.shift)))
    ends = (w.constant(np.array(end, np.float64)) for end in (stated.low, stated.high))
    return w.cast(w.node("Clip", w.node("Floor", steps), *ends), "float32")


# the results of every operator are requantised where its attributes say so
WRITE: Mapping[str, Write] = {"requant_shift": lambda w, step, x: x}
