# SPDX-License-Identifier: Apache-2.0
"""Random test cases for resizing, with arbitrary indices and weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.operators.cases import FACTORS, Draw, DrawnUse

TAKE = "x0.index_select(axis, torch.tensor(index))"
RESIZE = """\
at = torch.tensor(starts)
terms = [x0.index_select(axis, at + t).movedim(axis, -1) * w0[:, t] for t in range(w0.shape[1])]
sum(terms).movedim(-1, axis)
"""


def take(d: Draw) -> DrawnUse:
    shape = d.pick([d.shape(1, 4), d.shape(1, 3, 12), (3, 150, 2), (2, 9, 70)])
    axis = d.integer(0, len(shape) - 1)
    index = tuple(d.integer(0, shape[axis] - 1) for _ in range(d.pick([1, 3, 8, 90])))
    attrs = {"axis": axis, "index": tuple(sorted(index)) if d.flag() else index}
    kind = d.pick(["float32", "float32", "int32"])
    wide = d.pick([(), (0,)]) if kind == "float32" else ()
    return DrawnUse("take", attrs, (shape,), TAKE, dtype=kind, int16=wide, **d.common(1, act=False))


def resize(d: Draw) -> DrawnUse:
    """Return a random test case of a resize up or down, in which each result is a weighted sum of
    one to four adjacent elements."""
    shape = d.pick([d.shape(1, 4), d.shape(1, 3, 12), (3, 150, 2), (2, 9, 70)])
    axis, wanted = d.integer(0, len(shape) - 1), d.pick([1, 3, 8, 90])
    n = shape[axis]
    taps = min(n, d.pick([1, 2, 2, 2, 3, 4]))
    place = np.linspace(0, n - taps, wanted) + d.rng.integers(0, 2, wanted)
    starts = tuple(int(start) for start in np.clip(place, 0, n - taps))
    weights = d.pick([np.full((wanted, taps), 1 / taps), d.rng.normal(size=(wanted, taps))])
    common = d.common(1, act=True) | {"weights": (weights,), "slack": rounding}
    if all(name == "clamp" for name, *_ in common["act"]):
        common |= d.pick([{}, {"int16": (0,), "factors": FACTORS[0], "pattern": "uniform"}])
    return DrawnUse("resize", {"axis": axis, "starts": starts}, (shape,), RESIZE, **common)


def rounding(case: Any) -> float:
    """Return the largest permitted deviation in output steps: half a weight step per neighbour,
    times the largest |x - x_zero|."""
    x = case.params("x0")
    reach = max(x.high - x.zero_point, x.zero_point - x.low)
    return float(case.weights[0].shape[1] * reach * 0.5 ** (case.step.integers.shift + 1))


CASES = {"resize": resize, "take": take}
