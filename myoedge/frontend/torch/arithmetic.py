# SPDX-License-Identifier: Apache-2.0
"""Rows of the import table that do arithmetic: two tensors, or a tensor and a number."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.elementwise.arithmetic_rows import combined
from myoedge.operators.graph_builder import GraphBuilder, weights
from myoedge.operators.import_rows import Arguments


def masked_fill(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    return where(d, {"condition": a["mask"], "self": a["value"], "other": a["self"]}, out)


def where(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """A constant choice: both sides, each with zeros where it is not chosen, added up."""
    chosen = weights(d, a["condition"], "a mask").astype(bool)
    sides = ((a["self"], chosen), (a["other"], ~chosen))
    (x, kept), (y, _) = sides if _value(d, a["self"]) is None else sides[::-1]
    value = _value(d, y)
    if value is None:
        total = combined(d, "add", _masked(d, x, kept), _masked(d, y, ~kept), 1.0, out)
    else:
        total = _filled(d, x, kept, np.where(kept, np.float32(0), value), out)
    return total if d.shape(total) == tuple(out) else d.add("expand", total, shape=tuple(out))


def _value(d: GraphBuilder, x: Any) -> Array | None:
    """A number, or a constant; None of what is computed."""
    return np.asarray(x, np.float32) if isinstance(x, int | float) else d.constants.get(x)


def _masked(d: GraphBuilder, x: str, mask: Array) -> str:
    return d.add("mul", x, d.constant(mask.astype(np.float32)))


def _filled(d: GraphBuilder, x: str, kept: Array, rest: Array, out: Shape) -> str:
    """x where it is kept, and the rest; to x itself minus infinity may be added."""
    left = kept | np.isneginf(rest)
    if not left.all():
        x = _masked(d, x, left)
    return combined(d, "add", x, d.constant(rest), 1.0, out) if rest.any() else x
