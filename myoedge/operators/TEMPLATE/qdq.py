# SPDX-License-Identifier: Apache-2.0
"""Export of the multiplication by a number as ONNX nodes."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, number


def _write(w: Writer, step: QuantizedNode, x: str) -> str:
    return w.node("Mul", x, number(w, step.attrs["factor"]))


WRITE: Mapping[str, Write] = {"TEMPLATE": _write}
