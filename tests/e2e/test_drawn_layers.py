# SPDX-License-Identifier: Apache-2.0
"""Drawn layers take the cycles that are recorded, exactly computed, and the page says so."""

from __future__ import annotations

import json

import pytest

from tests.records.drawn_layers import HEAD, RECORDED, START, layers, lines, measured
from tests.support.pages import PAGE, markdown

QUICK = (START, "linear layers 3", "sums 0")
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in layers()]


@pytest.mark.pages
def test_the_page_has_what_is_recorded() -> None:
    recorded = json.loads(RECORDED.read_text())
    assert recorded.keys() == layers().keys()
    assert markdown(HEAD, lines(recorded)) in PAGE.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_cycles_are_those_recorded(name: str) -> None:
    """Within 1 %: the instruction caches' state moves with the layout of the code."""
    recorded, found = json.loads(RECORDED.read_text())[name], measured(name)[name]
    assert found["bound"] == recorded["bound"]
    assert found["cycles"] <= 1.01 * recorded["cycles"]
