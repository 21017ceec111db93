# SPDX-License-Identifier: Apache-2.0
"""Kernels take the cycles that are recorded: they are the same every time."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from tests.kernels.speed import HEAD, RECORDED, ROOMY, from_l2, in_l1, lines
from tests.support.pages import PAGE, markdown


def differing(place: str, found: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """What is more than 1 % away: (recorded, found). After a change, --record."""
    recorded = json.loads(RECORDED.read_text())[place]
    assert recorded.keys() == found.keys()
    pairs = {name: (recorded[name], cycles) for name, cycles in found.items()}
    return {name: (a, b) for name, (a, b) in pairs.items() if abs(a - b) > 0.01 * a}


def test_kernels() -> None:
    """But for instruction caches, whose misses vary with the layout of each program."""
    assert differing("without misses", in_l1(ROOMY)) == {}


def test_the_page_has_what_is_recorded() -> None:
    assert markdown(HEAD, lines(json.loads(RECORDED.read_text()))) in PAGE.read_text()


@pytest.mark.slow
def test_kernels_with_their_misses() -> None:
    assert differing("in L1", in_l1()) == {}


@pytest.mark.slow
def test_operators_from_l2() -> None:
    assert differing("from L2", from_l2()) == {}
