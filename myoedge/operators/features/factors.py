# SPDX-License-Identifier: Apache-2.0
"""Factors of features: functions of neighbouring samples whose products are summed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from myoedge.numerics.arrays import Array

FORMS = ("value", "abs", "product", "larger")
TESTS: dict[str, Callable[[Array, float], Array]] = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
MOST = 2**31 - 2  # magnitude of a limit in integers
MOST_FACTORS = 4  # of a feature, one of which is not tested


class Factor(NamedTuple):
    """A function of the samples from t on.

    form    "value" a, "abs" |a|, "product" a * b, "larger" max(|a|, |b|)
    a, b    (i, j): x[t + i] - x[t + j]; (i, -1): x[t + i]; b as a if the form has none
    test    "" or one of TESTS, which makes it 0 or 1     limit   what it is compared with
    """

    form: str
    a: tuple[int, int]
    b: tuple[int, int]
    test: str = ""
    limit: float = 0.0

    @property
    def reach(self) -> int:
        return max(*self.a, *self.b)

    @property
    def degree(self) -> int:
        return 2 if self.form == "product" else 1

    def of(self, x: Array, count: int) -> Array:
        """Return the factor at the first `count` positions of the last axis."""
        a, b = (_taken(x, taps, count) for taps in (self.a, self.b))
        forms: dict[str, Callable[[], Array]] = {
            "value": lambda: a,
            "abs": lambda: np.abs(a),
            "product": lambda: a * b,
            "larger": lambda: np.maximum(np.abs(a), np.abs(b)),
        }
        value = forms[self.form]()
        return TESTS[self.test](value, self.limit) * 1 if self.test else value

    def in_steps(self, scale: float) -> Factor:
        """Return the factor of integers, whose tests are "ge" or "le" a whole number.

        A limit is rounded as samples are: whole numbers of a converter stay where they are to it.
        """
        if not self.test:
            return self
        limit = round(self.limit / scale**self.degree)
        whole = limit + {"ge": 0, "gt": 1, "le": 0, "lt": -1}[self.test]
        test = "ge" if self.test in ("ge", "gt") else "le"
        return self._replace(test=test, limit=float(np.clip(whole, -MOST, MOST)))

    def bound(self, reach: int, difference: int) -> int:
        """Return the largest magnitude, of samples up to `reach` and differences of them."""
        if self.test:
            return 1
        a, b = (difference if taps[1] >= 0 else reach for taps in (self.a, self.b))
        return a * b if self.form == "product" else max(a, b)

    def packed(self) -> list[int]:
        """Return the numbers of a factor as the kernel reads them."""
        test = {"": 0, "ge": 1, "le": -1}[self.test]
        return [FORMS.index(self.form), *self.a, *self.b, test, int(self.limit)]


Feature = tuple[Factor, ...]  # what is summed is their product


def features_of(attrs: Any) -> tuple[Feature, ...]:
    """Return the features of an operator's attributes."""
    return tuple(tuple(Factor(*f) for f in feature) for feature in attrs["features"])


def unpacked(row: Sequence[int]) -> Factor:
    """Return the factor that these numbers are."""
    form, a, a_less, b, b_less, test, limit = row
    return Factor(FORMS[form], (a, a_less), (b, b_less), ("", "ge", "le")[test], limit)


def positions(feature: Sequence[Factor], length: int) -> int:
    """Return the number of positions in a window at which all samples are there."""
    return length - max(factor.reach for factor in feature)


def total(feature: Sequence[Factor], x: Array) -> Array:
    """Return the sum over the last axis of x."""
    count = positions(feature, x.shape[-1])
    parts = [factor.of(x, count) for factor in feature]
    return np.asarray(math.prod(parts[1:], start=parts[0]).sum(axis=-1))


def _taken(x: Array, taps: tuple[int, int], count: int) -> Array:
    first, less = taps
    value = x[..., first : first + count]
    return value - x[..., less : less + count] if less >= 0 else value
