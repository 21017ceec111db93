# SPDX-License-Identifier: Apache-2.0
"""Equal layers of a transformer are a loop whose state stays in L1; where the layer that writes it
runs on NE16, its results go to the buffer of the layer before the loop. Oracle: NumPy, on the
simulated chip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.plan.check_l1 import Span, _check_early_starts, _early_writes
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.targets import find_chip
from tests.conftest import save_exported

WIDTHS = [160, pytest.param(192, marks=pytest.mark.slow), pytest.param(256, marks=pytest.mark.slow)]


class Encoder(nn.Module):
    """A transformer on patches of a window."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.patches = nn.Conv1d(8, width, 10, stride=10)
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, batch_first=True, norm_first=True, activation="gelu"
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.scores = nn.Linear(width, 7)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.scores(self.layers(self.patches(x).transpose(1, 2)).mean(1))
        return found


@pytest.mark.parametrize("width", WIDTHS)
def test_a_state_that_the_engine_writes_early_is_exact(width: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = (1, 8, 200)
    path = save_exported(Encoder(width, 5).eval(), (torch.zeros(shape),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((8, *shape[1:])).astype(np.float32)
    build = myoedge.build(path, calib=calib, output=tmp_path / "out", simulate=True)
    exact = myoedge.validate(build, on="host,simulator").exact
    assert (exact["host"], exact["simulator"]) == (True, True)
    plan = make_plan(build.network, find_chip("gap9"))
    index, (_, (at, _)) = next(first_early_writes(plan))
    assert not [*_check_early_starts(plan)]
    # A buffer that is alive, at the place of such a result, is told.
    tiling = plan.tilings[index]
    out = tiling.kernel.out.name
    moved = tuple(replace(x, offset=at) if x.operand == "scratch" else x for x in tiling.buffers)
    # So is a state that the layer also reads.
    tiles = tuple(replace(x, l1={**x.l1, "scratch": tiling.tiles[0].l1[out]}) for x in tiling.tiles)
    for wrong in (replace(tiling, buffers=moved), replace(tiling, tiles=tiles)):
        tilings = (*plan.tilings[:index], wrong, *plan.tilings[index + 1 :])
        told = {*_check_early_starts(replace(plan, tilings=tilings))}
        assert told == {plan.steps[index].node.name}


def first_early_writes(plan: Plan) -> Iterator[tuple[int, tuple[int, Span]]]:
    """Layers that write a state of a loop in L1 early, with their first such write."""
    for index, tiling in enumerate(plan.tilings):
        name = tiling.kernel.out.name
        if name in tiling.resident and not any(x.operand == name for x in tiling.buffers):
            yield from ((index, write) for write in [*_early_writes(tiling)][:1])
