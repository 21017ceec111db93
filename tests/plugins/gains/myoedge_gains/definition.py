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
from myoedge.operators.common_rules import elementwise, same_shape, stored_bound, with_requant
from myoedge.operators.kernel import on_cluster
from myoedge_gains.tiling import in_tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class GainsParams(RequantParams):
    """Integer constants of the layer: gain int8 [C]."""

    x_zero: int
    acc_bound: int
    gain: Array


def real(attrs: Attrs, x: Array, factors: Array) -> Array:
    """x [*, C], factors [C] -> [*, C]"""
    return np.asarray(x * factors)


def quantize(site: QuantizeInputs) -> GainsParams:
    """Return the constants of y = requantize((x - x_zero) * gain); the sum is at most 255 * 127."""
    x, factors = site.params(0), site.constant(1)
    step = max(float(np.abs(factors).max()), 1e-30) / 127
    gain = np.rint(factors / step).astype(np.int8)
    factor = x.scale * step / site.target.scale
    numbers = {"x_zero": x.zero_point, "gain": gain}
    return with_requant(GainsParams, site, factor, 255 * 127, numbers)


def integer(step: QuantizedNode, x: Array) -> Array:
    """Compute y = requantize((x - x_zero) * gain): x int8 [..., C] -> y int8 [..., C]."""
    return step.requantize((x.astype(np.int64) - step.integers.x_zero) * step.integers.gain)


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
        kernels=on_cluster(in_tiles),
        weights=(1,),
        epilogue=True,
    )
)
