# SPDX-License-Identifier: Apache-2.0
"""Factors of features: functions of neighbouring samples; features sum their products."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.attributes import are_whole, is_number, is_tuple
from myoedge.operators.features.levinson import MOST_ORDER, autocorrelations, predictor

FORMS = ("value", "abs", "product", "larger", "ar")
TESTS: dict[str, Callable[[Array, float], Array]] = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
MOST = 2**31 - 2  # largest |integer limit|
MOST_ENERGY = 2**52  # largest integer added to a window's energy
LIMITS = (-(2.0**127), 2.0**127)
MOST_FACTORS = 4  # factors per feature, including one without a test


class Factor(NamedTuple):
    """A function of the samples around position t of a window.

    form    "value" a, "abs" |a|, "product" a * b, "larger" max(|a|, |b|); "ar": not a function of
            samples but a complete feature, coefficient b[0] of the linear predictor of order a[0]
            (operators/features/levinson.py), whose energy r[0] is increased by `limit`
    a, b    (i, j): x[t + i] - x[t + j]; (i, -1): x[t + i]; b equals a for forms without b
    test    "" or one of TESTS, a comparison with `limit` whose result is 0 or 1
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
        if self.form == "ar":
            return 0
        return 2 if self.form == "product" else 1

    def of(self, x: Array, count: int) -> Array:
        """Return the factor's values at the first `count` positions of the last axis."""
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
        """Return the factor for integer samples: its test is "ge" or "le" with an integer limit.

        Limits are rounded like samples, so that a sample's comparison with an equal limit stays the
        same.
        """
        if self.form == "ar":
            return self._replace(limit=float(min(round(self.limit / scale**2), MOST_ENERGY)))
        if not self.test:
            return self
        limit = round(self.limit / scale**self.degree)
        whole = limit + {"ge": 0, "gt": 1, "le": 0, "lt": -1}[self.test]
        test = "ge" if self.test in ("ge", "gt") else "le"
        return self._replace(test=test, limit=float(np.clip(whole, -MOST, MOST)))

    def bound(self, reach: int, difference: int) -> int:
        """Return the factor's largest magnitude, for samples up to `reach` and differences of
        samples up to `difference`."""
        if self.test:
            return 1
        a, b = (difference if taps[1] >= 0 else reach for taps in (self.a, self.b))
        return a * b if self.form == "product" else max(a, b)

    def packed(self) -> list[int]:
        """Return a factor as integers in the kernel's format, one row of FeaturesParams.factors."""
        limit, test = int(self.limit), {"": 0, "ge": 1, "le": -1}[self.test]
        if self.form == "ar":
            test = max(limit.bit_length() - 31, 0)
            limit >>= test
        return [FORMS.index(self.form), *self.a, *self.b, test, limit]


Feature = tuple[Factor, ...]  # the feature sums the product of its factors


def features_of(attrs: Any) -> tuple[Feature, ...]:
    """Return the features in an operator's attributes."""
    return tuple(tuple(Factor(*f) for f in feature) for feature in attrs["features"])


def are_factors(value: Any, length: int) -> bool:
    """Return whether a feature is one: up to MOST_FACTORS factors, one of them without a test, of
    samples inside a window of `length`; or a coefficient of a predictor."""
    if not isinstance(value, tuple) or not all(_is_factor(f, length) for f in value):
        return False
    forms, tests = [f[0] for f in value], [f[3] for f in value]
    if "ar" in forms:
        return len(forms) == 1
    return 1 <= len(forms) <= MOST_FACTORS and tests.count("") <= 1


def _is_factor(value: Any, length: int) -> bool:
    if not is_tuple(value, 5) or not is_number(value[4], *LIMITS):
        return False
    form, *sides, test, limit = value
    if form not in FORMS or not all(are_whole(side, 2, -1, length - 1) for side in sides):
        return False
    if form == "ar":
        return _is_coefficient(*sides) and test == "" and limit >= 0.0
    return _are_samples(form, *sides) and test in ("", *TESTS)


def _are_samples(form: str, a: tuple[int, int], b: tuple[int, int]) -> bool:
    return min(a[0], b[0]) >= 0 and (a == b or form in ("product", "larger"))


def _is_coefficient(order: tuple[int, int], index: tuple[int, int]) -> bool:
    """Return whether a predictor has this coefficient."""
    return order[1] == index[1] == -1 and 1 <= index[0] <= order[0] <= MOST_ORDER


def unpacked(row: Iterable[int]) -> Factor:
    """Return the factor that one row of FeaturesParams.factors stores."""
    form, a, a_less, b, b_less, test, limit = map(int, row)
    if FORMS[form] == "ar":
        return Factor("ar", (a, a_less), (b, b_less), "", limit << test)
    return Factor(FORMS[form], (a, a_less), (b, b_less), ("", "ge", "le")[test], limit)


def positions(feature: Sequence[Factor], length: int) -> int:
    """Return the number of positions in a window at which all samples of a feature exist."""
    return length - max(factor.reach for factor in feature)


def total(feature: Sequence[Factor], x: Array) -> Array:
    """Compute a feature over the last axis of x: a sum, or an AR coefficient."""
    if feature[0].form == "ar":
        (order, _), (at, _) = feature[0].a, feature[0].b
        r = autocorrelations(x, order)
        r[0] += feature[0].limit
        return np.asarray(predictor(r)[at - 1])
    count = positions(feature, x.shape[-1])
    parts = [factor.of(x, count) for factor in feature]
    return np.asarray(math.prod(parts[1:], start=parts[0]).sum(axis=-1))


def _taken(x: Array, taps: tuple[int, int], count: int) -> Array:
    first, less = taps
    value = x[..., first : first + count]
    return value - x[..., less : less + count] if less >= 0 else value
