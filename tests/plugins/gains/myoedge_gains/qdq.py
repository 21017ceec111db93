# SPDX-License-Identifier: Apache-2.0
"""A tensor times a factor per channel as ONNX writes it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer


def _write(w: Writer, step: QuantizedNode, x: str) -> str:
    factors = w.floats[step.node.inputs[1]].astype(np.float32)
    return w.node("Mul", x, w.constant(factors))


WRITE: Mapping[str, Write] = {"gains": _write}
