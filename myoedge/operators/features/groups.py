# SPDX-License-Identifier: Apache-2.0
"""Groups of features that a kernel computes together, in one pass over the window.

AR coefficients of one predictor share its recursion. Tests of one value (histogram bins) share a
binary search: sorted limits divide the values into cells, the pass counts the samples in each cell,
and every feature is a sum of adjacent counts. Every other feature is a separate group.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from myoedge.numerics.fixed_point import INT32_MAX
from myoedge.operators.features.factors import Factor, Feature

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
        return [[*self._cells(*_interval(f)), 0] for f in self.features]

    @property
    def is_sum(self) -> bool:
        """Whether the group is a single feature that is a sum."""
        return not self.edges and self.features[0][0].form != "ar"

    @property
    def value(self) -> Factor:
        """The value that all tests compare, as a factor without test; or the predictor."""
        return self.features[0][0]._replace(test="")

    def _cells(self, low: int | None, end: int | None) -> list[int]:
        first = 0 if low is None else self.edges.index(low) + 1
        last = len(self.edges) + 1 if end is None else self.edges.index(end) + 1
        return [first, max(first, last)]


def _interval(feature: Sequence[Factor]) -> Interval:
    """Return the interval (first, end) of integers for which all tests of a feature hold; None:
    unbounded."""
    lows = [int(f.limit) for f in feature if f.test == "ge"]
    ends = [int(f.limit) + 1 for f in feature if f.test == "le"]
    return max(lows, default=None), min(ends, default=None)


def _edges(features: Sequence[Feature]) -> tuple[int, ...]:
    """Return the sorted limits of tests, padded to 2^n - 1 entries with limits above all values."""
    limits = {edge for f in features for edge in _interval(f) if edge is not None}
    size = (1 << len(limits).bit_length()) - 1
    return (*sorted(limits), *[INT32_MAX] * (size - len(limits)))


def _kind(feature: Feature) -> tuple[object, ...] | None:
    """Return a key that is equal for features that can share a group; None for features that cannot
    share one."""
    first = feature[0]
    if first.form == "ar":
        return ("ar", first.a, first.limit)
    tests_one_value = all(f.test and f[:3] == first[:3] for f in feature)
    return first[:3] if tests_one_value else None


def groups_of(features: Sequence[Feature]) -> Iterator[Group]:
    """Yield the groups of integer features, in their order."""
    for kind, run in itertools.groupby(features, _kind):
        rows = list(run)
        if kind is None:
            yield from (Group((f,)) for f in rows)
        elif kind[0] == "ar":
            yield Group(tuple(rows))
        else:
            yield from _counted(rows)


def _counted(rows: list[Feature]) -> Iterator[Group]:
    """Yield groups of tests of one value with at most MOST_EDGES limits each; a single test is a
    group without limits."""
    while rows:
        count = len(rows)
        while count > 1 and len(_edges(rows[:count])) > MOST_EDGES:
            count -= 1
        taken, rows = tuple(rows[:count]), rows[count:]
        yield Group(taken, _edges(taken) if count > 1 else ())
