# SPDX-License-Identifier: Apache-2.0
"""Cumulative sums along an axis; cumulative products use their import, too."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.nest.formulas import long_shift
from myoedge.nest.ir import Axis, Expr, Nest
from myoedge.nest.scan import running_total
from myoedge.numerics.arrays import Array
from myoedge.operators.attributes import AXIS
from myoedge.operators.base import QuantizedNode, QuantizeInputs, add_operator
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import (
    CentredParams,
    axis_permuted,
    same_shape,
    stream_except_axis,
    sum_bound,
    with_requant,
)
from myoedge.operators.described import requantised, unary_nest
from myoedge.operators.format import LIMITED, int16_where
from myoedge.operators.graph_builder import GraphBuilder, as_tuple, slice_axis
from myoedge.operators.import_rows import Arguments, ImportRow, Row, first
from myoedge.operators.library.reductions import largest
from myoedge.operators.qdq import Write
from myoedge.operators.traits import Constants, Described


def real(attrs: Attrs, x: Array) -> Array:
    return np.cumsum(x, axis=attrs["axis"], dtype=x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class CumsumParams(CentredParams):
    """Integer constants of a cumulative sum of x - x_zero.

    drop   low bits dropped from a sum before requantisation
    """

    ranges: ClassVar[Mapping[str, None]] = {"drop": None}
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
        return requantised(step, long_shift(sums, c.drop))

    return unary_nest(step, formula)


CUMSUM = add_operator(
    name="cumsum",
    attributes={"axis": AXIS},
    doc="cumulative sums along an axis",
    shape=same_shape,
    real=real,
    integer=Described(meaning),
    constants=Constants(quantize, kinds=(CumsumParams,)),
    kernels=generated(*int16_where(LIMITED)),
    epilogue=True,
    permute_rule=axis_permuted,
    streaming_rule=stream_except_axis,
)


def cumulative(results: Callable[[GraphBuilder, str, int], str], neutral: float = 0.0) -> Row:
    """Return a function that imports ONNX's cumulative sum or product: `reverse` runs from the end,
    `exclusive` leaves out the element itself.

    results   (builder, tensor, axis) -> cumulative sums or products
    neutral   0 for sums, 1 for products
    """

    def row(b: GraphBuilder, a: Arguments, out: Any) -> str:
        x, shape = first(a), b.shape(first(a))
        axis = as_tuple(a["dim"], 1)[0] % len(shape)
        n, backwards = shape[axis], (shape[axis] - 1, -1, -1)
        x = slice_axis(b, x, axis, *backwards) if a.get("reverse") else x
        if a.get("exclusive"):
            pads = tuple((int(d == axis), 0) for d in range(len(shape)))
            x = slice_axis(b, b.add("pad", x, pads=pads, value=neutral), axis, 0, n)
        y = results(b, x, axis)
        return slice_axis(b, y, axis, *backwards) if a.get("reverse") else y

    return row


cumsum = cumulative(lambda b, x, axis: b.add("cumsum", x, axis=axis))


def log_cum_sum_exp(b: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import log(cumsum(exp(x - m))) + m, where m is the row's maximum, so that exponentials are
    within 0 .. 1."""
    x, axis = first(a), a["dim"] % len(out)
    thin = tuple(1 if i == axis else n for i, n in enumerate(out))
    most = largest(b, {"self": x, "dim": axis, "keepdim": True}, thin)
    powers = b.add("table", b.add("sub", x, most), chain=(("exp",),))
    total = b.add("table", b.add("cumsum", powers, axis=axis), chain=(("log",),))
    return b.add("add", total, most)


ROWS = (
    ImportRow("cumsum max_pool", log_cum_sum_exp, "logcumsumexp"),
    ImportRow(
        "cumsum", cumsum, "cumsum", "CumSum(self, dim: ints, *, reverse=False, exclusive=False)"
    ),
)


WRITE: Mapping[str, Write] = {
    "cumsum": lambda w, step, x: w.node("CumSum", x, w.constant(np.array(step.attrs["axis"])))
}


def drawn(d: Draw) -> DrawnUse:
    x = d.pick([d.shape(1, 5), d.shape(1, 3, 12), (3, 200, 2)])
    attrs, common = {"axis": d.integer(0, len(x) - 1)}, d.common(1, act=True)
    wide = d.pick([(), (), (0,)])
    return DrawnUse("cumsum", attrs, (x,), "x0.cumsum(axis)", int16=wide, **common)


CASES = {"cumsum": drawn}
