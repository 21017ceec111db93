# SPDX-License-Identifier: Apache-2.0
"""Drawn uses of variances."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.cases import Draw, DrawnUse

SQUARES = """
middle = x0.mean(axes, keepdim=True) if centred else 0.0
y = (x0 - middle).square().sum(axes, keepdim=keepdim) / divisor
y.sqrt() if root else y
"""


def variance(d: Draw) -> DrawnUse:
    x = d.pick([d.shape(1, 4), d.shape(1, 3, 12), (3, 200, 2), (2, 1000), (5, 37)])
    first = d.integer(0, len(x) - 1)
    axes = tuple(range(first, d.integer(first, len(x) - 1) + 1))
    n = int(np.prod([x[axis] for axis in axes]))
    attrs = {
        "axes": axes,
        "keepdim": d.flag(),
        "centred": d.flag(),
        "root": d.flag(),
        "divisor": float(d.pick([1, n, max(n - 1, 1)])),
    }
    return DrawnUse("variance", attrs, (x,), SQUARES, slack=slack, **d.common(1, act=True))


def slack(case: Any) -> Array | float:
    """Bits that a root has: 15, and 22 of the largest one."""
    if not case.attrs["root"]:
        return 0.0
    y = case.real(case.dequantized).numpy() / case.target.scale
    return np.asarray(np.abs(y) * 2.0**-14 + 0.01)


CASES = {"variance": variance}
