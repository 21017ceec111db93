# SPDX-License-Identifier: Apache-2.0
"""The maximum of two tensors, element by element, and its import; with a number it is a pointwise
function."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.nest.formulas import maximum
from myoedge.nest.ir import Expr, Nest
from myoedge.numerics.requant import INT32_MAX, MULT_MAX, choose_sum_requant, factor_max
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import pairwise
from myoedge.operators.described import pairwise_nest, saturated
from myoedge.operators.format import INT8_ALONE, LIMITED, int16_where
from myoedge.operators.graph_builder import GraphBuilder, reshape
from myoedge.operators.import_rows import Arguments, ImportRow, Row, one_by_one
from myoedge.operators.library.arithmetic import number_of, times
from myoedge.operators.traits import Constants, Described


@dataclass(frozen=True, slots=True, kw_only=True)
class MaximumParams(QuantizedParams):
    """Integer constants of a maximum: factors that convert each operand to output steps, (x * mult
    + offset) >> shift."""

    a_mult: int
    a_offset: int
    a_shift: int
    b_mult: int
    b_offset: int
    b_shift: int


def quantize(site: QuantizeInputs) -> MaximumParams:
    """Return the constants that convert each operand to output steps: (x * mult + offset) >>
    shift."""
    scalars, y = dict[str, Any](), site.target
    operands = site.params(0), site.params(1)
    for name, x in zip("ab", operands, strict=True):
        r = choose_sum_requant(
            (x.scale / y.scale,),
            (-x.low,),
            (x.zero_point,),
            y.zero_point,
            factor_max=factor_max((x.element_type,), y.element_type),
            mult_max=INT32_MAX if site.has_int16(2) else MULT_MAX,
        )
        scalars |= {f"{name}_mult": r.mult[0], f"{name}_offset": r.offset, f"{name}_shift": r.shift}
    return MaximumParams(**scalars)


def meaning(step: QuantizedNode[MaximumParams]) -> Nest:
    """Describe the maximum of a and b in output steps."""
    c = step.integers

    def formula(a: Expr, b: Expr) -> Expr:
        left = (a * c.a_mult + c.a_offset) >> c.a_shift
        return saturated(step, maximum(left, (b * c.b_mult + c.b_offset) >> c.b_shift))

    return pairwise_nest(step, formula)


MAXIMUM = pairwise(
    name="maximum",
    doc="the larger of two tensors, broadcast",
    real=lambda attrs, a, b: np.maximum(a, b),
    integer=Described(meaning),
    constants=Constants(quantize, kinds=(MaximumParams,)),
    kernels=generated(INT8_ALONE, *int16_where(LIMITED)),
)


def extreme(largest: bool) -> Row:
    def row(b: GraphBuilder, a: Arguments, out: Shape) -> str:
        pair = (a["self"], a["other"])
        limits = [number for x in pair if (number := number_of(b, x)) is not None]
        if limits:
            x = next(x for x in pair if number_of(b, x) is None)
            step = ("clamp", limits[0], math.inf) if largest else ("clamp", -math.inf, limits[0])
            return reshape(b, b.add("table", x, chain=(step,)), out)
        if largest:
            return b.add("maximum", *pair)
        return times(b, b.add("maximum", *(times(b, x, -1.0) for x in pair)), -1.0)

    return row


def extreme_of_all(largest: bool) -> Row:
    """Return a function that imports ONNX's Max or Min of any number of inputs."""
    row = one_by_one(extreme(largest))
    return lambda b, a, out: reshape(b, row(b, a, out), out)


def between(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import clamp with tensors as bounds, one of which may be missing."""
    y = str(a["self"])
    for name, largest in (("min", True), ("max", False)):
        limit = a.get(name)
        y = y if limit is None else str(extreme(largest)(b, {"self": y, "other": limit}, out))
    return y


ROWS = (
    ImportRow(
        "maximum table", between, "clamp.Tensor clip.Tensor clamp_min.Tensor clamp_max.Tensor"
    ),
    ImportRow("maximum table", extreme(largest=True), "maximum max.other"),
    ImportRow("maximum table", extreme(largest=False), "minimum min.other"),
    ImportRow("maximum table", extreme_of_all(largest=True), onnx="Max(*tensors)"),
    ImportRow("maximum table", extreme_of_all(largest=False), onnx="Min(*tensors)"),
)


def drawn(d: Draw) -> DrawnUse:
    shapes, common = d.broadcast(1, 5), d.common(2, act=True)
    common |= {"int16": d.pick([(), (), (0,), (1,), (0, 1)])}
    return DrawnUse("maximum", {}, shapes, "torch.maximum(x0, x1)", slack=slack, **common)


def slack(case: Any) -> float:
    """Return the largest permitted deviation in output steps, from 15-bit factors, or from int16
    operands rounded to steps of 2**-shift."""
    largest = max(case.params(name).scale for name in case.names) / case.target.scale
    if case.step.has_int16:
        return float(
            max(2.0 ** (16 - getattr(case.step.integers, f"{name}_shift")) for name in "ab")
        )
    return 255 * max(float(largest), 1.0) / 2**15


CASES = {"maximum": drawn}
