# SPDX-License-Identifier: Apache-2.0
"""Depthwise layers that NE16 and the cores compute at once: equal integers on the host and on the
simulated chip, whichever part of a tile each has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from myoedge.targets.costs import KernelCost
from myoedge.targets.gap9 import chip
from tests.conftest import thinned
from tests.e2e.test_ne16_layers import assert_exact, built

ROW = "me_ne16_jobs, rest"  # of costs
LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "rows of an image": (nn.Conv2d(64, 64, 3, padding=1, groups=64), (1, 64, 25, 5)),
    "no padding, with a table": (
        nn.Sequential(nn.Conv2d(37, 37, 3, groups=37), nn.GELU()),
        (1, 37, 20, 9),
    ),
    "fewer channels than a word has": (nn.Conv2d(3, 3, 3, padding=1, groups=3), (1, 3, 31, 30)),
    "rows of which the engine has all": (nn.Conv2d(32, 32, 3, groups=32), (1, 32, 5, 5)),
    "rows that lie apart": (
        nn.Sequential(nn.Conv2d(40, 40, 3, padding=2, dilation=2, groups=40), nn.GELU()),
        (1, 40, 26, 24),
    ),
    "results of a row": (
        nn.Sequential(nn.Conv1d(45, 45, 9, padding=4, groups=45), nn.GELU()),
        (1, 45, 250),
    ),
    "results of a row, taps that lie apart": (
        nn.Conv1d(32, 32, 5, padding=8, dilation=4, groups=32),
        (1, 32, 200),
    ),
}


@pytest.fixture(autouse=True)
def is_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel has the fewest estimated cycles: those of its tiles alone."""
    monkeypatch.setitem(chip.KERNELS, ROW, KernelCost(0.0, 1.0))


@pytest.mark.parametrize("l1", thinned(["24KiB", None]))
@pytest.mark.parametrize("name", LAYERS)
def test_both_have_a_part_of_every_tile(name: str, l1: str | None, tmp_path: Path) -> None:
    torch.manual_seed(0)
    build = built(*LAYERS[name], tmp_path, l1)
    assert ".beside = me_ne16_rest" in (build.folder / "src" / "network.c").read_text()
    assert_exact(build)
