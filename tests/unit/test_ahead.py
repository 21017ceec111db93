# SPDX-License-Identifier: Apache-2.0
"""Since when constants are fetched ahead: late, but not too late, and never before the DMA has a
number for them."""

from __future__ import annotations

from collections.abc import Sequence

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from myoedge.plan.l1.prefetch import MOST_AHEAD, latest_starts
from tests.support.each import each

SPARE, FETCH = (0.0, 10.0, 1e3), (0.0, 10.0, 1e3, 1e5)


@each("seed", range(50))
def test_a_fetch_starts_within_reach_of_its_layer_and_in_turn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tiles = int(rng.integers(1, 60))
    spare = rng.choice(SPARE, tiles).tolist()
    firsts = np.unique(rng.integers(1, tiles + 1, 6)).tolist()
    fetches = [(first, float(rng.choice(FETCH))) for first in firsts]
    found = latest_starts(fetches, spare)
    assert found == sorted(found)
    for first, tile in zip(firsts, found, strict=True):
        assert max(first - MOST_AHEAD, 0) <= tile < first


Fetches = Sequence[tuple[int, float]]


def over(fetches: Fetches, begins: Sequence[int], spare: Sequence[float]) -> list[int]:
    """The tile in which each fetch is over, the DMA working them off in turn in what is spare."""
    left, found, tile = list(spare), [], 0
    for (_, cycles), begin in zip(fetches, begins, strict=True):
        tile, need = max(tile, begin), cycles
        while tile < len(left) and need > left[tile]:
            need -= left[tile]
            left[tile] = 0.0
            tile += 1
        if tile < len(left):
            left[tile] -= need
        found.append(tile)
    return found


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[tuple[int, float]], list[float]]:
    spare = draw(st.lists(st.integers(0, 9).map(float), min_size=2, max_size=40))
    firsts = draw(st.lists(st.integers(1, len(spare) - 1), unique=True, max_size=8).map(sorted))
    return [(first, float(draw(st.integers(1, 25)))) for first in firsts], spare


@settings(deadline=None)
@given(networks())
def test_fetches_are_over_in_time_where_that_can_be(
    drawn: tuple[list[tuple[int, float]], list[float]],
) -> None:
    fetches, spare = drawn
    earliest = [max(first - MOST_AHEAD, 0) for first, _ in fetches]
    begins = latest_starts(fetches, spare)
    ends = over(fetches, earliest, spare)
    if all(end < first for end, (first, _) in zip(ends, fetches, strict=True)):
        found = over(fetches, begins, spare)
        assert all(end < first for end, (first, _) in zip(found, fetches, strict=True))


@pytest.mark.parametrize(
    ("spare", "begin"),
    [
        ([9.0] * 6, 5),  # beside the tile in front of its layer
        ([9.0, 9.0, 9.0, 9.0, 9.0, 4.0], 4),
        ([0.0, 0.0, 0.0, 3.0, 0.0, 1.0], 2),  # too little: behind what leaves the DMA idle first
        ([0.0] * 6, 4),
    ],
)
def test_a_fetch_starts_as_late_as_may_be(spare: list[float], begin: int) -> None:
    assert latest_starts([(6, 9.0)], [*spare, 0.0]) == [begin]
