# SPDX-License-Identifier: Apache-2.0
"""Drawn uses of a tensor times a factor per channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.common_rules import sum_bound


def gains(d: Draw) -> DrawnUse:
    shape = d.shape(1, 4, 9)
    factors = d.rng.normal(size=shape[-1])
    common = d.common(1, act=True) | {"int16": d.pick([(), (0,)])}
    return DrawnUse("gains", {}, (shape,), "x0 * w0", weights=(factors,), slack=slack, **common)


def slack(case: Any) -> float:
    """Half a step of the gains, for the largest input; int16 holds more than the drawn range."""
    x, most = case.params("x0"), 32767 if case.step.has_int16 else 127
    step = float(np.abs(case.weights[0]).max()) / most
    return step / 2 * float(sum_bound(x, 1) * x.scale / case.target.scale)


CASES = {"gains": gains}
