# SPDX-License-Identifier: Apache-2.0
"""Rows of the import table that compute: products, batch norm, pooling, reductions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from myoedge.frontend.masks import refuse_masked_rows, refuse_no_key
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.attention.graph_form import Added, attend, fits, parted
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.import_rows import Arguments, AtenRow, first
from myoedge.operators.softmax.definition import ROW_MAX


def attention(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Heads [.., H, N, D]; a mask that is a window of keys costs nothing, any other is added."""
    q, k, v = a["query"], a["key"], a["value"]
    if not fits(*(d.shape(x) for x in (q, k, v))):
        raise Unsupported(f"attention of {[list(d.shape(x)) for x in (q, k, v)]}")
    width, rows, keys = d.shape(q)[-1], d.shape(q)[-2], d.shape(k)[-2]
    scale = 1.0 / math.sqrt(width) if a.get("scale") is None else float(a["scale"])
    mask = "" if a.get("attn_mask") is None else str(a["attn_mask"])
    if mask in d.constants:
        added = _known(d, d.constants[mask], rows, keys, causal=a["is_causal"])
    else:
        added = Added((rows + keys, 0) if a["is_causal"] else None, mask)
    return attend(d, q, k, v, scale=scale, added=added)


def _known(d: GraphBuilder, mask: Array, rows: int, keys: int, *, causal: bool) -> Added:
    """Additive form of a mask: of a boolean mask 0 where it is true."""
    values = np.where(mask, 0.0, -np.inf) if mask.dtype == bool else mask
    if causal:
        values = np.where(np.tri(rows, keys, dtype=bool), values, -np.inf)
    refuse_no_key(values)
    return parted(values, rows, keys).put(d)


def along(op: str) -> AtenRow:
    def row(d: GraphBuilder, a: Arguments, out: Any) -> str:
        x = first(a)
        axis = a["dim"] % len(d.shape(x))
        if d.shape(x)[axis] > ROW_MAX:
            raise Unsupported(f"{op} over {d.shape(x)[axis]} elements, at most {ROW_MAX}")
        refuse_masked_rows(d, x, axis)
        return d.add(op, x, axis=axis)

    return row
