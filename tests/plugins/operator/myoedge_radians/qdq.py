# SPDX-License-Identifier: Apache-2.0
"""A tensor times a number as ONNX writes it."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, number


def _write(w: Writer, step: QuantizedNode, x: str) -> str:
    return w.node("Mul", x, number(w, step.attrs["factor"]))


WRITE: Mapping[str, Write] = {"radians": _write}
