# SPDX-License-Identifier: Apache-2.0
"""Degrees to radians: an operator in one module."""

from __future__ import annotations

import math

from myoedge.operators.api import ElementwiseOperator, ImportRow, Scaled, first, uses


class Radians(ElementwiseOperator, name="radians", doc="a tensor times a number"):
    def real(self, x):
        return x * self.attrs["factor"]

    def quantize(self):
        return Scaled(self.params(0).scale * self.attrs["factor"])

    def nest(self, x):
        return x


def to_radians(b, a, out):
    return b.add("radians", first(a), factor=math.pi / 180)


ROWS = (ImportRow("radians", to_radians, "deg2rad"),)
CASES = uses("radians", factor=[math.pi / 180])
