# SPDX-License-Identifier: Apache-2.0
"""Networks with NE16 take the cycles that are recorded, and no more than is wanted."""

from __future__ import annotations

import pytest

from tests.records.engine_cycles import (
    HEAD,
    MOST_CYCLES,
    NOT_REACHED,
    PAGE,
    lines,
    recorded,
    simulated_cycles,
)
from tests.support.pages import markdown


def test_the_page_has_what_is_recorded() -> None:
    found = recorded()
    assert [*found] == [*MOST_CYCLES]
    assert markdown(HEAD, lines(found)) in PAGE.read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize("name", MOST_CYCLES)
def test_networks_are_as_fast_as_wanted(name: str) -> None:
    """Within 1 % of what is recorded: caches of instructions vary with the layout of the code."""
    found = simulated_cycles(name)
    assert found <= {**MOST_CYCLES, **NOT_REACHED}[name]
    assert found == pytest.approx(recorded()[name]["ne16"], rel=0.01)
