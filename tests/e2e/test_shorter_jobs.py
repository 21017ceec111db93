# SPDX-License-Identifier: Apache-2.0
"""`--weights fast`: weights of layers on NE16, and weights that a run waits for, have fewer bits
where these save cycles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.quantization.fidelity import Fidelity
from myoedge.quantization.files import arrays
from tests.conftest import save_exported

SHAPE = (1, 32, 16, 8)
EIGHT = '[quant]\n"*" = { weights = 8 }\n'


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU()]
    mean = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *mean, nn.Linear(32, 5)).eval()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shorter") / "model.pt2"
    return save_exported(network(), (torch.zeros(SHAPE),), path)


def built(
    model: Path, folder: Path, table: str = "", shape: tuple[int, ...] = SHAPE, **options: Any
) -> myoedge.Build:
    folder.mkdir()
    (folder / "myoedge.toml").write_text(table)
    calib = np.random.default_rng(0).normal(size=(24, *shape[1:])).astype(np.float32)
    given: dict[str, Any] = {"calib": calib, "holdout": 0.5, "config": folder / "myoedge.toml"}
    return myoedge.build(model, output=folder / "made", **given, **{"weights": "fast", **options})


def bits(build: myoedge.Build) -> list[int]:
    return [row["weight_bits"] for row in build.report["layers"] if row["weight_bits"]]


def test_jobs_of_3x3_filters_are_shorter(model: Path, tmp_path: Path) -> None:
    """Measured on the simulated chip; the linear layer's jobs do not depend much on the bits."""
    made, eight = built(model, tmp_path / "made"), built(model, tmp_path / "eight", EIGHT)
    assert bits(eight) == [8, 8, 8]  # as the rule says
    assert max(bits(made)[:2]) < 8
    assert bits(made)[2] == 8
    cycles, before = (x.report["cycles"]["total"] for x in (made, eight))
    assert cycles < 0.9 * before
    (kept,) = (x for x in made.report["quantization"]["choices"] if x["kept"])
    assert kept["more_cycles"] == pytest.approx(cycles / before - 1.0, abs=0.1)
    assert made.report["outputs"][0]["sqnr_db"] >= 25.0  # of samples that were held out
    assert made.report["outputs"][0]["agreement"] >= eight.report["outputs"][0]["agreement"]
    assert myoedge.validate(made, on=("host", "simulator")).exact["simulator"]


@pytest.mark.parametrize("memory", ["mram=off", "mram=auto"])
def test_waits_for_weights_are_shorter(memory: str, tmp_path: Path) -> None:
    """On the cores, which compute no faster with fewer bits; of weights that L2 holds, none."""
    torch.manual_seed(0)
    inner = (nn.Sequential(nn.Linear(192, 192), nn.ReLU()) for _ in range(6))
    net, shape = nn.Sequential(*inner, nn.Linear(192, 4)).eval(), (1, 192)
    model = save_exported(net, (torch.zeros(shape),), tmp_path / "model.pt2")
    given: dict[str, Any] = {"shape": shape, "engine": "cores"}
    assert {*bits(built(model, tmp_path / "held", simulate=False, **given))} == {8}
    given |= {"l2": "64KiB", "memory": memory}
    made, eight = (
        built(model, tmp_path / name, table, **given)
        for name, table in (("made", ""), ("eight", EIGHT))
    )
    assert made.report["cycles"]["total"] < 0.8 * eight.report["cycles"]["total"]
    assert min(bits(made)) < 8
    assert min(x["sqnr_db"] for x in made.report["outputs"]) >= 25.0
    assert myoedge.validate(made, on=("host", "simulator")).exact["simulator"]


@pytest.mark.parametrize("place", ["option", "table"])
def test_quantize_chooses_the_bits_of_a_build(place: str, model: Path, tmp_path: Path) -> None:
    """The same integers, without building; of the cores without the option."""
    table = '[calib]\nweights = "fast"\n' * (place == "table")
    fast = {"weights": "fast" if place == "option" else None}
    made = built(model, tmp_path / "made", table, simulate=False, **fast)
    calib = np.random.default_rng(0).normal(size=(24, *SHAPE[1:])).astype(np.float32)
    given: dict[str, Any] = {"calib": calib, "holdout": 0.5}
    quick = myoedge.quantize(model, **given, **fast, config=tmp_path / "made" / "myoedge.toml")
    assert max(bits(made)[:2]) < 8
    assert arrays(quick.network).keys() == arrays(made.network).keys()
    for name, array in arrays(made.network).items():
        np.testing.assert_array_equal(arrays(quick.network)[name], array)
    usual = myoedge.quantize(model, **given)
    assert [x.weight_bits for x in usual.network.steps if "weight" in x.integers.arrays] == [8] * 3


def test_more_decibels_ask_for_more_bits(model: Path, tmp_path: Path) -> None:
    """The goal of [budget] holds on the held-out samples; the cores have no jobs."""
    made = built(model, tmp_path / "made", "[budget]\nsqnr = 38.0\n")
    assert made.report["outputs"][0]["sqnr_db"] >= 38.0
    assert sum(bits(made)) >= sum(bits(built(model, tmp_path / "usual")))
    assert bits(built(model, tmp_path / "cores", engine="cores")) == [8, 8, 8]


@pytest.mark.parametrize("refused", [1, 99])
def test_decisions_that_change_leave_more_bits(
    refused: int, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the reductions are tried, and again half; none at last."""
    fewest = bits(built(model, tmp_path / "usual", simulate=False))
    asked: list[Fidelity] = []

    def decides_less(found: Fidelity, other: Fidelity) -> bool:
        asked.append(found)
        return len(asked) <= refused

    monkeypatch.setattr(Fidelity, "decides_less", decides_less)
    made = built(model, tmp_path / "made", simulate=False)
    assert sum(fewest) < sum(bits(made)) <= 24
    assert (bits(made) == [8, 8, 8]) == (refused == 99)
    assert any(x["kept"] for x in made.report["quantization"]["choices"]) == (refused == 1)


def test_another_word_is_refused_and_the_advice_works(model: Path, tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError) as caught:
        built(model, tmp_path / "quick", weights="quick", simulate=False)
    assert caught.value.code == "E203"
    option, toml = caught.value.notice.tries
    assert option.split(" ")[0] == "--weights"
    built(model, tmp_path / "option", weights=option.split(" ")[1], simulate=False)
    table, line = toml.split(" ", 1)
    made = built(model, tmp_path / "rule", f"{table}\n{line}\n", weights=None, simulate=False)
    assert bits(made) == [4, 4, 4]
