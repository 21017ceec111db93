# SPDX-License-Identifier: Apache-2.0
"""lab::gain(x, factors): each channel times a factor of its own, which is a constant."""

from myoedge.operators import api


class Gains(api.ElementwiseOperator, doc="one factor per channel", constants=1):
    gain: api.Constant

    def real(self, x, factors):
        return x * factors

    def quantize(self):
        unit, (gain,) = self.multipliers(self.constant(1))
        return api.Scaled(unit, gain=gain)

    def nest(self, x):
        return x * self.gain


ROWS = (api.import_row("gains", "lab::gain(x, factors)"),)
CASES = api.uses("gains")
