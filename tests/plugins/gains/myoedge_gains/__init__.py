# SPDX-License-Identifier: Apache-2.0
"""lab::gain(x, factors): each channel times a factor of its own, which is a constant."""

from myoedge.operators import api
from myoedge.operators.api import Constant, ImportRow, Scaled, elementwise_use


class Gains(api.ElementwiseOperator, name="gains", doc="one factor per channel", constants=1):
    gain: Constant  # int32 [C]

    def real(self, x, factors):
        return x * factors

    def quantize(self):
        unit, (gain,) = self.multipliers(self.constant(1))
        return Scaled(unit, gain=gain)

    def nest(self, x):
        return x * self.gain


ROWS = (ImportRow("gains", api.adding("gains", "x", "factors"), "lab::gain"),)
CASES = {"gains": elementwise_use("gains")}
