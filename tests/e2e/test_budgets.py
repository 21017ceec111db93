# SPDX-License-Identifier: Apache-2.0
"""The same network in less and less L1: the same bytes on host and chip, and told when in L2."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import myoedge
from myoedge.errors import MyoedgeError
from tests.conftest import save_exported
from tests.e2e.test_memory import Mixed

BUDGETS = ("128KiB", "24KiB", "18KiB", "17KiB", "15KiB")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("budgets")
    return save_exported(Mixed(), (torch.zeros(1, 3, 19, 17),), folder / "m.pt2")


def built(model: Path, folder: Path, l1: str) -> myoedge.Build:
    calib = np.random.default_rng(0).standard_normal((8, 1, 3, 19, 17), np.float32)
    return myoedge.build(model, calib=calib, output=folder, l1=l1)


def test_less_l1_gives_the_same_bytes(model: Path, tmp_path: Path) -> None:
    counts, found = [], []
    sample = [np.random.default_rng(1).integers(-128, 128, (1, 3, 19, 17), np.int8)]
    for l1 in BUDGETS:
        build = built(model, tmp_path / l1, l1)
        assert myoedge.validate(build, on=("host", "simulator")).difference is None, l1
        found.append([y.tobytes() for y in build.run_raw(sample)])
        plan = json.loads(build.written("plan.json"))
        counts.append(sum(step["tiles"]["count"] for step in plan["steps"] if step["tiles"]))
    assert all(outputs == found[0] for outputs in found)
    assert max(counts) >= 2 * counts[0], counts


def test_a_layer_that_fits_no_tile_is_told(model: Path, tmp_path: Path) -> None:
    build = built(model, tmp_path / "out", "13KiB")
    told = [notice for notice in build.warnings if notice.code == "W301"]
    facts = dict(told[0].facts)
    assert facts["has"] == "1,024 B"
    assert "scratch" in facts["largest"]


def test_no_room_at_all_is_an_error(model: Path, tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError) as raised:
        built(model, tmp_path / "out", "8KiB")
    assert raised.value.code == "E302"
