# SPDX-License-Identifier: Apache-2.0
"""Filters along time, one signal after another, with products of 64 bits: common parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import LoopNest, QuantizedNode, outer_inner
from myoedge.operators.common_rules import elementwise


def kept_nest(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> LoopNest:
    """`nest` of operators that give the state behind the last sample."""
    return elementwise(attrs, [], out)


def without_time(attrs: Attrs, x: Shape, *_: Shape) -> Shape:
    """`shape` of one number a signal."""
    return (*x[: attrs["axis"]], *x[attrs["axis"] + 1 :])


def sizes(step: QuantizedNode) -> dict[str, int]:
    """Literals: of signals beside time, of samples along it, and whether results have 16 bits."""
    outer, steps, inner = outer_inner(step.shapes[0], step.attrs["axis"])
    return {"outer": outer, "steps": steps, "inner": inner, "wide": step.element_type == INT16}


def each_sample(step: QuantizedNode, cycles: float) -> list[tuple[int, float]]:
    """`phases`: a core has a signal, whose samples take so many cycles each."""
    outer, steps, inner = outer_inner(step.shapes[0], step.attrs["axis"])
    return [(outer * inner, steps * cycles)]


def factor(real: float, y: QuantParams, most: int = 62) -> dict[str, int]:
    """mult, of 30 bits or fewer, offset and shift of a factor to the output.

    most   bits of the shift: mult is smaller where it would have more
    """
    shift = min(30 - math.frexp(real)[1], most)
    offset = (1 << (shift - 1)) + (y.zero_point << shift)
    return {"mult": round(math.ldexp(real, shift)), "offset": offset, "shift": shift}


def stored(step: QuantizedNode, found: Array) -> Array:
    """int64 [T, ..] requantised with the scalars of `factor`, time axis in its place."""
    scaled = (found * step["mult"] + step["offset"]) >> step["shift"]
    y = np.clip(scaled, step.low, step.high).astype(step.element_type.dtype)
    return np.asarray(np.moveaxis(y, 0, step.attrs["axis"]))
