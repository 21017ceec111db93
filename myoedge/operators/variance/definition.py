# SPDX-License-Identifier: Apache-2.0
"""Sums of squares over adjacent axes: of values (mean square, or its root), or of deviations from
the mean (variance, or standard deviation)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.fixed_point import INT32_MAX
from myoedge.operators.attributes import AXES, FLAG, POSITIVE
from myoedge.operators.base import OpDef, QuantizedNode, QuantizeInputs, register
from myoedge.operators.common_rules import CentredParams, with_requant
from myoedge.operators.format import LIMITED, int16_where
from myoedge.operators.kernel import on_cluster
from myoedge.operators.pool import reduce
from myoedge.operators.traits import ByHand, Constants
from myoedge.operators.variance.tiling import in_tiles

FLAGS = dict.fromkeys(("keepdim", "centred", "root"), FLAG)
LENGTH_MAX = 2**16  # reduced elements: the sum of their squares fits 32 bits
SQUARE_BITS, ROOT_BITS = 30, 22  # bits of the accumulator without and with a root


def real(attrs: Attrs, x: Array) -> Array:
    """Compute sum(x^2) / divisor over the reduced axes in float64.

    attrs["centred"]   whether the mean is subtracted from x
    attrs["root"]      whether the square root is returned
    """
    axes, rows = tuple(attrs["axes"]), x.astype(np.float64)
    if attrs["centred"]:
        rows = rows - rows.mean(axes, keepdims=True)
    y = np.square(rows).sum(axes, keepdims=attrs["keepdim"]) / attrs["divisor"]
    return np.asarray(np.sqrt(y) if attrs["root"] else y, x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadParams(CentredParams):
    """Integer constants of a variance, mean square, standard deviation or root mean square.

    up     left shift of the sum of squares before its square root
    down   right shift of the sum of squares, without a root
    """

    up: int
    down: int


def quantize(inputs: QuantizeInputs) -> SpreadParams:
    """Return the constants of acc = spread >> down, or acc = root(spread << 2 up), which is
    requantised once.

    spread   n times the sum of squared deviations from the mean, or the sum of (x - x_zero)^2
    """
    x, attrs, n = inputs.params(0), inputs.attrs, _length(inputs.attrs, inputs.shapes[0])
    bits = 2 * x.element_type.bits
    largest = n * n << bits - 2 if attrs["centred"] else n * max(1 << bits, x.reach**2)
    unit = x.scale**2 / (attrs["divisor"] * (n if attrs["centred"] else 1))
    up = max(ROOT_BITS - math.ceil(math.log2(largest) / 2), 0) if attrs["root"] else 0
    down = 0 if attrs["root"] else max(largest.bit_length() - SQUARE_BITS, 0)
    # isqrt gives 2**31 for 2**16 int16 values; the root of their largest spread is just below.
    root = min(math.isqrt(largest << 2 * up), INT32_MAX)
    bound = root if attrs["root"] else largest >> down
    factor = math.sqrt(unit) / 2**up if attrs["root"] else unit * 2**down
    scalars = {"x_zero": x.zero_point, "up": up, "down": down}
    return with_requant(SpreadParams, inputs, factor / inputs.target.scale, bound, scalars)


def _length(attrs: Attrs, shape: Shape) -> int:
    return reduce.split(attrs, shape)[1]


def integer(step: QuantizedNode, x: Array) -> Array:
    """Compute the variance, standard deviation, mean square or root mean square over the reduced
    axes of x [*outer, *reduced, *inner] in integers with 64-bit sums; int8 or int16."""
    axes, rows = tuple(step.attrs["axes"]), x.astype(np.int64)
    if not step.attrs["centred"]:
        rows = rows - step.integers.x_zero
    spread = np.square(rows).sum(axis=axes)
    if step.attrs["centred"]:
        spread = _length(step.attrs, x.shape) * spread - np.square(rows.sum(axis=axes))
    acc = (
        root(spread << 2 * step.integers.up) if step.attrs["root"] else spread >> step.integers.down
    )
    return step.requantize(np.asarray(acc).reshape(step.out))


def root(x: Array) -> Array:
    """Return the square root of integers x < 2**62, rounded down to its highest 15 or 16 bits."""
    bits = np.frexp(x.astype(np.float64))[1].astype(np.int64)
    half = np.maximum(bits - 31, 0) >> 1
    mantissa = x >> 2 * half
    return np.asarray(np.floor(np.sqrt(mantissa.astype(np.float64))).astype(np.int64) << half)


VARIANCE = register(
    OpDef(
        name="variance",
        attributes={"axes": AXES, "divisor": POSITIVE, **FLAGS},
        doc="variance, mean square, deviation or length of vectors over any axes",
        shape=reduce.shape,
        real=real,
        integer=ByHand(integer),
        constants=Constants(quantize, kinds=(SpreadParams,)),
        kernels=on_cluster(in_tiles, *int16_where(LIMITED)),
        epilogue=True,
        streaming_rule=reduce.streaming_rule,
    )
)
