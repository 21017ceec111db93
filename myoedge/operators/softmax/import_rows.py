# SPDX-License-Identifier: Apache-2.0
"""Import rows of the index of the largest or smallest element."""

from __future__ import annotations

import math

from myoedge.graph.ir import Shape
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    reshape,
)
from myoedge.operators.import_rows import (
    Arguments,
    Calls,
    OnnxCall,
    OnnxRow,
    calls,
)


def argmax(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    x, keepdim = a["self"], bool(a["keepdim"])
    if a["dim"] is not None:
        return d.add("argmax", x, axis=a["dim"] % len(d.shape(x)), keepdim=keepdim)
    lead = (1,) * (len(out) - 1)
    flat = reshape(d, x, (*lead, math.prod(d.shape(x))))
    return d.add("argmax", flat, axis=len(lead), keepdim=keepdim)


def argmin(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    return argmax(d, {**a, "self": d.add("table", a["self"], chain=(("neg",),))}, out)


def arg(sign: float) -> OnnxRow:
    """ArgMax and ArgMin: the first one, as int32."""
    find = argmax if sign > 0 else argmin

    def row(c: OnnxCall) -> str:
        if c.attrs.get("select_last_index"):
            raise Unsupported("select_last_index=1: the first index is what there is")
        axis, keep = int(c.attrs.get("axis", 0)), bool(c.attrs.get("keepdims", 1))
        return find(c.builder, {"self": c.x(), "dim": axis, "keepdim": keep}, c.out)

    return row


ATEN: Calls = {"argmax": {**calls(argmax, "argmax"), **calls(argmin, "argmin")}}
ONNX: Calls = {"argmax": {"ArgMax": arg(1.0), "ArgMin": arg(-1.0)}}
