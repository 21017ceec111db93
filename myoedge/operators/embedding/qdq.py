# SPDX-License-Identifier: Apache-2.0
"""Export of rows by integers as ONNX nodes: Gather of int8 rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer


def _embedding(w: Writer, step: QuantizedNode, ids: str) -> str:
    first, rows = step.attrs["first"], step.integers.rows
    row = w.node("Sub", w.cast(ids, "int64"), w.constant(np.array(first, np.int64)))
    limits = (w.constant(np.array(limit, np.int64)) for limit in (0, len(rows) - 1))
    params = w.params[step.node.name]
    table = w.node(
        "DequantizeLinear",
        w.constant(rows, f"{w.label}/rows"),
        w.constant(np.array(params.scale, np.float32)),
        w.constant(np.array(params.zero_point, rows.dtype)),
    )
    return w.node("Gather", table, w.node("Clip", row, *limits), axis=0)


WRITE: Mapping[str, Write] = {"embedding": _embedding}
