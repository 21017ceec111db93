# SPDX-License-Identifier: Apache-2.0
"""Multiplication of a tensor by a constant number."""

from __future__ import annotations

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OpDef, QuantizedNode, QuantizeInputs, register
from myoedge.operators.common_rules import (
    CentredParams,
    broadcast_streaming_rule,
    elementwise,
    same_attrs,
    same_shape,
    stored_bound,
    with_requant,
)
from myoedge.operators.kernel import on_cluster
from myoedge.operators.TEMPLATE.tiling import in_tiles


def real(attrs: Attrs, x: Array) -> Array:
    return np.asarray(x * np.float32(attrs["factor"]))


def quantize(site: QuantizeInputs) -> CentredParams:
    """Return the constants of y = requantize(x - x_zero); |x - x_zero| <= 255."""
    x = site.params(0)
    factor = x.scale * site.attrs["factor"] / site.target.scale
    return with_requant(CentredParams, site, factor, 255, {"x_zero": x.zero_point})


def integer(step: QuantizedNode, x: Array) -> Array:
    """Compute y = requantize(x - x_zero): x int8 [...] -> y int8 of the same shape."""
    return step.requantize(x.astype(np.int64) - step.integers.x_zero)


TEMPLATE = register(
    OpDef(
        name="TEMPLATE",
        doc="a tensor times a number",
        shape=same_shape,
        nest=elementwise,
        real=real,
        integer=integer,
        quantize=quantize,
        params=(CentredParams,),
        acc_bound=stored_bound,
        kernels=on_cluster(in_tiles),
        epilogue=True,
        permute_rule=same_attrs,
        streaming_rule=broadcast_streaming_rule,
    )
)
