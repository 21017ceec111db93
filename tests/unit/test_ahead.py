# SPDX-License-Identifier: Apache-2.0
"""Since when constants are fetched ahead: never before the DMA has a number for them."""

from __future__ import annotations

import numpy as np
import pytest

from myoedge.plan.ahead import MOST_TILES, latest

SPARE, FETCH = (0.0, 10.0, 1e3), (0.0, 10.0, 1e3, 1e5)


@pytest.mark.parametrize("seed", range(50))
def test_a_fetch_starts_within_reach_of_its_layer_and_in_turn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tiles = int(rng.integers(1, 60))
    spare = rng.choice(SPARE, tiles).tolist()
    firsts = np.unique(rng.integers(1, tiles + 1, 6)).tolist()
    fetches = [(first, float(rng.choice(FETCH))) for first in firsts]
    found = latest(fetches, spare)
    assert found == sorted(found)
    for first, tile in zip(firsts, found, strict=True):
        assert max(first - MOST_TILES, 0) <= tile < first
