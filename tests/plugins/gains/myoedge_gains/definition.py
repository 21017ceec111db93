# SPDX-License-Identifier: Apache-2.0
"""A tensor times a constant factor per channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.operators.base import (
    OpDef,
    QuantizedNode,
    QuantizeInputs,
    RequantParams,
    register,
)
from myoedge.operators.common_rules import (
    elementwise,
    last_axis_kept,
    same_shape,
    stored_bound,
    stream_except_last_axis,
    sum_bound,
    with_requant,
)
from myoedge.operators.core_kernels import by_width
from myoedge.operators.format import LIMITED, int16_where
from myoedge.operators.learnt import BOUND, INTEGERS_16, REQUANT, Learnt, requantised_fits
from myoedge_gains.tiling import in_tiles, wide_in_tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class GainsParams(RequantParams):
    """Integer constants of the layer: gain int8 [C], of the int16 kernel int16 [C]."""

    x_zero: int
    acc_bound: int
    gain: Array


def real(attrs: Attrs, x: Array, factors: Array) -> Array:
    """x [*, C], factors [C] -> [*, C]"""
    return np.asarray(x * factors)


def quantize(site: QuantizeInputs) -> GainsParams:
    """Return the constants of y = requantize((x - x_zero) * gain); |gain| <= 127, or 32,767."""
    x, factors = site.params(0), site.constant(1)
    kind, most = (np.int16, 32767) if site.has_int16() else (np.int8, 127)
    step = max(float(np.abs(factors).max()), 1e-30) / most
    gain = np.rint(factors / step).astype(kind)
    factor = x.scale * step / site.target.scale
    numbers = {"x_zero": x.zero_point, "gain": gain}
    return with_requant(GainsParams, site, factor, sum_bound(x, 1) * most, numbers)


def integer(step: QuantizedNode, x: Array) -> Array:
    """Compute y = requantize((x - x_zero) * gain): x [..., C] -> y [..., C], int8 or int16."""
    return step.requantize((x.astype(np.int64) - step.integers.x_zero) * step.integers.gain)


def fits(integers: GainsParams, site: QuantizeInputs) -> bool:
    """Return whether products and their requantisation stay in int32."""
    most = sum_bound(site.params(0), 1) * int(np.abs(integers.gain.astype(np.int64)).max())
    return most <= integers.acc_bound and requantised_fits(integers, integers.acc_bound)


LEARNT = Learnt({**REQUANT, "gain": INTEGERS_16, "acc_bound": BOUND}, fits)

register(
    OpDef(
        name="gains",
        doc="a tensor times a constant factor per channel",
        shape=same_shape,
        nest=elementwise,
        real=real,
        integer=integer,
        quantize=quantize,
        params=(GainsParams,),
        acc_bound=stored_bound,
        kernels=by_width(in_tiles, wide_in_tiles, *int16_where(LIMITED)),
        weights=(1,),
        learnt=LEARNT,
        epilogue=True,
        permute_rule=last_axis_kept,
        streaming_rule=stream_except_last_axis,
    )
)
