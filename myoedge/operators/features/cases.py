# SPDX-License-Identifier: Apache-2.0
"""Random test cases of time-domain features."""

from __future__ import annotations

import numpy as np

from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.features.factors import FORMS

SUMS = """
tests = {"": lambda v, c: v, "lt": torch.lt, "le": torch.le, "gt": torch.gt, "ge": torch.ge}
forms = {
    "value": lambda a, b: a, "abs": lambda a, b: a.abs(), "product": lambda a, b: a * b,
    "larger": lambda a, b: torch.maximum(a.abs(), b.abs()),
}
found = []
for feature in features:
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


def _factor(d: Draw, scale: float, tested: bool) -> tuple[object, ...]:
    form = d.pick(FORMS)
    a, b = ((d.integer(0, 3), d.pick([-1, d.integer(0, 3)])) for _ in range(2))
    test = d.pick(TESTS[1:]) if tested else ""
    # where rounding it decides nothing: on the other side of the next step than what it is for
    steps = d.integer(-90, 90) + (0.25 if test in ("gt", "le") else 0.75)
    limit = steps * scale ** (2 if form == "product" else 1)
    return (form, a, a if form in ("value", "abs") else b, test, limit if test else 0.0)


def features(d: Draw) -> DrawnUse:
    n, c, length = d.integer(1, 3), d.integer(1, 5), d.integer(4, 40)
    common = d.common(1, act=False)
    low, high = common["spans"][0]
    scale = float(np.float32((high - low) / 255))
    made = []
    for _ in range(d.integer(1, 5)):
        values = d.pick([0, 1, 1])  # at most one factor is a value
        tested = [True] * d.integer(1 - values, 2)
        made.append(tuple(_factor(d, scale, t) for t in d.permuted([False] * values + tested)))
    weights = (d.rng.normal(size=(len(made), c)), d.rng.normal(size=(len(made), c)) * scale)
    attrs, wide = {"features": tuple(made)}, d.pick([(), (0,)])
    shapes = ((n, c, length),)
    return DrawnUse("features", attrs, shapes, SUMS, weights=weights, int16=wide, **common)


CASES = {"features": features}
