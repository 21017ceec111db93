# SPDX-License-Identifier: Apache-2.0
"""Sums along an axis as ONNX writes them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer


def _cumsum(w: Writer, step: QuantizedNode, x: str) -> str:
    return w.node("CumSum", x, w.constant(np.array(step.attrs["axis"], np.int64)))


WRITE: Mapping[str, Write] = {"cumsum": _cumsum}
