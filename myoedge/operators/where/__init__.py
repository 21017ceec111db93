# SPDX-License-Identifier: Apache-2.0
"""A choice between two tensors, element by element."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from myoedge.operators import api
from myoedge.operators.api import Array, Constant, Expr, Scaled, elementwise_use

HALF = 0.5  # conditions are 0.0 or 1.0
MULT_BITS = 14  # of factors


class Choice(api.ElementwiseOperator, name="where", doc="one of two tensors, by a condition"):
    """Constants: what a condition that holds exceeds, and factors to steps of the result / 2**n."""

    most: Constant
    a_mult: Constant
    b_mult: Constant

    def real(self, condition: Array, a: Array, b: Array) -> Any:
        return np.where(condition > HALF, a, b)

    def quantize(self) -> Scaled:
        y, operands = self.site.target, [self.params(1), self.params(2)]
        factors = [x.scale / y.scale for x in operands]
        bits = MULT_BITS - math.ceil(math.log2(max(factors)))
        a_mult, b_mult = (round(math.ldexp(factor, bits)) for factor in factors)
        most = math.floor(HALF / self.params(0).scale)
        return Scaled(math.ldexp(y.scale, -bits), most=most, a_mult=a_mult, b_mult=b_mult)

    def nest(self, condition: Expr, a: Expr, b: Expr) -> Expr:
        return api.where(condition > self.most, a * self.a_mult, b * self.b_mult)


CASES = {"where": elementwise_use("where", "torch.where(x0 > 0.5, x1, x2)")}
