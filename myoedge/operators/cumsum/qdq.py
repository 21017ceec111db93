# SPDX-License-Identifier: Apache-2.0
"""Sums along an axis as ONNX writes them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.operators.qdq import Write

WRITE: Mapping[str, Write] = {
    "cumsum": lambda w, step, x: w.node("CumSum", x, w.constant(np.array(step.attrs["axis"])))
}
