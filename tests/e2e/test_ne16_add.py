# SPDX-License-Identifier: Apache-2.0
"""Linear layers and convolutions on NE16 with the sum of their results and another tensor as one
layer: equal integers on the host and on the simulated chip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from tests.conftest import thinned
from tests.e2e.test_ne16_layers import assert_exact, built
from tests.e2e.test_ne16_mean import computed
from tests.support.oracles.torch import Net

Made = Callable[[Any, Tensor], Tensor | tuple[Tensor, ...]]


def network(made: Made, **layers: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return Net(made, **layers)


@pytest.mark.parametrize(
    ("made", "layer", "rows", "l1"),
    [
        (lambda net, x: x + net.layer(x), nn.Linear(64, 64), 100, None),
        (lambda net, x: net.layer(x) - x, nn.Linear(72, 72), 53, "24KiB"),  # as a sum
        (lambda net, x: net.layer(x) + x, nn.Sequential(nn.Linear(40, 40), nn.GELU()), 61, "20KiB"),
        (lambda net, x: net.layer(x) + 3 * x, nn.Linear(36, 36), 35, None),  # eight rows are nine
        pytest.param(
            lambda net, x: x + net.layer(x),
            nn.Linear(200, 200),
            62,
            "40KiB",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_sum_is_taken_beside_the_engine(
    made: Made, layer: nn.Module, rows: int, l1: str | None, tmp_path: Path
) -> None:
    """Rows in one tile and in several, all outputs of a row and a part of them; results with a
    table; either order of the operands."""
    width = next(layer.parameters()).shape[1]
    build = built(network(made, layer=layer), (1, rows, width), tmp_path, l1)
    row = next(row for row in build.report["layers"] if row["op"] == "linear")
    assert row["engine"] == "ne16"
    assert_exact(build)


CONVOLUTIONS: dict[str, tuple[Made, nn.Module, tuple[int, ...], str | None]] = {
    "3x3": (lambda net, x: net.layer(x) + x, nn.Conv2d(17, 17, 3, padding=1), (17, 31, 29), None),
    "3x3 in several tiles, with a clamp": (
        lambda net, x: torch.relu(x + net.layer(x)),
        nn.Conv2d(40, 40, 3, padding=1),
        (40, 33, 17),
        "64KiB",
    ),
    "3x3 with a table": (
        lambda net, x: net.layer(x) - 2 * x,
        nn.Sequential(nn.Conv2d(36, 36, 3, padding=1), nn.GELU()),
        (36, 21, 13),
        None,
    ),
    "pixels": (lambda net, x: x - net.layer(x), nn.Conv2d(21, 21, 1), (21, 31, 17), None),
    "windows": (
        lambda net, x: net.layer(x) + x[..., ::2, ::2],
        nn.Conv2d(16, 16, 3, 2, padding=1),
        (16, 30, 34),
        None,
    ),
    "taps of a row": (
        lambda net, x: x + net.layer(x),
        nn.Conv1d(40, 40, 9, padding=4),
        (40, 301),
        None,
    ),
    "dilated taps, one group per input": (
        lambda net, x: x + net.layer(x),
        nn.Conv1d(45, 45, 5, padding=8, dilation=4, groups=45),
        (45, 783),
        None,
    ),
    "groups one after another": (
        lambda net, x: x + net.layer(x),
        nn.Conv1d(96, 96, 3, padding=1, groups=3),
        (96, 200),
        None,
    ),
}


@pytest.mark.parametrize("case", thinned(CONVOLUTIONS))
def test_convolutions_are_summed_beside_the_engine(case: str, tmp_path: Path) -> None:
    """Every kind of job; odd sizes, clamps, tables, tiles, groups, differences."""
    made, layer, shape, l1 = CONVOLUTIONS[case]
    build = built(network(made, layer=layer), (2, *shape), tmp_path, l1, "ne16")
    assert [op for op in computed(build) if op in ("conv", "add")] == ["conv"]
    assert_exact(build)


def test_rows_that_share_a_word_with_a_running_job_wait_for_its_end(tmp_path: Path) -> None:
    """Nine rows of 65 bytes end inside a word, which the next tile's operands replace whole."""
    block = network(lambda net, x: x + net.layer(x), layer=nn.Linear(65, 65))
    assert_exact(built(block, (1, 90, 65), tmp_path, "24KiB", "ne16"))


def test_a_sum_goes_to_the_longer_of_two_convolutions(tmp_path: Path) -> None:
    """The shorter one, though later in the network, runs first."""

    def made(net: Any, x: Tensor) -> Tensor:
        result: Tensor = net.long(x) + net.short(x)
        return result

    block = network(made, long=nn.Conv2d(32, 32, 3, padding=1), short=nn.Conv2d(32, 32, 1))
    build = built(block, (1, 32, 24, 24), tmp_path)
    rows = [row for row in build.report["layers"] if row["op"] == "conv"]
    assert len(rows) == 2
    assert "add" not in computed(build)
    assert [len(row["in_shapes"]) for row in rows] == [1, 2]
    assert rows[1]["macs"] > rows[0]["macs"]
    assert_exact(build)


def test_a_fused_sum_with_an_input_is_reused(tmp_path: Path) -> None:
    """The first operand of the sum is the network's input."""
    block = network(lambda net, x: x + net.layer(x), layer=nn.Linear(64, 64))
    build = built(block, (1, 200, 64), tmp_path)
    calib = np.random.default_rng(0).standard_normal((4, 1, 200, 64)).astype(np.float32)
    model = tmp_path / "model.pt2"
    again = myoedge.build(
        model, calib=calib, output=tmp_path / "again", reuse=build, simulate=False
    )
    assert computed(again) == ["linear"]
    assert again.report["reused"]["kept"]


def test_a_residual_block_is_one_layer_of_each_kind(tmp_path: Path) -> None:
    """The second layer's results are added to what came before the first one."""

    def made(net: Any, x: Tensor) -> Tensor:
        result: Tensor = x + net.second(net.first(x))
        return result

    block = network(made, first=nn.Linear(64, 128), second=nn.Linear(128, 64))
    build = built(block, (1, 200, 64), tmp_path)
    assert computed(build) == ["linear", "linear"]
    row = build.report["layers"][-1]
    assert len(row["in_shapes"]) == 2
    assert row["other_engine"].startswith("cores: ")
    assert_exact(build)


@pytest.mark.parametrize(
    "made",
    [
        lambda net, x: net.layer(x) + x[:, :1],  # broadcast
        lambda net, x: (y := net.layer(x), y + x),  # results that are handed out
        lambda net, x: (y := net.layer(x)) + x * y.mean(),  # that another layer reads
        lambda net, x: net.layer(x) + net.later(net.layer(x)),  # computed later
    ],
)
def test_other_sums_are_layers(made: Made, tmp_path: Path) -> None:
    layers = {"layer": nn.Linear(64, 64), "later": nn.Linear(64, 64)}
    build = built(network(made, **layers), (1, 60, 64), tmp_path)
    assert "add" in computed(build) or "later" in str(build.report["layers"])
    assert_exact(build)
