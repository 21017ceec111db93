# SPDX-License-Identifier: Apache-2.0
"""Import rows of norms of whole numbers."""

from __future__ import annotations

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.import_rows import Arguments, ImportRow
from myoedge.operators.requant_shift.import_rows import shift_of, whole_numbers
from myoedge.operators.whole_norm.definition import LENGTH_MAX


def whole_norm(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    """iLayerNorm with a bias, iRMSNorm without. Errors: Unsupported for longer rows."""
    if out[-1] > LENGTH_MAX:
        raise Unsupported(f"rows of {out[-1]:,} numbers", f"use rows of at most {LENGTH_MAX:,}")
    bias = a.get("bias")
    offset = np.zeros(a["weight"].shape) if bias is None else bias
    constants = (
        b.constant(np.broadcast_to(np.array(whole_numbers(v, what), np.float32), out[-1:]))
        for v, what in ((a["weight"], "a weight"), (offset, "a bias"))
    )
    shift, centred = shift_of(a["D"]), bias is not None
    return b.add("whole_norm", a["self"], *constants, shift=shift, centred=centred)


ROWS = (
    ImportRow(
        "whole_norm",
        whole_norm,
        onnx="PACTOps.iLayerNorm(self, weight: array, bias: array, *, D); "
        "PACTOps.iRMSNorm(self, weight: array, *, D)",
    ),
)
