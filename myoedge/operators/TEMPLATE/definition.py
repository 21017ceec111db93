# SPDX-License-Identifier: Apache-2.0
"""Multiplication of a tensor by a constant number."""

from __future__ import annotations

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.nest.ir import Nest
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
from myoedge.operators.described import requantised, unary_nest
from myoedge.operators.kernel import on_cluster
from myoedge.operators.TEMPLATE.tiling import in_tiles


def real(attrs: Attrs, x: Array) -> Array:
    return np.asarray(x * np.float32(attrs["factor"]))


def quantize(site: QuantizeInputs) -> CentredParams:
    """Return the constants of y = requantize(x - x_zero); |x - x_zero| <= 255."""
    x = site.params(0)
    factor = x.scale * site.attrs["factor"] / site.target.scale
    return with_requant(CentredParams, site, factor, 255, {"x_zero": x.zero_point})


def meaning(step: QuantizedNode[CentredParams]) -> Nest:
    """Describe y = requantize(x - x_zero), element by element."""
    return unary_nest(step, lambda x, axes: requantised(step, x - step.integers.x_zero))


TEMPLATE = register(
    OpDef(
        name="TEMPLATE",
        doc="a tensor times a number",
        shape=same_shape,
        nest=elementwise,
        real=real,
        meaning=meaning,
        quantize=quantize,
        params=(CentredParams,),
        acc_bound=stored_bound,
        kernels=on_cluster(in_tiles),
        epilogue=True,
        permute_rule=same_attrs,
        streaming_rule=broadcast_streaming_rule,
    )
)
