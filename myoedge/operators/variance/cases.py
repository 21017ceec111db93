# SPDX-License-Identifier: Apache-2.0
"""Random test cases for variances."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
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
    wide, common = d.pick([(), (), (0,)]), d.common(1, act=True)
    if wide:  # values that fill int16: 30 bits of a sum of squares are few for small ones
        common["pattern"] = d.pick(["uniform", "edges", "lowest", "highest"])
    return DrawnUse("variance", attrs, (x,), SQUARES, slack=slack, int16=wide, **common)


def slack(case: Any) -> Array | float:
    """Return the largest permitted deviation in output steps.

    A root has 15 significant bits. With int16, one unit of the requantised value, the bits dropped
    before its multiplier, and half a unit of the product are added.
    """
    step, root = case.step, case.attrs["root"]
    y = np.abs(np.asarray(case.real(case.dequantized)) / case.target.scale)
    found = y * 2.0**-14 + 0.01 if root else np.zeros_like(y)
    if INT16 in step.operand_types:
        unit = step.integers.mult / 2.0 ** (step.integers.shift + step.integers.pre)
        found = found + unit * 2.0**step.integers.pre + y / (2 * max(step.integers.mult, 1))
    return np.asarray(found)


CASES = {"variance": variance}
