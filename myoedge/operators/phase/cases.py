# SPDX-License-Identifier: Apache-2.0
"""Random test cases for atan2."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.cases import Draw, DrawnUse


def atan2(d: Draw) -> DrawnUse:
    shapes, common = d.broadcast(1, 5), d.common(2, act=True)
    common["int16"] = d.pick([(), (), (0,), (1,), (0, 1)])
    return DrawnUse("atan2", {}, shapes, "torch.atan2(x0 + 0.0, x1 + 0.0)", slack=slack, **common)


def slack(case: Any) -> Array:
    """Return the largest permitted deviation of atan2 in output steps.

    int8: half of 1/256 of the quotient, 15-bit multipliers (the smaller may be 1), and the rounding
    of the angle. int16: half a common step per coordinate and the same for the multipliers, half of
    2^-16 of the quotient, and two roundings of the angle.
    """
    y, x = np.broadcast_arrays(*case.dequantized)
    operands = [case.params(name) for name in case.names]
    steps, away = [p.scale for p in operands], np.maximum(np.hypot(y, x), 1e-30)
    if case.step.has_int16:
        unit = max(p.scale * p.reach for p in operands) * 2.0**-15
        return np.asarray((2.0**-14 + np.minimum(2.2 * unit / away, 4.0)) / case.target.scale)
    coarse = 255 * min(max(steps) * 2.0**-15, min(steps)) / away  # error of the smaller coordinate
    return np.asarray((1 / 512 + 2.0**-13 + np.minimum(coarse, 4.0)) / case.target.scale)


CASES = {"atan2": atan2}
