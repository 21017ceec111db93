# SPDX-License-Identifier: Apache-2.0
"""Sums along an axis up to every element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Attrs, Shape
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
    limited,
    same_shape,
    stored_bound,
    sum_bound,
    wide_scalars,
    with_requant,
)
from myoedge.operators.cumsum.tiling import in_tiles
from myoedge.operators.kernel import on_cluster

LENGTH_MAX = 2**15  # elements of 16 bits


def real(attrs: Attrs, x: Array) -> Array:
    return np.cumsum(x, axis=attrs["axis"], dtype=x.dtype)


def quantize(site: QuantizeInputs) -> QuantizedParams:
    """Sums of x - x_zero, requantised."""
    x, n = site.params(0), site.shapes[0][site.attrs["axis"]]
    scalars = {"x_zero": x.zero_point, **wide_scalars(x, site.target)}
    return with_requant(site, x.scale / site.target.scale, sum_bound(x, n), scalars)


def integer(step: QuantizedNode, x: Array) -> Array:
    """x int8 or int16 -> int8 or int16."""
    sums = np.cumsum(x.astype(np.int64) - step["x_zero"], axis=step.attrs["axis"])
    return step.requantize(sums)


def accepts_int16(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> bool:
    """Whether a sum of all elements keeps within 32 bits."""
    return shapes[0][attrs["axis"]] <= LENGTH_MAX


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
        accepts_int16=accepts_int16,
        emits_int16=limited,
        permute_rule=axis_permuted,
        streaming_rule=beside_axis,
    )
)
