# SPDX-License-Identifier: Apache-2.0
"""lab::gain(x, factors): each channel times a factor of its own, which is a constant."""

import numpy as np

from myoedge.operators import api
from myoedge.operators.api import Constant, ImportRow, Scaled, elementwise_use


class Gains(api.ElementwiseOperator, name="gains", doc="one factor per channel", constants=1):
    gain: Constant  # int16 [C]

    def real(self, x, factors):
        return x * factors

    def quantize(self):
        step = max(np.abs(self.constant(1)).max(), 1e-30) / 32767
        gain = np.rint(self.constant(1) / step).astype(np.int16)
        return Scaled(self.params(0).scale * step, gain=gain)

    def nest(self, x):
        return x * self.gain


ROWS = (ImportRow("gains", api.adding("gains", "x", "factors"), "lab::gain"),)
CASES = {"gains": elementwise_use("gains")}
