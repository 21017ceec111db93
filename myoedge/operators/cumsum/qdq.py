# SPDX-License-Identifier: Apache-2.0
"""Export of cumulative sums as ONNX nodes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.operators.qdq import Write

WRITE: Mapping[str, Write] = {
    "cumsum": lambda w, step, x: w.node("CumSum", x, w.constant(np.array(step.attrs["axis"])))
}
