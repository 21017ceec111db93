# SPDX-License-Identifier: Apache-2.0
"""Export of atan2 as ONNX nodes; ONNX has only the arctangent of a quotient."""

from __future__ import annotations

import math
from collections.abc import Mapping

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, number

TINY = 1e-30  # replaces a divisor of 0


def atan2(w: Writer, step: QuantizedNode, y: str, x: str) -> str:
    """Export atan2 as the arctangent of the smaller over the larger magnitude, moved to the point's
    quadrant."""
    a, b, zero = w.node("Abs", y), w.node("Abs", x), number(w, 0.0)
    small = w.node("Div", w.node("Min", a, b), w.node("Max", a, b, number(w, TINY)))
    angle = w.node("Atan", small)

    def turned(condition: str, around: float, angle: str) -> str:
        other = w.node("Sub", number(w, around), angle)
        return w.node("Where", condition, other, angle)

    angle = turned(w.node("Greater", a, b), math.pi / 2, angle)
    angle = turned(w.node("Less", x, zero), math.pi, angle)
    return turned(w.node("Less", y, zero), 0.0, angle)


WRITE: Mapping[str, Write] = {"atan2": atan2}
