# SPDX-License-Identifier: Apache-2.0
"""Networks are the integers that are recorded of them, and take no more cycles.

MYOEDGE_MODELS names the folder where tests.regression.record keeps models; without it they are made
anew. What has become faster is recorded by `python -m tests.regression.record --out`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.regression import large_layers
from tests.regression.networks import Entry, networks
from tests.regression.record import RECORDED, Change, changes, mean_ratio
from tests.regression.run import run

pytestmark = pytest.mark.filterwarnings("ignore")
OF_LARGE = RECORDED.with_name("large_layers.json")
MOST_RATIO, MOST_MEAN = 1.015, 1.0005  # of cycles: a network's, and the geometric mean
QUICK = [name for name, entry in networks().items() if entry.quick]


def read(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(path.read_text())
    return found


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = os.environ.get("MYOEDGE_MODELS")
    return Path(kept) if kept else tmp_path_factory.mktemp("models")


def found_of(table: Mapping[str, Entry], names: Iterable[str], models: Path, old: Path) -> Any:
    seconds = large_layers.SECONDS if old == OF_LARGE else None
    found = {name: run(table[name], models, seconds) for name in names}
    return changes(found, read(old))


def judge(found: list[Change]) -> None:
    assert not [change.line() for change in found if not change.sound]
    slower = [c.line() for c in found if (c.ratio("cycles") or 1.0) > MOST_RATIO]
    assert not slower
    assert mean_ratio(found) <= MOST_MEAN


def test_a_few_networks(models: Path) -> None:
    judge(found_of(networks(), QUICK, models, RECORDED))


@pytest.mark.slow
def test_all_networks(models: Path) -> None:
    judge(found_of(networks(), networks(), models, RECORDED))


@pytest.mark.slow
def test_large_layers(models: Path) -> None:
    """Those that once could not be built, or took too long, may be better by now."""
    table = large_layers.large_layers()
    found = found_of(table, table, models, OF_LARGE)
    judge([change for change in found if "error" not in change.old])


def test_every_network_is_recorded() -> None:
    assert [*read(RECORDED)] == sorted(networks())
    assert [*read(OF_LARGE)] == sorted(large_layers.large_layers())
