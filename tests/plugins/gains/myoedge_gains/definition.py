# SPDX-License-Identifier: Apache-2.0
"""A tensor times a constant factor per channel."""

from __future__ import annotations

from dataclasses import replace

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
from myoedge.operators.common_rules import elementwise, same_shape, stored_bound, with_requant
from myoedge.operators.kernel import on_cluster
from myoedge_gains.tiling import in_tiles


def real(attrs: Attrs, x: Array, factors: Array) -> Array:
    """x [*, C], factors [C] -> [*, C]"""
    return np.asarray(x * factors)


def quantize(site: QuantizeInputs) -> QuantizedParams:
    """acc = (x - x_zero) * gain, at most 255 * 127, requantised; gain int8 [C]."""
    x, factors = site.params(0), site.constant(1)
    step = max(float(np.abs(factors).max()), 1e-30) / 127
    gain = np.rint(factors / step).astype(np.int8)
    factor = x.scale * step / site.target.scale
    made = with_requant(site, factor, 255 * 127, {"x_zero": x.zero_point})
    return replace(made, arrays={"gain": gain})


def integer(step: QuantizedNode, x: Array) -> Array:
    """x int8 -> int8."""
    return step.requantize((x.astype(np.int64) - step["x_zero"]) * step["gain"])


register(
    OpDef(
        name="gains",
        doc="a tensor times a constant factor per channel",
        shape=same_shape,
        nest=elementwise,
        real=real,
        integer=integer,
        quantize=quantize,
        acc_bound=stored_bound,
        kernels=on_cluster(in_tiles),
        weights=(1,),
        epilogue=True,
    )
)
