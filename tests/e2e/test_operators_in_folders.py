# SPDX-License-Identifier: Apache-2.0
"""Operators that lie in one folder each run in tiles, exact on the host and the simulator."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

import myoedge
from tests.conftest import save_exported


class LargestSoFar(nn.Module):
    """Sums of the larger of two layers' results."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(16, 24), nn.Linear(16, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.maximum(self.a(x), self.b(x)).cumsum(1)


def test_maximum_and_cumsum_run_in_tiles(tmp_path: Path) -> None:
    torch.manual_seed(0)
    windows = np.random.default_rng(0).standard_normal((16, 1, 40, 16)).astype(np.float32)
    model = save_exported(LargestSoFar().eval(), (torch.zeros(1, 40, 16),), tmp_path / "m.pt2")
    myoedge.build(model, calib=windows, output=tmp_path / "out")
    found = myoedge.validate(tmp_path / "out", on=("host", "simulator"))
    assert (found.exact["host"], found.exact["simulator"]) == (True, True)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert all(layer["tile"] for layer in report["layers"])
    computed = {op for layer in report["layers"] for op in (layer["op"], *layer["members"])}
    assert {"maximum", "cumsum"} <= computed
    assert report["quantization"]["sqnr_db"] > 35.0
