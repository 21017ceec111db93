# SPDX-License-Identifier: Apache-2.0
"""Linear recurrences along an axis, element by element: h_t = a_t h_(t-1) + b_t, h_0 = 0."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.operators.base import (
    OpDef,
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    register,
)
from myoedge.operators.common_rules import (
    all_beside_axis,
    axis_permuted,
    elementwise,
    same_shape,
    stored_bound,
)
from myoedge.operators.kernel import on_cluster
from myoedge.operators.scan.tiling import in_tiles

STATE_BITS = 7  # behind the point, of a state in steps of the result: 255 << 7 is 16 bits
MOST = (1 << 15) - 1


def along(attrs: Attrs, a: Array, b: Array, step: Callable[[Array, Array, Array], Array]) -> Array:
    """States of every step, from zero; `step` makes one of (a, state, b)."""
    moved_a, moved_b = (np.moveaxis(x, attrs["axis"], 0) for x in (a, b))
    state, states = np.zeros_like(moved_b[0]), []
    for at, more in zip(moved_a, moved_b, strict=True):
        state = step(at, state, more)
        states.append(state)
    return np.ascontiguousarray(np.moveaxis(np.stack(states), 0, attrs["axis"]))


def real(attrs: Attrs, a: Array, b: Array) -> Array:
    """a, b of one shape."""
    return along(attrs, a, b, lambda a, state, b: a * state + b)


def _multiplier(factor: float) -> tuple[int, int]:
    """(mult, shift): factor = mult / 2^shift, mult of 15 bits."""
    shift = int(np.clip(15 - math.frexp(factor)[1], 0, 30))
    return min(round(math.ldexp(factor, shift)), MOST), shift


def quantize(site: QuantizeInputs) -> QuantizedParams:
    """s = clip16((w s + half >> bits) + (b b_mult + half >> b_shift)), y = s + half >> 7.

    w = a a_mult + half >> a_shift has `bits` behind the point.
    """
    a, b, y = site.params(0), site.params(1), site.target
    largest = a.scale * max(abs(a.low - a.zero_point), abs(a.high - a.zero_point))
    bits = int(np.clip(15 - math.frexp(largest)[1], 0, 15))
    a_mult, a_shift = _multiplier(math.ldexp(a.scale, bits))
    b_mult, b_shift = _multiplier(math.ldexp(b.scale / y.scale, STATE_BITS))
    numbers = {
        "a_zero": a.zero_point, "a_mult": a_mult, "a_shift": a_shift, "bits": bits,
        "b_zero": b.zero_point, "b_mult": b_mult, "b_shift": b_shift, "y_zero": y.zero_point,
    }  # fmt: skip
    return QuantizedParams({**numbers, "acc_bound": (MOST + 1) ** 2 + (1 << 15)})


def integer(step: QuantizedNode, a: Array, b: Array) -> Array:
    """a, b int8 -> int8."""

    def scaled(x: Array, name: str) -> Array:
        half = (1 << step[f"{name}_shift"]) >> 1
        centred = x.astype(np.int64) - step[f"{name}_zero"]
        return np.asarray((centred * step[f"{name}_mult"] + half) >> step[f"{name}_shift"])

    half = (1 << step["bits"]) >> 1

    def moved(w: Array, state: Array, more: Array) -> Array:
        return np.asarray(np.clip(((w * state + half) >> step["bits"]) + more, -MOST - 1, MOST))

    weights = np.clip(scaled(a, "a"), -MOST - 1, MOST)
    states = along(step.attrs, weights, scaled(b, "b"), moved)
    y = ((states + (1 << STATE_BITS >> 1)) >> STATE_BITS) + step["y_zero"]
    return np.asarray(np.clip(y, step.low, step.high), np.int8)


SCAN = register(
    OpDef(
        name="scan",
        doc="linear recurrence along an axis: h_t = a_t * h_(t-1) + b_t, states of 16 bits",
        shape=same_shape,
        nest=elementwise,
        real=real,
        integer=integer,
        quantize=quantize,
        acc_bound=stored_bound,
        kernels=on_cluster(in_tiles),
        permute_rule=axis_permuted,
        streaming_rule=all_beside_axis,
    )
)
