# SPDX-License-Identifier: Apache-2.0
"""Which constants stay in L2, of more than can be judged one by one."""

from __future__ import annotations

from typing import Any

import pytest

from myoedge.plan.l2 import resident_weights
from myoedge.plan.l2.resident_weights import ONE_BY_ONE, SMALL_BYTES, fill, residences
from myoedge.plan.l3.transfers import ComputeCycles, L3TransferCost
from myoedge.plan.timeline import Chunk

COUNT, SIZE = 3 * ONE_BY_ONE, SMALL_BYTES + 4
KNOWN = {(at, "weights"): [Chunk(at, "weights", 0, SIZE, at, at)] for at in range(COUNT)}
ROOM = COUNT * SIZE // 2
COMPUTED = ComputeCycles((10.0,) * COUNT)
RATE = L3TransferCost(2.0, 100.0)


def test_of_many_arrays_several_stay_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are late: L3 takes longer than the cores. As many stay as have room beside transfers."""
    calls, schedule_in_window = [0], resident_weights.schedule_in_window

    def counted(*given: Any) -> Any:
        calls[0] += 1
        return schedule_in_window(*given)

    monkeypatch.setattr(resident_weights, "schedule_in_window", counted)
    best = residences(KNOWN, COMPUTED, ROOM, RATE)[0]
    assert calls[0] < COUNT // 4
    assert ROOM - (COUNT // 8) * SIZE < best.resident_bytes <= ROOM
    more = fill(KNOWN, best.streamed, COMPUTED, ROOM, RATE)
    assert {*more} <= best.streamed
    assert best.resident_bytes + len(more) * SIZE <= ROOM
