# SPDX-License-Identifier: Apache-2.0
"""A choice between two tensors, element by element."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from myoedge.operators import api
from myoedge.operators.api import Array, Constant, Expr, Scaled, uses

HALF = 0.5  # conditions are 0.0 or 1.0
MULT_BITS = 14  # of factors
LARGEST = 2**29  # product of an operand and its factor that needs no limit before


class Choice(api.ElementwiseOperator, name="where", doc="one of two tensors, by a condition"):
    """Constants: the largest condition that does not hold, factors to steps of the result / 2**n,
    and the magnitudes from which operands saturate it."""

    most: Constant
    a_mult: Constant
    b_mult: Constant
    a_most: Constant
    b_most: Constant

    def real(self, condition: Array, a: Array, b: Array) -> Any:
        return np.where(condition > HALF, a, b)

    def quantize(self) -> Scaled:
        y, span = self.site.target, 2.0**self.site.target.element_type.bits
        factors = [min(self.params(at).scale / y.scale, span) for at in (1, 2)]
        reaches = self.params(1).reach, self.params(2).reach
        terms = [*zip(reaches, factors, strict=True)]
        largest = max(min(reach * factor, 2 * span) for reach, factor in terms)  # with a limit
        small = min(math.ceil(math.log2(max(factors))), 0)
        bits = min(MULT_BITS - small, math.floor(math.log2(LARGEST / largest)))
        a_mult, b_mult = (math.ldexp(factor, bits) for factor in factors)
        a_most, b_most = (
            min(math.ceil(span / factor), reach)
            if math.ldexp(reach * factor, bits) > LARGEST
            else reach
            for reach, factor in terms
        )
        return Scaled(
            math.ldexp(y.scale, -bits),
            most=math.floor(HALF / self.params(0).scale),
            a_mult=a_mult,
            b_mult=b_mult,
            a_most=a_most,
            b_most=b_most,
        )

    def nest(self, condition: Expr, a: Expr, b: Expr) -> Expr:
        a = api.clip(a, -self.a_most, self.a_most) * self.a_mult
        b = api.clip(b, -self.b_most, self.b_most) * self.b_mult
        return api.where(condition > self.most, a, b)


CASES = uses("where", "torch.where(x0 > 0.5, x1, x2)")
