# SPDX-License-Identifier: Apache-2.0
"""Sums along an axis up to every element."""

from __future__ import annotations

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
    axis_permuted,
    beside_axis,
    elementwise,
    same_shape,
    stored_bound,
    with_requant,
)
from myoedge.operators.cumsum.tiling import in_tiles
from myoedge.operators.kernel import on_cluster


def real(attrs: Attrs, x: Array) -> Array:
    return np.cumsum(x, axis=attrs["axis"], dtype=x.dtype)


def quantize(site: QuantizeInputs) -> QuantizedParams:
    """Sums of x - x_zero, at most 255 an element, requantised."""
    x, n = site.params(0), site.shapes[0][site.attrs["axis"]]
    return with_requant(site, x.scale / site.target.scale, 255 * n, {"x_zero": x.zero_point})


def integer(step: QuantizedNode, x: Array) -> Array:
    """x int8 -> int8."""
    sums = np.cumsum(x.astype(np.int64) - step["x_zero"], axis=step.attrs["axis"])
    return step.requantize(sums)


CUMSUM = register(
    OpDef(
        name="cumsum",
        doc="sums along an axis up to every element",
        shape=same_shape,
        nest=elementwise,
        real=real,
        integer=integer,
        quantize=quantize,
        acc_bound=stored_bound,
        kernels=on_cluster(in_tiles),
        epilogue=True,
        permute_rule=axis_permuted,
        streaming_rule=beside_axis,
    )
)
