# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding: pairs of elements are rotated by angles that depend on the position.

A pair is two adjacent elements. With attrs["halves"] it is element i of the first half of a row and
element i of the second half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.formulas import broadcast_axes, equal, in_int32, index_of, where
from myoedge.nest.ir import Expr, Nest
from myoedge.nest.nodes import Assumed
from myoedge.numerics.arrays import Array, outer_inner
from myoedge.numerics.element_type import INT8
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import INT32_MAX, MULT_MAX
from myoedge.operators.attributes import FLAG, Values, is_whole, optional
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs, add_operator
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import axis_permuted, last_axis_kept, same_shape
from myoedge.operators.described import constant, nest_constant, operand, result, saturated
from myoedge.operators.format import EITHER_WIDTH
from myoedge.operators.traits import (
    BOUND,
    SHIFT,
    SYMMETRIC_32,
    Constants,
    Described,
    Learnt,
    Weights,
)

FACTORS = (-MULT_MAX, MULT_MAX)  # of cos and sin


def split(attrs: Attrs, x: Shape, period: int) -> tuple[Shape, int]:
    """Return the shape (outer, positions, inner, pairs, 2), or (.., 2, pairs) of halves, to which x
    is reshaped for the rotation, and its axis of the two elements of a pair.

    period   rows of the angle table; index i along the axis uses table row i % period
    """
    outer, extent, inner = outer_inner(x[:-1], attrs["axis"])
    rows, pairs = (outer * extent // period, period, inner), x[-1] // 2
    return ((*rows, 2, pairs), 3) if attrs.get("halves") else ((*rows, pairs, 2), 4)


def real(attrs: Attrs, x: Array, cos: Array, sin: Array) -> Array:
    """Rotate the pairs of x [..., 2 * pairs] in floats, by angles given as cosine and sine.

    cos, sin   [positions, pairs], repeated along attrs["axis"]
    """
    shape, side = split(attrs, x.shape, len(cos))
    a, b = np.moveaxis(x.reshape(shape), side, 0)
    c, s = cos[:, None], sin[:, None]
    return np.stack([a * c - b * s, b * c + a * s], axis=side).reshape(x.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class RotaryParams(QuantizedParams):
    """Integer constants of a rotary embedding: y = (a * cos - b * sin + offset) >> shift.

    cos, sin   int16 [positions, pairs], times x.scale / y.scale * 2**shift
    """

    x_zero: int
    offset: int
    shift: int
    acc_bound: int
    cos: Array
    sin: Array


def quantize(inputs: QuantizeInputs) -> RotaryParams:
    """Return the constants of y = ((a * C - b * S) + offset) >> shift, where (a, b) is a pair of x
    minus its zero point, and C and S are cosine and sine in int16.

    C and S have as many bits as int32 sums allow.
    """
    x, y = inputs.params(0), inputs.target
    cos, sin = (inputs.constant(i).astype(np.float64) * x.scale / y.scale for i in (1, 2))
    largest = max(float(np.abs(cos).max()), float(np.abs(sin).max()), 2.0**-30)
    first = int(np.clip(15 - math.frexp(largest)[1], 0, 22))
    tries = (_rotate_pair(cos, sin, x, y, shift) for shift in range(first, -1, -1))
    return next(p for p in tries if p.acc_bound <= INT32_MAX)


def _rotate_pair(
    cos: Array, sin: Array, x: QuantParams, y: QuantParams, shift: int
) -> RotaryParams:
    parts = [np.clip(np.rint(np.ldexp(t, shift)), -MULT_MAX, MULT_MAX) for t in (cos, sin)]
    offset = (y.zero_point << shift) + ((1 << shift) >> 1)
    c, s = (p.astype(np.int16) for p in parts)
    both = int((np.abs(parts[0]) + np.abs(parts[1])).max(initial=0))
    return RotaryParams(
        x_zero=x.zero_point,
        offset=offset,
        shift=shift,
        acc_bound=x.reach * both + abs(offset),
        cos=c,
        sin=s,
    )


def _rotation_fits_int32(integers: RotaryParams, site: QuantizeInputs) -> bool:
    """Return whether sums of two products and their offset stay in int32."""
    pairs = np.abs(integers.cos.astype(np.int64)) + np.abs(integers.sin)
    most = site.params(0).reach * int(pairs.max(initial=0)) + abs(integers.offset)
    return most <= integers.acc_bound


LEARNT = Learnt(
    {"cos": FACTORS, "sin": FACTORS, "offset": SYMMETRIC_32, "shift": SHIFT, "acc_bound": BOUND},
    _rotation_fits_int32,
)


def meaning(step: QuantizedNode[RotaryParams]) -> Nest:
    """Describe the rotation of pairs: y [.., turns, positions, .., pairs, 2], or [.., 2, pairs] of
    halves."""
    c, axis, halves = step.integers, step.attrs["axis"], step.attrs.get("halves")
    period, pairs = c.cos.shape
    extents = *step.out[:axis], step.out[axis] // period, period, *step.out[axis + 1 : -1]
    shape = (*extents, *((2, pairs) if halves else (pairs, 2)))
    axes, x = broadcast_axes(shape), operand(step, 0)
    turn, position = axes[axis : axis + 2]
    pair, side = axes[:-3:-1] if halves else axes[-2:]
    start = (*axes[:axis], turn.at * period + position, *axes[axis + 2 : -2])
    places = (pair.at, pair.at + pairs) if halves else (pair.at * 2, pair.at * 2 + 1)
    a, b = (x[(*start, place)] - constant(step, "x_zero") for place in places)
    cos, sin = (nest_constant(n, getattr(c, n))[position, pair] for n in ("cos", "sin"))
    sums = _sum_of_products(step, a * cos, -b * sin), _sum_of_products(step, b * cos, a * sin)
    value = where(equal(index_of(side), 0), *sums) >> constant(step, "shift")
    index = tuple(axis.at for axis in axes)
    return Nest(axes, (x,), replace(result(step), shape=shape), index, saturated(step, value))


def _sum_of_products(step: QuantizedNode[RotaryParams], first: Expr, second: Expr) -> Expr:
    """Return the sum of two products and the offset; of int16, it is inside int32 because cos and
    sin are of one angle."""
    offset = constant(step, "offset")
    if step.read_type(0) == INT8:
        return first + second + offset
    own = in_int32("+", in_int32("+", first, second), offset)
    return Assumed(own, -INT32_MAX, INT32_MAX)


OTHER_AXIS = Values(
    "an axis before the last", lambda value, site: is_whole(value, 0, len(site.shapes[0]) - 2)
)

ROTARY = add_operator(
    name="rotary",
    attributes={"axis": OTHER_AXIS, "halves": optional(FLAG)},
    doc="rotary embedding: pairs of neighbours, or of both halves of a row, turned by constant "
    "angles",
    shape=same_shape,
    real=real,
    integer=Described(meaning),
    constants=Constants(quantize, kinds=(RotaryParams,), learnt=LEARNT),
    kernels=generated(EITHER_WIDTH),
    weights=Weights((1, 2)),
    permute_rule=lambda attrs, perm: last_axis_kept(axis_permuted(attrs, perm), perm),
)
