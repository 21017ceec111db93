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
MOST_ERROR, LONG_CYCLES, LAYER_FACTOR, LEAST_NEAR = 0.25, 5000, 1.5, 0.9  # of estimates
# "dilated 4": rows of its transpose are 832 bytes, which begin in one bank of L1; 736 are estimated
# to take 0.2 % longer.
SLOWER = {"dilated 4": 1.045}
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
    slower = [c for c in found if (c.ratio("cycles") or 1.0) > SLOWER.get(c.name, MOST_RATIO)]
    assert not [change.line() for change in slower]
    assert mean_ratio(found) <= MOST_MEAN


def judge_estimates(found: list[Change]) -> None:
    """Cycles that are estimated before anything has run, of whole networks and of long layers."""
    ran = [change.new for change in found if change.new.get("cycles")]
    whole = {c.name: c.new["estimate"] / c.new["cycles"] for c in found if c.new.get("cycles")}
    assert not {name: r for name, r in whole.items() if abs(r - 1) > MOST_ERROR}
    layers = [(cycles, modelled) for new in ran for _, cycles, modelled in new["layers"]]
    ratios = [modelled / cycles for cycles, modelled in layers if cycles > LONG_CYCLES]
    near = [1 / LAYER_FACTOR <= ratio <= LAYER_FACTOR for ratio in ratios]
    assert sum(near) >= LEAST_NEAR * len(near)


def test_a_few_networks(models: Path) -> None:
    found = found_of(networks(), QUICK, models, RECORDED)
    judge(found)
    judge_estimates(found)


@pytest.mark.slow
def test_all_networks(models: Path) -> None:
    found = found_of(networks(), networks(), models, RECORDED)
    judge(found)
    judge_estimates(found)


@pytest.mark.slow
def test_large_layers(models: Path) -> None:
    """Those that once could not be built, or took too long, may be better by now."""
    table = large_layers.large_layers()
    found = found_of(table, table, models, OF_LARGE)
    judge([change for change in found if "error" not in change.old])


def test_every_network_is_recorded() -> None:
    assert [*read(RECORDED)] == sorted(networks())
    assert [*read(OF_LARGE)] == sorted(large_layers.large_layers())


def test_hashes_tell_what_is_built_otherwise(models: Path) -> None:
    """Of a record with them and of one without: engines, and whether numbers or sources differ."""
    found = run(networks()["two inputs"], models, simulate=False)
    assert found["built"].keys() == {"cores", "auto"}
    assert "cycles" not in found
    (graph, _), auto = found["built"]["cores"], found["built"]["auto"]
    other = {**found, "built": {"cores": [graph, "0"], "auto": auto}}
    assert Change("", found, other).unlike == ["cores src"]
    assert not Change("", found, {}).unlike
    assert not Change("", found, found).unlike
