# SPDX-License-Identifier: Apache-2.0
"""Rows or columns of weights 187 times as large as the others, whose tensors have one scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

import myoedge
from myoedge.numerics.arrays import Array
from tests.conftest import save_exported

LARGE, TIMES = [3, 17, 30], 187


def network(*, is_of_rows: bool) -> nn.Module:
    torch.manual_seed(0)
    layer, head = nn.Linear(48, 48), nn.Linear(48, 8)
    with torch.no_grad():
        if is_of_rows:  # results in 8 bits leave the other rows next to nothing in front of tanh
            layer.weight[LARGE] *= TIMES
        else:  # inputs that are hardly there have the only weights that 8 bits tell apart
            layer.weight[:, LARGE] *= TIMES
    return nn.Sequential(layer, nn.Tanh(), head).eval()


def output_db(made: nn.Module, x: Array, folder: Path, *, accurate: bool) -> float:
    model = save_exported(made, (torch.zeros(1, 48),), folder / "model.pt2")
    (output,) = myoedge.quantize(model, calib=x, accurate=accurate).outputs()
    return float(output["sqnr_db"])


def test_rows_keep_25_db_by_16_bits_of_their_results(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(32, 1, 48)).astype(np.float32)
    assert output_db(network(is_of_rows=True), x, tmp_path, accurate=False) >= 25.0


def small_inputs() -> Array:
    x = np.random.default_rng(0).normal(size=(32, 1, 48)).astype(np.float32)
    x[:, :, LARGE] /= TIMES
    return x


def test_columns_keep_30_db_by_factors_of_the_input(tmp_path: Path) -> None:
    """Powers of two that the host multiplies with, and no 16 bits."""
    made, x = network(is_of_rows=False), small_inputs()
    model = save_exported(made, (torch.zeros(1, 48),), tmp_path / "model.pt2")
    build = myoedge.build(model, calib=x, target="gap9", output=tmp_path / "build")
    assert build.report["quantization"]["sqnr_db"] >= 30.0
    (border,) = build.network.graph.input_normalization.values()
    powers = np.log2(border.scale)
    assert np.array_equal(powers, np.rint(powers))
    assert powers[LARGE].min() >= 6.0 + np.delete(powers, LARGE).max()
    assert not build.network.int16
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference
    with torch.no_grad():
        wanted = made(torch.from_numpy(x[0])).numpy()
    assert np.abs(build.run(x[0]) - wanted).max() < 0.05 * np.abs(wanted).max()
    file = build.folder / "model.int8.onnx"
    again = myoedge.build(file, calib=x, target="gap9", output=tmp_path / "again")
    assert np.array_equal(again.run(x[0]), build.run(x[0]))


def test_another_build_keeps_the_factors(tmp_path: Path) -> None:
    made, x = network(is_of_rows=False), small_inputs()
    model = save_exported(made, (torch.zeros(1, 48),), tmp_path / "model.pt2")
    options = {"calib": x, "target": "gap9", "simulate": False}
    build = myoedge.build(model, output=tmp_path / "build", **options)
    reused = myoedge.build(model, output=tmp_path / "reused", reuse=build, **options)
    assert (
        reused.network.graph.input_normalization.keys()
        == build.network.graph.input_normalization.keys()
    )
    assert not reused.report["reused"]["requantised"]
    assert reused.report["quantization"]["sqnr_db"] == build.report["quantization"]["sqnr_db"]


def test_columns_behind_a_function_take_16_bits(tmp_path: Path) -> None:
    """No factor passes a tanh. Most of this network's cycles: only where --accurate allows them."""
    made = nn.Sequential(nn.Tanh(), *network(is_of_rows=False)).eval()
    assert output_db(made, small_inputs(), tmp_path, accurate=True) >= 30.0
