# SPDX-License-Identifier: Apache-2.0
"""Linear layers on NE16 with the sum of their results and another tensor as one layer: equal
integers on the host and on the simulated chip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.e2e.test_ne16_layers import assert_exact, built
from tests.e2e.test_ne16_mean import computed
from tests.torch_oracle import Net

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
