# SPDX-License-Identifier: Apache-2.0
"""Builds at clocks that are too slow for the memories beside the chip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.errors import MyoedgeError
from tests.conftest import save_exported

L2 = "600KiB"  # less than the 1.1 MiB of weights


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 1024), nn.ReLU(), nn.Linear(1024, 1024)).eval()
    return save_exported(net, (torch.zeros(1, 64),), tmp_path_factory.mktemp("low") / "m.pt2")


def built(
    model: Path, folder: Path, point: str, l2: str | None = L2, memory: str | None = None
) -> myoedge.Build:
    calib = np.random.default_rng(0).standard_normal((8, 1, 64), np.float32)
    given = {"calib": calib, "output": folder, "l2": l2, "operating_point": point}
    given["memory"] = memory
    return myoedge.build(model, simulate=False, **given)


def test_a_network_that_needs_l3_is_told_its_clock(model: Path, tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError, match="too slow") as raised:
        built(model, tmp_path / "out", "20MHz")
    found = raised.value.notice
    assert (found.code, dict(found.facts)["clock"]) == ("E302", "20 MHz, without L3")
    assert found.tries == ('--operating-point "240 MHz"',)
    build = built(model, tmp_path / "out", "240 MHz")
    assert build.report["memory"]["l3_bytes"] > 0
    for verb in (myoedge.energy, myoedge.simulate):
        with pytest.raises(MyoedgeError, match="too slow for the build's memories") as raised:
            verb(build, operating_point="239MHz")
        assert raised.value.notice.tries == ('--operating-point "240 MHz"',)
    assert myoedge.energy(build, operating_point="240 MHz")["duty"] is None


def test_clocks_below_that_of_mram_lack_both_memories(model: Path, tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError, match="too slow") as raised:
        built(model, tmp_path / "out", "20MHz", memory="mram=auto")
    assert dict(raised.value.notice.facts)["clock"] == "20 MHz, without L3 and MRAM"


def test_a_network_in_l2_is_exact_at_the_lowest_clock(model: Path, tmp_path: Path) -> None:
    build = built(model, tmp_path / "out", "10MHz", l2=None)
    assert myoedge.validate(build, on="host,simulator").difference is None
    clock = (build.folder / "src" / "firmware" / "clock.h").read_text()
    assert "ME_CLOCK_DIVIDER 37u" in clock
    target, cycles = build.report["target"], build.report["cycles"]["total"]
    assert (target["operating_point"], target["clock_hz"]) == ("10 MHz", 10_000_000)
    assert build.report["latency_s"] == pytest.approx(cycles / 1e7)
