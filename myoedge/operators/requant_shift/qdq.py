# SPDX-License-Identifier: Apache-2.0
"""Requantisation that a file gives as ONNX writes it: in float64, where it is exact."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.stated_requant import ATTRIBUTE, StatedRequant
from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Check, Constants, Write, Writer, float_constants


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


WRITE: Mapping[str, Write] = {"requant_shift": requantised}
CALLS: Mapping[str, Constants] = {"requant_shift": float_constants}


def _check(attrs: Attrs, shape: Shape) -> None:
    axis = attrs["axis"]
    if type(axis) is not int or not 0 <= axis < len(shape):
        raise ValueError(f"axis {axis} of {len(shape)}")
    StatedRequant(*attrs[ATTRIBUTE]).checked(shape[axis])


CHECKS: Mapping[str, Check] = {"requant_shift": _check}
