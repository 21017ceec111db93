# SPDX-License-Identifier: Apache-2.0
"""Random test cases of time-domain features."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.features.factors import FORMS, MOST_ORDER

SUMS = """
tests = {"": lambda v, c: v, "lt": torch.lt, "le": torch.le, "gt": torch.gt, "ge": torch.ge}
forms = {
    "value": lambda a, b: a, "abs": lambda a, b: a.abs(), "product": lambda a, b: a * b,
    "larger": lambda a, b: torch.maximum(a.abs(), b.abs()),
}
found = []
for feature in features:
    if feature[0][0] == "ar":
        (order, _), (at, _), _, limit = feature[0][1:]
        n = x0.shape[2]
        r = torch.stack([(x0[..., : n - k] * x0[..., k:]).sum(-1) for k in range(order + 1)], -1)
        r = r.double()
        rows = torch.arange(order)
        matrix = r[..., (rows[:, None] - rows).abs()] + limit * torch.eye(order)
        found.append(torch.linalg.solve(matrix, r[..., 1:, None])[..., at - 1, 0].float())
        continue
    end = x0.shape[2] - max(max(*a, *b) for _, a, b, _, _ in feature)
    product = 1.0
    for form, a, b, test, limit in feature:
        a, b = (
            x0[..., i : i + end] - (x0[..., j : j + end] if j >= 0 else 0.0) for i, j in (a, b)
        )
        product = product * tests[test](forms[form](a, b), limit)
    found.append(product.sum(-1))
torch.stack(found, 1) * w0 + w1
"""
TESTS = ("", "lt", "le", "gt", "ge")


def _draw_factor(d: Draw, scale: float, most: int, tested: bool) -> tuple[object, ...]:
    form = d.pick(FORMS[:4])
    a, b = ((d.integer(0, 3), d.pick([-1, d.integer(0, 3)])) for _ in range(2))
    test = d.pick(TESTS[1:]) if tested else ""
    # rounding the limit changes no test of an integer
    steps = d.integer(-most, most) + (0.25 if test in ("gt", "le") else 0.75)
    limit = steps * scale ** (2 if form == "product" else 1)
    return (form, a, a if form in ("value", "abs") else b, test, limit if test else 0.0)


def _draw_bins(d: Draw, scale: float, most: int) -> list[tuple[tuple[object, ...], ...]]:
    """Draw histogram bins: tests of one value, which the kernel counts in one pass."""
    form, a, b = d.pick(FORMS[:4]), (d.integer(0, 2), d.pick([-1, 1])), (d.integer(0, 2), -1)
    b = a if form in ("value", "abs") else b
    unit = scale ** (2 if form == "product" else 1)
    limits = [(d.integer(-most, most) + 0.75) * unit for _ in range(d.integer(2, 12))]
    ends = itertools.pairwise(limits)
    bins = [((form, a, b, "ge", low), (form, a, b, "lt", end)) for low, end in ends]
    return [((form, a, b, "ge", limits[0]),), *bins]


def _predictor_slack(case: Any) -> Array:
    """Return the permitted deviation of AR coefficients in output steps: 2^-21, as the kernel
    computes them in units of 2^-24."""
    is_predictor = np.array([f[0][0] == "ar" for f in case.attrs["features"]])[:, None]
    return np.asarray(is_predictor * np.abs(case.weights[0]) * 2.0**-21 / case.target.scale)


def features(d: Draw) -> DrawnUse:
    n, c, length = d.integer(1, 3), d.integer(1, 5), d.integer(5, 40)
    common = d.common(1, act=False)
    low, high = common["spans"][0]
    wide = d.pick([(), (0,)])
    # quantisation step of the samples, and the largest test limit in such steps
    scale = float(np.float32(max(-low, high) / INT16.high if wide else (high - low) / 255))
    most = 23_000 if wide else 90
    made = []
    for _ in range(d.integer(1, 5)):
        values = d.pick([0, 1, 1])  # at most one factor without a test
        tested = [True] * d.integer(1 - values, 2)
        made.append(
            tuple(_draw_factor(d, scale, most, t) for t in d.permuted([False] * values + tested))
        )
    # Draw AR coefficients of one predictor whose equations are far from singular
    order = d.integer(1, min(MOST_ORDER, length - 1))
    limit = d.integer(most**2, 9 * most**2) * scale**2
    taken = d.permuted(range(1, order + 1))[: d.integer(1, order)]
    predictor = [(("ar", (order, -1), (at, -1), "", limit),) for at in taken]
    made += d.pick([[], [], _draw_bins(d, scale, most), predictor])
    weights = (d.rng.normal(size=(len(made), c)), d.rng.normal(size=(len(made), c)) * scale)
    attrs = {"features": tuple(made)}
    shapes = ((n, c, length),)
    return DrawnUse(
        "features",
        attrs,
        shapes,
        SUMS,
        weights=weights,
        int16=wide,
        slack=_predictor_slack,
        **common,
    )


CASES = {"features": features}
