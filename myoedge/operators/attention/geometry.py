# SPDX-License-Identifier: Apache-2.0
"""Operands of attention, and the keys that each row attends to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import AffineExpr


def broadcast_dims(shape: Shape, *lead: AffineExpr) -> tuple[AffineExpr, ...]:
    """Return the index expressions of a bias or mask along batch and heads; () along an axis of
    size 1, which is broadcast.

    shape   shape of the bias or mask
    lead    index expressions of the loops over batch and heads
    """
    return tuple(dim if n > 1 else () for n, dim in zip(shape, lead, strict=False))


def added(attrs: Attrs, shapes: Sequence[Shape]) -> dict[str, int]:
    """Return name -> position of the optional operands: {"bias": 3, "mask": 4} for both."""
    count, masked = len(shapes), bool(attrs.get("masked"))
    return ({"bias": 3} if count - masked > 3 else {}) | ({"mask": count - 1} if masked else {})


def seen(attrs: Attrs, rows: int, keys: int) -> tuple[Array, Array]:
    """Return the half-open interval of keys that each row attends to, as two int64 arrays [rows]:
    first key and end.

    attrs["window"]   (before, after): row i attends to keys i - before .. i + after; None: to all
                      keys
    """
    at = np.arange(rows)
    before, after = attrs["window"] or (rows + keys, rows + keys)
    return np.maximum(at - before, 0), np.minimum(at + after + 1, keys)


def in_window(attrs: Attrs, rows: int, keys: int) -> Array:
    """Return the window as a bool mask [rows, keys]: whether the row attends to the key."""
    first, end = seen(attrs, rows, keys)
    at = np.arange(keys)
    return np.asarray((at >= first[:, None]) & (at < end[:, None]))


def sizes_of(step: QuantizedNode) -> dict[str, Any]:
    """Return the sizes of an attention layer, by field name of its C struct."""
    (b, n, h, d), (_, m, _, _), v = step.shapes[:3]
    before, after = step.attrs["window"] or (n + m, n + m)
    sizes = {"batch": b, "rows": n, "heads": h, "width": d, "keys": m, "out_width": v[2]}
    return {
        **sizes,
        "v_row": v[3],
        "before": before,
        "after": after,
        "flat": int(bool(step.attrs.get("flat"))),
    }
