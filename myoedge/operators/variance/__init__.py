# SPDX-License-Identifier: Apache-2.0
"""Sums of squares over adjacent axes: of values (mean square, or its root), or of deviations from
the mean (variance, or standard deviation)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.ir import Call, Expr, Nest, Reduced, as_expr
from myoedge.nest.nodes import Assumed
from myoedge.nest.primitive import Primitive
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.fixed_point import INT32_MAX
from myoedge.operators.attributes import AXES, FLAG, POSITIVE
from myoedge.operators.base import OpDef, QuantizedNode, QuantizeInputs, register
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import CentredParams, with_requant
from myoedge.operators.described import own_number, requantised, result
from myoedge.operators.format import LIMITED, int16_where
from myoedge.operators.pool import reduce
from myoedge.operators.qdq import Write, Writer, number, whole
from myoedge.operators.traits import Constants, Described

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
    These and acc_bound follow from shapes and types.
    """

    ranges: ClassVar[Mapping[str, None]] = dict.fromkeys(("up", "down", "acc_bound"))

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


def nest(step: QuantizedNode) -> Nest:
    """Describe the requantised variance, standard deviation, mean square or root mean square over
    the reduced axes, from 64-bit sums of squares."""
    (axes, x, over, element), c, attrs = reduce.reduced_rows(step), step.integers, step.attrs
    square = element * element

    def over_all(operation: str, value: Expr) -> Expr:
        for axis in reversed(over):
            value = Reduced(operation, axis, value)
        return value

    is_wide = step.read_type(0) == INT16
    high = over_all("int32 sum", square >> 15) if is_wide else as_expr(0)
    sums = over_all("sum", element), over_all("int32 sum", square), high
    length = math.prod(axis.extent for axis in over)
    zero = as_expr(0) if attrs["centred"] else own_number(step, "x_zero")
    places = as_expr(c.up if attrs["root"] else c.down)
    flags = (as_expr(int(attrs[name])) for name in ("centred", "root"))
    acc = Call(SPREAD, None, (*sums, as_expr(length), zero, *flags, places))
    value = requantised(step, Assumed(acc, 0, c.acc_bound), partial(own_number, step))
    return Nest(axes, (x,), result(step), tuple(axis.at for axis in axes), value)


def _spread(table: None, *values: Array) -> Array:
    """Return spread >> places, or the root of spread << 2 places, as me_spread_of in C.

    values   sum, sum of the squares modulo 2**32, sum of squares >> 15, length, zero, centred,
             root, places
    """
    total, squares, high, n, zero, centred, of_root, places = (
        np.asarray(x, np.int64) for x in values
    )
    above = (high & 0xFFFFFFFF) << 15
    sum_ = above + (squares - above & 0xFFFFFFFF)
    spread = n * sum_ - total**2 if centred else sum_ + zero * (n * zero - 2 * total)
    return root(spread << 2 * places) if of_root else np.asarray(spread >> places)


def root(x: Array) -> Array:
    """Return the square root of integers x < 2**62, rounded down to its highest 15 or 16 bits."""
    bits = np.frexp(x.astype(np.float64))[1].astype(np.int64)
    half = np.maximum(bits - 31, 0) >> 1
    mantissa = x >> 2 * half
    return np.asarray(np.floor(np.sqrt(mantissa.astype(np.float64))).astype(np.int64) << half)


SPREAD = Primitive("me_spread_of", "me_spread.h", _spread, lambda table, *ranges: (0, INT32_MAX))

VARIANCE = register(
    OpDef(
        name="variance",
        attributes={"axes": AXES, "divisor": POSITIVE, **FLAGS},
        doc="variance, mean square, deviation or length of vectors over any axes",
        shape=reduce.shape,
        real=real,
        integer=Described(nest),
        constants=Constants(quantize, kinds=(SpreadParams,)),
        kernels=generated(*int16_where(LIMITED)),
        epilogue=True,
        streaming_rule=reduce.streaming_rule,
    )
)


def _variance(w: Writer, step: QuantizedNode, x: str) -> str:
    attrs, axes = step.attrs, whole(w, *step.attrs["axes"])
    if attrs["centred"]:
        x = w.node("Sub", x, w.node("ReduceMean", x, axes, keepdims=1))
    total = w.node("ReduceSumSquare", x, axes, keepdims=int(attrs["keepdim"]))
    y = w.node("Div", total, number(w, attrs["divisor"]))
    return w.node("Sqrt", y) if attrs["root"] else y


WRITE: Mapping[str, Write] = {"variance": _variance}
