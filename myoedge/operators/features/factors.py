# SPDX-License-Identifier: Apache-2.0
"""Factors of features: functions of neighbouring samples, of which features sum the products, and
linear predictors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.requant import INT32_MAX
from myoedge.operators.attributes import are_whole, is_number, is_tuple

MOST_ORDER = 8  # sums of coefficients times autocorrelations fit 63 bits
ENERGY_BITS = 30  # bits of r[0] after normalisation
FRACTION_BITS = 24  # of coefficients, whose magnitude is at most binomial(8, 4) = 70
RATIO_BITS = 30  # fraction bits of reflection coefficients, whose magnitude is at most 1


def autocorrelations(x: Array, order: int) -> Array:
    """Return autocorrelations r [order + 1, ...]: sums of x[t] * x[t + k] over the last axis, for k
    = 0 .. order."""
    length = x.shape[-1]
    return np.stack([(x[..., : length - k] * x[..., k:]).sum(-1) for k in range(order + 1)])


def predictor(r: Array) -> Array:
    """Return AR coefficients [order, ...] for autocorrelations r [order + 1, ...]; zeros for a
    window of zeros."""
    energy = r[0].astype(np.float64)
    rows = list[Array]()
    for i in range(1, len(r)):
        rest = r[i] - sum(a * r[i - j] for j, a in enumerate(rows, 1))
        ratio = np.divide(rest, energy, out=np.zeros_like(energy), where=energy > 0)
        rows = [*(a - ratio * b for a, b in zip(rows, rows[::-1], strict=True)), ratio]
        energy = energy * (1 - ratio**2)
    return np.stack(rows)


def predictor_in_integers(r: Array) -> Array:
    """Return AR coefficients int64 [order, ...] in units of 2^-24, for autocorrelations r int64
    [order + 1, ...].

    |r[k]| is at most r[0], which is less than 2^53. Products are rounded half up, quotients
    towards zero.
    """
    # autocorrelations of each window are shifted so that r[0] has 30 bits
    right = np.frexp(r[0].astype(np.float64))[1].astype(np.int64) - ENERGY_BITS
    r = np.asarray(np.where(right > 0, r >> np.maximum(right, 0), r << np.maximum(-right, 0)))
    energy, rows = r[0], list[Array]()
    half, one = 1 << (RATIO_BITS - 1), 1 << RATIO_BITS
    for i in range(1, len(r)):
        rest = (r[i] << FRACTION_BITS) - sum(a * r[i - j] for j, a in enumerate(rows, 1))
        rest >>= FRACTION_BITS  # |rest / energy| is clipped to 1 and rounded towards zero
        size = np.minimum(np.abs(rest), energy) << RATIO_BITS
        ratio = np.asarray(np.sign(rest) * (size // np.maximum(energy, 1)))
        turned = zip(rows, rows[::-1], strict=True)
        rows = [a - ((ratio * b + half) >> RATIO_BITS) for a, b in turned]
        drop = RATIO_BITS - FRACTION_BITS
        rows.append((ratio + (1 << (drop - 1))) >> drop)
        energy = (energy * ((one * one - ratio * ratio) >> RATIO_BITS)) >> RATIO_BITS
    return np.stack(rows)


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
            (`predictor`), whose energy r[0] is increased by `limit`
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
        a, b = (_select_taps(x, taps, count) for taps in (self.a, self.b))
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
    if form == "ar" and (test != "" or limit < 0.0):
        return False
    return _are_sides(form, *sides) and test in ("", *TESTS)


def _are_sides(form: str, a: tuple[int, int], b: tuple[int, int]) -> bool:
    if form == "ar":  # a predictor of a[0] coefficients has coefficient b[0]
        return a[1] == b[1] == -1 and 1 <= b[0] <= a[0] <= MOST_ORDER
    return min(a[0], b[0]) >= 0 and (a == b or form in ("product", "larger"))


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


def _select_taps(x: Array, taps: tuple[int, int], count: int) -> Array:
    first, less = taps
    value = x[..., first : first + count]
    return value - x[..., less : less + count] if less >= 0 else value


MOST_EDGES = 31  # limits per group of tests
Interval = tuple[int | None, int | None]  # half-open interval; None: unbounded


@dataclass(frozen=True)
class Group:
    """Adjacent features that the kernel computes in one pass over the window.

    edges   sorted limits of histogram bins of one value; () for other features
    """

    features: tuple[Feature, ...]
    edges: tuple[int, ...] = ()

    @property
    def parts(self) -> list[list[int]]:
        """Return the kernel's row of each feature: [first cell, end cell, 0] of a histogram bin,
        [coefficient, 0, 0] of a predictor."""
        if not self.edges:
            return [[f[0].b[0], 0, 0] for f in self.features]
        rows = list[list[int]]()
        for low, end in map(_test_interval, self.features):
            first = 0 if low is None else self.edges.index(low) + 1
            last = len(self.edges) + 1 if end is None else self.edges.index(end) + 1
            rows.append([first, max(first, last), 0])
        return rows

    @property
    def is_sum(self) -> bool:
        """Whether the group is a single feature that is a sum."""
        return not self.edges and self.features[0][0].form != "ar"

    @property
    def value(self) -> Factor:
        """The value that all tests compare, as a factor without test; or the predictor."""
        return self.features[0][0]._replace(test="")


def _test_interval(feature: Sequence[Factor]) -> Interval:
    """Return the interval (first, end) of integers for which all tests of a feature hold; None:
    unbounded."""
    lows = [int(f.limit) for f in feature if f.test == "ge"]
    ends = [int(f.limit) + 1 for f in feature if f.test == "le"]
    return max(lows, default=None), min(ends, default=None)


def _sorted_test_limits(features: Sequence[Feature]) -> tuple[int, ...]:
    """Return the sorted limits of tests, padded to 2^n - 1 entries with limits above all values."""
    limits = {edge for f in features for edge in _test_interval(f) if edge is not None}
    size = (1 << len(limits).bit_length()) - 1
    return (*sorted(limits), *[INT32_MAX] * (size - len(limits)))


def _group_key(feature: Feature) -> tuple[object, ...] | None:
    """Return a key that is equal for features that can share a group; None for features that cannot
    share one."""
    first = feature[0]
    if first.form == "ar":
        return ("ar", first.a, first.limit)
    tests_one_value = all(f.test and f[:3] == first[:3] for f in feature)
    return first[:3] if tests_one_value else None


def groups_of(features: Sequence[Feature]) -> Iterator[Group]:
    """Yield the groups of integer features, in their order."""
    for kind, run in itertools.groupby(features, _group_key):
        rows = list(run)
        if kind is None:
            yield from (Group((f,)) for f in rows)
        elif kind[0] == "ar":
            yield Group(tuple(rows))
        else:
            yield from _group_counted_tests(rows)


def _group_counted_tests(rows: list[Feature]) -> Iterator[Group]:
    """Yield groups of tests of one value with at most MOST_EDGES limits each; a single test is a
    group without limits."""
    while rows:
        count = len(rows)
        while count > 1 and len(_sorted_test_limits(rows[:count])) > MOST_EDGES:
            count -= 1
        taken, rows = tuple(rows[:count]), rows[count:]
        yield Group(taken, _sorted_test_limits(taken) if count > 1 else ())
