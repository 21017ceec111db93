# SPDX-License-Identifier: Apache-2.0
"""Counts of a front end become integers: the fixed-point form against fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from myoedge.numerics.counts import count_conversion

COUNTS = 2**23


def exact(count: int, factor: Fraction, offset: Fraction, limits: tuple[int, int]) -> int:
    """Round the exact value to nearest, ties up, and clamp it."""
    return min(max(math.floor(factor * count + offset + Fraction(1, 2)), limits[0]), limits[1])


def near_tie(count: int, factor: Fraction, offset: Fraction) -> bool:
    return abs((factor * count + offset + Fraction(1, 2)) % 1 - Fraction(1, 2)) > Fraction(
        2**14 - 1, 2**15
    )


@pytest.mark.parametrize(("low", "high"), [(-128, 127), (-32768, 32767), (0, 255)])
@pytest.mark.parametrize("steps", ["1/65536", "0.00037", "3", "-0.001", "1e-9", "12345.678"])
def test_integers_are_the_exact_ones(steps: str, low: int, high: int) -> None:
    rng = np.random.default_rng(1)
    factor, offset = Fraction(steps), Fraction("-3.25")
    made = count_conversion([factor], [offset], low, high)
    assert made is not None
    # counts around those whose results are within the limits, and the extremes
    reach = min(COUNTS - 1, round(2 * high / abs(factor)) + 2)
    counts = [-COUNTS, COUNTS - 1, 0, *map(int, rng.integers(-reach, reach, 3000, endpoint=True))]
    found = made.integers(np.array(counts)[:, None])[:, 0]
    for count, q in zip(counts, found, strict=True):
        wanted = exact(count, factor, offset, (low, high))
        assert abs(int(q) - wanted) <= (1 if near_tie(count, factor, offset) else 0)


def test_channels_with_factors_of_their_own() -> None:
    factors, offsets = [Fraction(1, 3), Fraction(-2, 7), Fraction(0)], [Fraction(5)] * 3
    made = count_conversion(factors, offsets, -128, 127)
    assert made is not None
    counts = np.random.default_rng(2).integers(-400, 400, (500, 3))
    wanted = [
        [exact(int(n), f, o, (-128, 127)) for n, f, o in zip(row, factors, offsets, strict=True)]
        for row in counts
    ]
    assert made.integers(counts).tolist() == wanted


def test_equal_channels_share_a_row_and_ties_go_up() -> None:
    made = count_conversion([Fraction(1, 2)] * 8, [Fraction(0)] * 8, -128, 127)
    assert made is not None
    assert len(made.multipliers) == 1
    assert made.integers(np.array([[-3, -1, 1, 3]])).tolist() == [[-1, 0, 1, 2]]


@pytest.mark.parametrize("limits", [(2**40, 0), (0, 2**70)])
def test_what_has_no_fixed_point_form(limits: tuple[int, int]) -> None:
    assert count_conversion([Fraction(limits[0])], [Fraction(limits[1])], -128, 127) is None


def test_no_sum_exceeds_64_bits() -> None:
    for exponent in range(-80, 30, 3):
        for reach in (0, 2**20, 2**40):
            factor = Fraction(2) ** exponent * Fraction("1.999")
            made = count_conversion([factor], [Fraction(reach)], -(2**15), 2**15 - 1)
            if made is not None:
                sums = [n * made.multipliers[0] + made.offsets[0] for n in (-(2**31), 2**31 - 1)]
                assert all(-(2**63) <= x < 2**63 for x in sums)
                assert abs(made.multipliers[0]) < 2**31
