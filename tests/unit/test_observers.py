# SPDX-License-Identifier: Apache-2.0
"""The observer of a network, and samples that judge without choosing."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.quantization.holdout import samples_by_purpose
from myoedge.quantization.samples import Data, thin
from myoedge.reports.fidelity import advice, calibrated
from tests.conftest import save_exported

METHODS = ("minmax", "percentile", "mse")
SHAPE = (1, 2, 1024)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv1d(2, 4, 3), nn.Tanh(), nn.Conv1d(4, 3, 1)).eval()


@pytest.fixture(scope="module")
def model(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("observers") / "model.pt2"
    return save_exported(network, (torch.zeros(SHAPE),), place)


def drawn(count: int, outlier: float) -> Array:
    """Noise; one value in five thousand is so many times as large, where tanh is flat."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((count, *SHAPE))
    return np.where(rng.random(x.shape) < 2e-4, outlier * x, x).astype(np.float32)


def kept_db(network: nn.Module, quantized: myoedge.Quantized, x: Array) -> float:
    """Against torch."""
    with torch.no_grad():
        real = network(torch.from_numpy(x[:, 0])).numpy()[:, None].astype(np.float64)
    found = np.stack([outputs[0] for outputs in quantized.fidelity.integer])
    return 10 * math.log10(np.sum(real**2) / np.sum((real - found) ** 2))


@pytest.mark.parametrize(("outlier", "meets_goal"), [(8.0, True), (100.0, False)])
def test_other_observers_are_for_a_goal_that_is_missed(
    network: nn.Module, model: Path, outlier: float, meets_goal: bool
) -> None:
    x = drawn(16, outlier)
    alone_db = kept_db(network, myoedge.quantize(model, calib=x, method="minmax"), x)
    quantized = myoedge.quantize(model, calib=x)
    assert quantized.observers_db == pytest.approx({"minmax": alone_db}, abs=0.01)
    assert (alone_db >= 28.0) == meets_goal
    found_db = kept_db(network, quantized, x)
    if meets_goal:
        assert found_db == alone_db
    else:
        assert found_db > alone_db + 3.0


def test_a_named_observer_is_not_chosen(model: Path) -> None:
    quantized = myoedge.quantize(model, calib=drawn(16, 8.0), method="percentile")
    assert quantized.observers_db == {}
    assert quantized.network.calibration.observer.method == "percentile"


class Sums(nn.Module):
    """Means of shares that add up to one: each is 1/6, but for its last bit."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.softmax(1).mean(1)


def test_a_range_of_neighbouring_floats_has_no_histogram(tmp_path: Path) -> None:
    place = save_exported(Sums(), (torch.zeros(1, 6, 4),), tmp_path / "m.pt2")
    samples = np.random.default_rng(0).standard_normal((4, 1, 6, 4), np.float32)
    for method in METHODS:
        network = myoedge.quantize(place, calib=samples, method=method).network
        found = network.calibration.ranges[network.graph.outputs[0]]
        assert found == pytest.approx((1 / 6, 1 / 6), rel=1e-3)


@pytest.mark.parametrize("count", [19, 20, 64])
def test_samples_are_in_one_part(count: int) -> None:
    x = np.arange(count, dtype=np.float32)[:, None]
    parts = samples_by_purpose(Data({"x": x}, np.arange(count), "calib.npz"))
    assert parts.held_out is None or count >= 20
    if parts.held_out is None:
        assert count < 20
        assert parts.judge is parts.learn is parts.given
        return
    both = [parts.learn, parts.held_out]
    assert [part.count for part in both] == {20: [16, 4], 64: [51, 13]}[count]
    for part in both:
        assert part.numbers is not None
        assert part.labels is not None
        np.testing.assert_array_equal(part.inputs["x"][:, 0], part.numbers)
        np.testing.assert_array_equal(part.labels, part.numbers)
    together = np.concatenate([part.inputs["x"][:, 0] for part in both])
    np.testing.assert_array_equal(np.sort(together), x[:, 0])
    held_out = parts.held_out.inputs["x"][:, 0]
    assert held_out.tolist() != list(range(count - len(held_out), count))


def test_samples_of_a_part_are_told_as_of_the_file() -> None:
    data = Data({"x": np.zeros((500, 1), np.float32)}, None, "500 samples of calib.npz")
    samples = samples_by_purpose(data, most=256)
    assert samples.learn.source == "400 of 500 samples of calib.npz"
    assert samples.calibrate.source == "256 of 500 samples of calib.npz"
    assert samples.choose.source == "64 of 500 samples of calib.npz"
    assert samples.judge.source == "100 held out of 500 samples of calib.npz"
    assert thin(data, 256).source == "256 of 500 samples of calib.npz"


def test_held_out_samples_choose_nothing(network: nn.Module, model: Path) -> None:
    """Ten times as large they leave every integer as it was, and are what is told of."""
    x = drawn(30, 3.0)
    plain = myoedge.quantize(model, calib=x)
    numbers = plain.fidelity.outputs[plain.network.graph.outputs[0]].numbers
    changed = x.copy()
    changed[list(numbers)] *= 10
    other = myoedge.quantize(model, calib=changed)
    assert other.network.params == plain.network.params
    assert other.observers_db == plain.observers_db
    assert other.fidelity.worst_db is not None
    expected = kept_db(network, other, changed[list(numbers)])
    assert other.fidelity.worst_db == pytest.approx(expected, abs=0.01)


def test_without_holdout_all_samples_do_both(model: Path) -> None:
    quantized = myoedge.quantize(model, calib=drawn(30, 3.0), holdout=0.0)
    assert quantized.network.calibration.count == 30
    assert len(quantized.fidelity.integer) == 30


@pytest.mark.parametrize("share", [-0.1, 0.95, math.nan])
def test_a_share_out_of_range_is_refused(model: Path, share: float) -> None:
    with pytest.raises(MyoedgeError, match="E203"):
        myoedge.quantize(model, calib=drawn(30, 3.0), holdout=share)


def test_the_report_tells_both(model: Path, tmp_path: Path) -> None:
    build = myoedge.build(model, calib=drawn(30, 3.0), output=tmp_path / "out", simulate=False)
    told = build.report["quantization"]
    assert told["holdout"] == {"samples": 6, "share": 0.2, "seed": 0}
    assert (told["samples"], told["judged_on"]) == (6, "held-out")
    assert told["calibration"]["samples"] == 24
    assert set(told["observers_db"]) == {METHODS[0]}
    assert build.report["outputs"][0]["worst_sample"] in range(30)
    assert "min-max" in calibrated(build.report)
    page, _, _ = (build.folder / "report.html").read_text().partition("<script")
    assert page.count("6 held-out samples") == 2
    assert "6 calibration samples" not in page
    weakest = {"name": build.report["layers"][0]["name"], "sqnr_local_db": 12.0}
    for tried, remedy in ((told["observers_db"], "--accurate"), ({}, "--method auto")):
        weak = {**told, "weakest": weakest, "observers_db": tried, "sqnr_db": 20.0}
        assert f"try {remedy}" in advice({**build.report, "quantization": weak})


class Rounded(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.round(4 * x) / 4


def test_accuracy_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    """Rounding reads 8 bits alone, here of a channel far from all others."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(4, 8, 3), Rounded(), nn.Conv1d(8, 8, 1))
    with torch.no_grad():
        net[0].weight[0] *= 300.0
        net[2].weight[:, 0] = 0.0
    file = save_exported(net.eval(), (torch.zeros(1, 4, 20),), tmp_path / "net.pt2")
    calib = np.random.default_rng(0).standard_normal((8, 1, 4, 20)).astype(np.float32)
    usual, accurate = (myoedge.quantize(file, calib=calib, accurate=x) for x in (False, True))
    least, most = (x.fidelity.worst_judged_db for x in (usual, accurate))
    assert least is not None
    assert most is not None
    assert least <= most < 30.0
    assert "W105" not in {warning.code for warning in usual.warnings}
    assert "W105" in {warning.code for warning in accurate.warnings}
