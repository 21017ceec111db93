# SPDX-License-Identifier: Apache-2.0
"""Whole networks take the cycles that are recorded, and the page of performance says so."""

from __future__ import annotations

import json

import pytest

from tests.records.network_cycles import HEAD, RECORDED, ROWS, lines, measured
from tests.support.pages import PAGE, markdown


def test_the_page_has_what_is_recorded() -> None:
    recorded = json.loads(RECORDED.read_text())
    assert recorded.keys() == ROWS.keys()
    assert markdown(HEAD, lines(recorded)) in PAGE.read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize("name", ROWS)
def test_cycles_are_those_recorded(name: str) -> None:
    """Within 1 %: the instruction caches' state moves with the layout of the code."""
    recorded = json.loads(RECORDED.read_text())[name]
    found = measured(name)[name]
    assert found["macs"] == recorded["macs"]
    assert abs(found["cycles"] / recorded["cycles"] - 1) <= 0.01
