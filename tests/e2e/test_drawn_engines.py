# SPDX-License-Identifier: Apache-2.0
"""Drawn layers on NE16 and on the cores: `auto` takes the faster engine, and estimates are near."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.records.engine_estimates import LAYERS, RECORDED, SEEDS, judged

NEAR = (0.55, 1.8)  # estimated by simulated cycles of a kernel
MOST_FAR = (0.8, 1.3)  # 5 % of all are below, 5 % above
MOST_WRONG = 2  # layers of a seed


def recorded() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(RECORDED.read_text())
    return found


def test_estimates_are_as_near_for_layers_that_no_cost_was_fitted_to() -> None:
    assert recorded().keys() == SEEDS.keys()
    for found in recorded().values():
        assert found["layers"] == LAYERS
        assert len(found["auto slower"]) <= MOST_WRONG
        assert NEAR[0] <= found["least"] <= found["most"] <= NEAR[1]
        assert MOST_FAR[0] <= found["5 %"] <= found["95 %"] <= MOST_FAR[1]


@pytest.mark.slow
@pytest.mark.parametrize("index", range(LAYERS))
def test_auto_is_hardly_slower_than_the_better_engine(index: int) -> None:
    found = judged(SEEDS["held out"], index)
    assert not found.is_slower or index in recorded()["held out"]["auto slower"]
    far = {name: x for name, x in found.ratios.items() if not NEAR[0] <= x <= NEAR[1]}
    assert far == {}
