# SPDX-License-Identifier: Apache-2.0
"""Feature maps in L3: which ones, and how many bytes at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.errors import MyoedgeError
from myoedge.plan.cost.network import modelled_cycles, moved_bytes
from myoedge.plan.levels import spill
from myoedge.plan.schedule import make_plan
from myoedge.targets import find_chip
from tests.e2e.test_less_l2 import quantized

GAP9 = find_chip("gap9")


class Scores(nn.Module):
    """Products of all pairs of rows, each of which exceeds half of a small L2."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.inner(x)
        return torch.tanh(torch.softmax(y @ x.transpose(1, 2), -1)) @ y


@pytest.mark.parametrize("room_bytes", [80_000, 98_000])
def test_a_plan_that_waits_for_l3_is_compared_with_other_parts(
    room_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of another size have other tiles, and may leave more maps in L2."""
    torch.manual_seed(0)
    x = torch.zeros(1, 256, 16)
    calib = np.random.default_rng(0).standard_normal((4, *x.shape), np.float32)
    network = quantized(torch.export.export(Scores().eval(), (x,)), calib)
    chip = replace(GAP9, l2_bytes=GAP9.l2_reserved_bytes + room_bytes)
    plan = make_plan(network, chip)
    monkeypatch.setattr(spill, "PARTS", spill.PARTS[:1])
    first = make_plan(network, chip)
    assert modelled_cycles(plan) < 0.95 * modelled_cycles(first)
    assert moved_bytes(plan)["l3"] <= moved_bytes(first)["l3"]


class Recurrent(nn.Module):
    """A loop that reads rows of a large input and writes rows of a large result."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(1008, 8), nn.Linear(8, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, found = torch.zeros(1, 8), []
        for row in x.unbind(1):
            h = torch.tanh(self.inner(torch.cat([row, h], 1)))
            found.append(torch.tanh(self.outer(h)))
        return torch.stack(found, 1)


def test_maps_that_a_loop_accesses_stay_in_l2() -> None:
    torch.manual_seed(0)
    x = torch.zeros(1, 40, 1000)
    calib = np.random.default_rng(0).standard_normal((2, *x.shape), np.float32)
    network = quantized(torch.export.export(Recurrent().eval(), (x,)), calib)
    chip = replace(GAP9, l2_bytes=GAP9.l2_reserved_bytes + 60_000)
    with pytest.raises(MyoedgeError) as refused:
        make_plan(network, chip)
    assert refused.value.notice.code == "E301"
    title, *largest = dict(refused.value.notice.facts)["stays in L2"].splitlines()
    assert title.endswith("or in loops")
    assert [line.split()[0] for line in largest[:2]] == ["40,000", "40,000"]
