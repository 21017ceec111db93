# SPDX-License-Identifier: Apache-2.0
"""build --tune: tiles by simulated cycles, measured once, never slower than by the estimate."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.building import confirm, tune
from myoedge.building.tune import TilingTrial, changes
from myoedge.errors import MyoedgeError
from tests.conftest import save_exported


@pytest.fixture(autouse=True)
def few_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "TILES_TRIED", 2)
    monkeypatch.setattr(tune, "MOST_CHANGES", 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two equal convolutions and one of its own, in several tiles with 40 KiB of L1."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tune") / "model.pt2"
    return save_exported(layers, (torch.zeros(1, 8, 24, 40),), path)


def built(model: Path, folder: Path, **options: Any) -> myoedge.Build:
    calib = np.random.default_rng(0).standard_normal((4, 1, 8, 24, 40), np.float32)
    return myoedge.build(model, calib=calib, output=folder, l1="40KiB", **options)


@pytest.mark.slow
def test_tuned_builds_are_faster_exact_and_the_same_again(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    another_cache: Callable[..., Path],
) -> None:
    """The estimate is made wrong: it takes the slowest of the tiles that it knows."""
    from myoedge.plan.l1.tile_choice import TileSearch
    from myoedge.plan.l1.tile_search import TileChoice, TilingProblem, choices

    def slowest(self: TileSearch, index: int, problem: TilingProblem) -> TileChoice | None:
        return max(choices(problem), key=lambda choice: choice.cycles, default=None)

    another_cache("objects", "programs", "libraries")
    monkeypatch.setattr(TileSearch, "_fastest_tiling", slowest)
    plain = built(model, tmp_path / "plain", simulate=True).report
    tuned = built(model, tmp_path / "tuned", tune=True)
    assert tuned.report["cycles"]["source"] == "simulated"
    assert tuned.report["cycles"]["total"] < plain["cycles"]["total"]
    assert [row["tile"] for row in tuned.layers] != [row["tile"] for row in plain["layers"]]
    checked = myoedge.validate(tuned, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference
    measured: list[object] = []
    cached = tune._cache_cycles
    monkeypatch.setattr(
        tune,
        "_cache_cycles",
        lambda plan, measure: cached(plan, lambda p: measured.append(p) or measure(p)),
    )
    again = built(model, tmp_path / "again", tune=True)
    assert again.digests == tuned.digests
    assert not measured, "all from the cache"


def test_a_build_is_never_slower_tuned(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    another_cache: Callable[..., Path],
) -> None:
    """Also where what the cache says of other tiles is wrong: the whole network is simulated."""
    another_cache("objects", "programs", "libraries")
    plain = built(model, tmp_path / "plain", simulate=True).report
    monkeypatch.setattr(
        tune, "_cache_cycles", lambda plan, measure: [1] * (len(plan.plan.steps) + 1)
    )
    tuned = built(model, tmp_path / "tuned", tune=True).report
    assert tuned["cycles"]["total"] <= plain["cycles"]["total"]


def test_changes_come_by_the_cycles_that_they_save(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = ["a", "b", None, "a"]
    base = TilingTrial({}, None, (50, 30, 7, 50, 3))  # type: ignore[arg-type]
    first = TilingTrial({"a": 1, "b": 1}, None, (45, 31, 7, 44, 3))  # type: ignore[arg-type]
    second = TilingTrial({"a": 2, "b": 2}, None, (40, 20, 7, 65, 3))  # type: ignore[arg-type]
    monkeypatch.setattr(tune, "MOST_CHANGES", 12)
    assert changes(layers, base, [first, second]) == [("a", 1), ("b", 2)]


def test_nothing_to_tune(small: Path, tmp_path: Path) -> None:
    given = {"calib": small / "calib.npz", "output": tmp_path / "out"}
    with pytest.raises(MyoedgeError, match="E204"):
        myoedge.build(small / "model.pt2", tune=True, simulate=False, **given)
    with pytest.raises(MyoedgeError, match="E204"):
        myoedge.build(small / "model.pt2", tune=True, target="host", **given)


POINTS = {"high": "latency_s", "240 MHz": "latency_s", "auto": "energy"}  # asked -> what is less
LIMITS = {"latency_s": 2.0, "energy_j": 2e-6}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("limit", [None, *LIMITS])
def test_tiles_are_judged_by_what_a_build_asks_for(point: str, limit: str | None) -> None:
    """Of builds within [budget], if there are any, that of least latency or energy is kept."""
    pairs = [*itertools.product((1.0, 1.5, 3.0), (1.0, 1.9, 3.0))]
    limits = {} if limit is None else {limit: LIMITS[limit]}
    builds = [SimpleNamespace(report=reported(*pair, limits)) for pair in pairs]
    request: Any = SimpleNamespace(point=None if point == "high" else point)
    for one, other in itertools.combinations(builds, 2):
        found = min(one, other, key=lambda build: confirm._cost(request, build))
        within = [x for x in (one, other) if limit is None or of(x, limit) <= LIMITS[limit]]
        asked = "energy_j" if POINTS[point] == "energy" else "latency_s"
        assert of(found, asked) == min(of(x, asked) for x in within or (one, other))


def reported(latency_s: float, energy_uj: float, limits: dict[str, float]) -> dict[str, Any]:
    cycles = {"total": int(latency_s * 1e6), "source": "simulated", "outside_layers": 0}
    point = {"name": "high", "volts": 0.8, "clock_hz": 1_000_000}
    consumed = {"value": energy_uj, "low": energy_uj, "high": energy_uj, "parts": {}}
    return {
        "budget": limits,
        "latency_s": latency_s,
        "cycles": cycles,
        "layers": [],
        "target": {"chip": "gap9", "operating_point": "high", "operating_points": [point]},
        "energy_uj": {**consumed, "points": [{**point, **consumed, "latency_s": latency_s}]},
    }


def of(build: Any, limit: str) -> float:
    report = build.report
    figures = {"latency_s": report["latency_s"], "energy_j": 1e-6 * report["energy_uj"]["value"]}
    return float(figures[limit])
