# SPDX-License-Identifier: Apache-2.0
"""Cumulative sums along an axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.nest.formulas import rounded_shift, running_total
from myoedge.nest.ir import Axis, Expr, Nest
from myoedge.numerics.arrays import Array
from myoedge.operators.attributes import AXIS
from myoedge.operators.base import OpDef, QuantizedNode, QuantizeInputs, register
from myoedge.operators.common_rules import (
    CentredParams,
    axis_permuted,
    same_shape,
    stream_except_axis,
    sum_bound,
    with_requant,
)
from myoedge.operators.cumsum.tiling import in_tiles
from myoedge.operators.described import requantised, unary_nest
from myoedge.operators.format import LIMITED, int16_where
from myoedge.operators.kernel import on_cluster
from myoedge.operators.traits import Constants, Described, stored_bound


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


def meaning(step: QuantizedNode[CumsumParams]) -> Nest:
    """Describe the requantised cumulative sum of x - x_zero along attrs["axis"]."""
    c = step.integers

    def formula(x: Expr, axes: tuple[Axis, ...]) -> Expr:
        sums = running_total(axes[step.attrs["axis"]], x - c.x_zero)
        return requantised(step, rounded_shift(sums, c.drop))

    return unary_nest(step, formula)


CUMSUM = register(
    OpDef(
        name="cumsum",
        attributes={"axis": AXIS},
        doc="cumulative sums along an axis",
        shape=same_shape,
        real=real,
        integer=Described(meaning, stored_bound),
        constants=Constants(quantize, kinds=(CumsumParams,)),
        kernels=on_cluster(in_tiles, *int16_where(LIMITED)),
        epilogue=True,
        permute_rule=axis_permuted,
        streaming_rule=stream_except_axis,
    )
)
