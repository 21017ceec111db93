# SPDX-License-Identifier: Apache-2.0
"""Rows of the import table that compute: products, batch norm, pooling, reductions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from myoedge.frontend.addends import Addends, Sum
from myoedge.frontend.masks import Masked, decide, masked_attention, masked_softmax
from myoedge.graph.ir import Shape
from myoedge.operators.attention.graph_form import fits
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.import_rows import Arguments, AtenRow, first
from myoedge.operators.softmax.definition import ROW_MAX


def attention(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Heads [.., H, N, D]; what the mask leaves is a window of keys, or an operand."""
    q, k, v = a["query"], a["key"], a["value"]
    if not fits(*(d.shape(x) for x in (q, k, v))):
        raise Unsupported(f"attention of {[list(d.shape(x)) for x in (q, k, v)]}")
    scale = 1.0 / math.sqrt(d.shape(q)[-1]) if a.get("scale") is None else float(a["scale"])
    shape = (*d.shape(q)[:-1], d.shape(k)[-2])
    given = "" if a.get("attn_mask") is None else str(a["attn_mask"])
    found = decide(d, _attention_bias(d, given, shape, causal=a["is_causal"]), shape, -1, bare=True)
    if found is None:
        found = Masked(given if given not in d.constants or d.constants[given].any() else "")
    return masked_attention(d, q, k, v, scale, found, shape)


def _attention_bias(d: GraphBuilder, mask: str, shape: Shape, *, causal: bool) -> Sum:
    """Addend of scores; a boolean mask adds nothing where it is true."""
    total = Addends.of(d, mask) if mask else Sum(())
    if mask in d.constants and d.constants[mask].dtype == bool:
        total = Sum((), np.where(d.constants[mask], 0.0, -np.inf))
    if not causal:
        return total
    rows, keys = shape[-2:]
    seen = np.tri(rows, keys) > 0.0
    return Sum(total.terms, np.where(seen, total.known, -np.inf))


def along(op: str) -> AtenRow:
    def row(d: GraphBuilder, a: Arguments, out: Any) -> str:
        x = first(a)
        axis = a["dim"] % len(d.shape(x))
        if d.shape(x)[axis] > ROW_MAX:
            raise Unsupported(f"{op} over {d.shape(x)[axis]} elements, at most {ROW_MAX}")
        return masked_softmax(d, x, axis) if op == "softmax" else d.add(op, x, axis=axis)

    return row
