# SPDX-License-Identifier: Apache-2.0
"""Drawn uses of a tensor times a factor per channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.operators.cases import Draw, DrawnUse


def gains(d: Draw) -> DrawnUse:
    shape = d.shape(1, 4, 9)
    factors = d.rng.normal(size=shape[-1])
    common = d.common(1, act=True)
    return DrawnUse("gains", {}, (shape,), "x0 * w0", weights=(factors,), slack=slack, **common)


def slack(case: Any) -> float:
    """Half a step of the gains, for the largest input."""
    step = float(np.abs(case.weights[0]).max()) / 127
    low, high = case.spans[0]
    return step / 2 * max(-low, high) / float(case.target.scale)


CASES = {"gains": gains}
