# SPDX-License-Identifier: Apache-2.0
"""The maximum of two tensors, element by element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.nest.formulas import maximum
from myoedge.nest.ir import Expr, Nest
from myoedge.numerics.fixed_point import INT32_MAX, MULT_MAX
from myoedge.numerics.requant import choose_sum_requant, factor_max
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs, register
from myoedge.operators.chains import generated
from myoedge.operators.described import pairwise_nest, saturated
from myoedge.operators.elementwise.definition import pairwise
from myoedge.operators.format import INT8_ALONE, LIMITED, int16_where
from myoedge.operators.traits import Constants, Described, stored_bound


@dataclass(frozen=True, slots=True, kw_only=True)
class MaximumParams(QuantizedParams):
    """Integer constants of a maximum: factors that convert each operand to output steps, (x * mult
    + offset) >> shift.

    acc_bound   largest |operand in output steps|, before its shift
    """

    a_mult: int
    a_offset: int
    a_shift: int
    b_mult: int
    b_offset: int
    b_shift: int
    acc_bound: int


def quantize(site: QuantizeInputs) -> MaximumParams:
    """Return the constants that convert each operand to output steps: (x * mult + offset) >>
    shift."""
    scalars, bounds, y = dict[str, Any](), list[int](), site.target
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
        bounds.append(r.largest((-x.low,)))
    return MaximumParams(**scalars, acc_bound=max(bounds))


def meaning(step: QuantizedNode[MaximumParams]) -> Nest:
    """Describe the maximum of a and b in output steps."""
    c = step.integers

    def formula(a: Expr, b: Expr) -> Expr:
        left = (a * c.a_mult + c.a_offset) >> c.a_shift
        return saturated(step, maximum(left, (b * c.b_mult + c.b_offset) >> c.b_shift))

    return pairwise_nest(step, formula)


MAXIMUM = register(
    pairwise(
        name="maximum",
        doc="the larger of two tensors, broadcast",
        real=lambda attrs, a, b: np.maximum(a, b),
        integer=Described(meaning, stored_bound),
        constants=Constants(quantize, kinds=(MaximumParams,)),
        kernels=generated(INT8_ALONE, *int16_where(LIMITED)),
    )
)
