# SPDX-License-Identifier: Apache-2.0
"""Convolutions on NE16 with the mean of their rows as one layer, and tiles that follow each other
without a pause of the engine: equal integers on the host and on the simulated chip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import myoedge
from tests.e2e.test_ne16_layers import assert_exact, built
from tests.support.oracles.torch import Net

Made = Callable[[Tensor], Tensor]
WIDE = (1, 20, 29, 4)


def network(layer: nn.Module, result: Made = lambda y: y.mean(-1)) -> nn.Module:
    return Net(lambda self, x: result(self.layer(x)), layer=layer)


def products_of(layer: nn.Module, x: Tensor) -> int:
    """Multiply-accumulates of a convolution, or of the first layer of several."""
    conv = layer[0] if isinstance(layer, nn.Sequential) else layer
    with torch.no_grad():
        return int(conv(x).numel()) * int(conv.weight[0].numel())


def computed(build: myoedge.Build) -> list[str]:
    """Operators of layers that do more than move values."""
    moves = ("transpose", "slice", "concat")
    return [row["op"] for row in build.report["layers"] if row["op"] not in moves]


@pytest.mark.parametrize(
    ("layer", "shape", "l1"),
    [
        (nn.Sequential(nn.Conv2d(20, 40, (1, 2)), nn.ReLU()), WIDE, None),
        (nn.Sequential(nn.Conv2d(17, 37, 3, padding=1), nn.GELU()), (1, 17, 14, 7), "24KiB"),
        pytest.param(nn.Conv2d(24, 70, 1), (1, 24, 31, 3), None, marks=pytest.mark.slow),
        pytest.param(
            nn.Conv2d(20, 100, (1, 3), stride=2), (1, 20, 61, 7), None, marks=pytest.mark.slow
        ),
    ],
)
def test_the_mean_of_rows_is_taken_beside_the_engine(
    layer: nn.Module, shape: tuple[int, ...], l1: str | None, tmp_path: Path
) -> None:
    """Last rows that fill no tile of the engine; a table between both; blocks of channels."""
    torch.manual_seed(0)
    build = built(network(layer), shape, tmp_path, l1)
    assert computed(build) == ["conv"]
    (row,) = (row for row in build.report["layers"] if row["op"] == "conv")
    assert row["engine"] == "ne16"
    assert row["other_engine"].startswith("cores: ")
    n, channels, rows = network(layer)(torch.zeros(shape)).shape
    assert row["out_shape"] == [n, rows, channels]
    assert row["macs"] == products_of(layer, torch.zeros(shape))
    assert_exact(build)


@pytest.mark.parametrize(
    "result",
    [
        lambda y: y.mean(-2),  # over columns
        lambda y: (y, y.mean(-1)),  # results that are handed out
        lambda y: y.mean(-1) + y[..., 0],  # that another layer reads
    ],
)
def test_other_means_are_layers(result: Made, tmp_path: Path) -> None:
    torch.manual_seed(0)
    build = built(network(nn.Conv2d(20, 40, (1, 2)), result), WIDE, tmp_path)
    found = [row["members"] or [row["op"]] for row in build.report["layers"]]
    assert any("mean" in ops for ops in found)


def test_the_mean_over_rotations_is_one_layer(tmp_path: Path) -> None:
    """emg2qwerty's layers on rotations of the electrodes."""
    torch.manual_seed(0)

    def result(self: nn.Module, x: Tensor) -> Tensor:
        rotated = torch.stack([x.roll(by, 2) for by in (-1, 0, 1)], 2).flatten(3)
        made: Tensor = self.layer(rotated).mean(2)
        return made

    rotations = Net(result, layer=nn.Sequential(nn.Linear(16 * 9, 70), nn.ReLU()))
    build = built(rotations, (21, 1, 16, 9), tmp_path)
    assert computed(build) == ["conv"]
    assert build.report["model"]["macs"] == 21 * 3 * 16 * 9 * 70
    assert_exact(build)


@pytest.mark.parametrize(
    ("rows", "l1"),
    [(59, "70KiB"), pytest.param(25, "40KiB", marks=pytest.mark.slow)],  # four jobs a tile; three
)
def test_gates_in_tiles_whose_jobs_follow_each_other(rows: int, l1: str, tmp_path: Path) -> None:
    """Tiles of an even number of jobs start the next one's first."""
    torch.manual_seed(0)
    build = built(nn.LSTM(512, 32), (rows, 1, 512), tmp_path, l1)
    text = (build.folder / "src" / "network.c").read_text()
    assert ("? &me_jobs[" in text) == (rows == 59)
    assert_exact(build)


def test_the_engine_hardly_pauses_between_tiles(tmp_path: Path) -> None:
    """By the formula of the engine 54,000 cycles; at most a fifth more beside L1's conflicts, the
    first tile's load and the last one's store."""
    torch.manual_seed(0)
    build = built(nn.Linear(256, 384), (54, 256), tmp_path, "64KiB")
    (row,) = (row for row in myoedge.simulate(build).report["layers"] if row["macs"])
    assert row["tiles"] > 4
    assert row["cycles"] < 1.2 * 6 * 12 * (16 * 63 + 22)
