# SPDX-License-Identifier: Apache-2.0
"""Export of gathers by computed indices as ONNX nodes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, whole


def _gather(w: Writer, step: QuantizedNode, x: str, ids: str) -> str:
    n = step.shapes[0][1]
    limits = (w.constant(np.array(limit, np.int64)) for limit in (-n, n - 1))
    inside = w.node("Clip", w.cast(ids, "int64"), *limits)
    return w.node("GatherElements", x, w.node("Expand", inside, whole(w, *step.out)), axis=1)


WRITE: Mapping[str, Write] = {"gather": _gather}
