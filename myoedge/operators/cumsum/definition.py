# SPDX-License-Identifier: Apache-2.0
"""Cumulative sums along an axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OpDef, QuantizedNode, QuantizeInputs, register
from myoedge.operators.common_rules import (
    CentredParams,
    axis_permuted,
    elementwise,
    same_shape,
    stored_bound,
    stream_except_axis,
    sum_bound,
    with_requant,
)
from myoedge.operators.cumsum.tiling import in_tiles
from myoedge.operators.format import LIMITED, int16_where
from myoedge.operators.kernel import on_cluster


def real(attrs: Attrs, x: Array) -> Array:
    return np.cumsum(x, axis=attrs["axis"], dtype=x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class CumsumParams(CentredParams):
    """Integer constants of a cumulative sum of x - x_zero.

    drop   low bits dropped from a sum before requantisation
    """

    drop: int


def quantize(site: QuantizeInputs) -> CumsumParams:
    """Return the constants of a cumulative sum of x - x_zero; with int16, sums drop low bits so
    that they fit in int32."""
    x, y, n = site.params(0), site.target, site.shapes[0][site.attrs["axis"]]
    bound, wide = sum_bound(x, n), site.has_int16()
    drop = max(bound.bit_length() - 31, 0) if wide else 0
    scalars = {"x_zero": x.zero_point, "drop": drop}
    factor = math.ldexp(x.scale / y.scale, drop)
    return with_requant(CumsumParams, site, factor, bound >> drop, scalars)


def integer(step: QuantizedNode, x: Array) -> Array:
    """Compute the requantised cumulative sum of x - x_zero along attrs["axis"]; int8 or int16."""
    sums = np.cumsum(x.astype(np.int64) - step.integers.x_zero, axis=step.attrs["axis"])
    drop = step.integers.drop
    return step.requantize((sums + ((1 << drop) >> 1)) >> drop)


CUMSUM = register(
    OpDef(
        name="cumsum",
        doc="cumulative sums along an axis",
        shape=same_shape,
        nest=elementwise,
        real=real,
        integer=integer,
        quantize=quantize,
        params=(CumsumParams,),
        acc_bound=stored_bound,
        kernels=on_cluster(in_tiles, *int16_where(LIMITED)),
        epilogue=True,
        permute_rule=axis_permuted,
        streaming_rule=stream_except_axis,
    )
)
