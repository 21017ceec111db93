# SPDX-License-Identifier: Apache-2.0
"""Drawn uses of the angle of a point."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.cases import Draw, DrawnUse


def atan2(d: Draw) -> DrawnUse:
    shapes, common = d.broadcast(1, 5), d.common(2, act=True)
    return DrawnUse("atan2", {}, shapes, "torch.atan2(x0 + 0.0, x1 + 0.0)", slack=slack, **common)


def slack(case: Any) -> Array:
    """Half of 1/256 of a quotient, multipliers of 15 bits, whose smaller one may be 1; an angle's
    own rounding."""
    y, x = np.broadcast_arrays(*case.dequantized)
    steps = [case.params(name).scale for name in case.names]
    away = np.maximum(np.hypot(y, x), 1e-30)
    coarse = 255 * min(max(steps) * 2.0**-15, min(steps)) / away  # of the smaller coordinate
    return np.asarray((1 / 512 + 2.0**-13 + np.minimum(coarse, 4.0)) / case.target.scale)


CASES = {"atan2": atan2}
