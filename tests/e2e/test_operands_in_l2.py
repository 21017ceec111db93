# SPDX-License-Identifier: Apache-2.0
"""Layers of which no tile fits L1: the same kernels on operands that stay in L2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from tests.conftest import save_exported

SHAPE = (3, 1, 8)


class Outputs(nn.Module):
    """The outputs of recurrent layers behind each other, without their last states."""

    def __init__(self, kind: type[nn.RNNBase], units: tuple[int, ...]) -> None:
        super().__init__()
        inputs = (SHAPE[-1], *units)
        self.layers = nn.ModuleList(kind(c, k) for c, k in zip(inputs, units, strict=False))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)[0]
        return x


LSTM, GRU = ((Outputs(kind, (64,)), (2, 500, 8)) for kind in (nn.LSTM, nn.GRU))


def built(folder: Path, network: nn.Module, shape: tuple[int, ...], **sizes: str) -> myoedge.Build:
    torch.manual_seed(0)
    model = save_exported(network, (torch.zeros(shape),), folder / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((2, *shape), np.float32)
    return myoedge.build(model, calib=calib, output=folder / "out", **sizes)


def in_l2(build: myoedge.Build) -> list[Any]:
    """By step the operands that stay in L2."""
    plan = json.loads((build.folder / "plan.json").read_text())
    tiles = (step["tiles"] for step in plan["steps"])
    return [row["stays_in_l2"] for row in tiles if row and "stays_in_l2" in row]


def exact(build: myoedge.Build) -> bool:
    return myoedge.validate(build, on=("host", "simulator")).difference is None


def against_torch_db(build: myoedge.Build, network: nn.Module) -> float:
    """SQNR of the build's golden output against torch's."""
    given, found = (
        np.load(build.folder / "golden" / f"{name}.npz") for name in ("input", "output")
    )
    with torch.no_grad():
        wanted = network(torch.from_numpy(given["input"])).numpy()
    error = wanted - found[next(name for name in found.files if not name.endswith(".q"))]
    return float(10 * np.log10((wanted**2).mean() / (error**2).mean()))


@pytest.mark.slow
def test_weights_of_a_gru_have_three_rows_a_unit_in_l2(tmp_path: Path) -> None:
    """As the network has them: with a fourth they would lie in L3."""
    build = built(tmp_path, Outputs(nn.GRU, (240,)), SHAPE, l2="210KiB")
    assert 3 * 240**2 < 210 * 1024 < 4 * 240**2
    assert build.report["memory"]["l3_bytes"] == 0
    assert exact(build)


class Product(nn.Module):
    """A matrix product of two inputs."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2] @ x[:, 2:].transpose(1, 2)


@pytest.mark.parametrize(
    ("network", "shape", "function"),
    [
        (nn.Linear(20_000, 4), (3, 20_000), "me_linear_in_place_s8"),
        (Product(), (1, 5, 30_002), "me_matmul_in_place_s8"),
        (nn.Conv2d(3, 4, (12, 533)), (1, 3, 12, 535), "me_conv_s8"),
        (nn.Conv2d(16, 16, 81, groups=16), (1, 16, 81, 81), "me_group_conv_s8"),
        (nn.Conv2d(2, 2, (301, 351), groups=2), (1, 2, 301, 351), "me_group_conv_s8"),
        (nn.Conv2d(2, 2, 3, groups=2, dilation=(150, 175)), (1, 2, 301, 351), "me_group_conv_s8"),
        (nn.MaxPool1d(40_000), (1, 2, 40_000), "me_chain_"),
    ],
    ids=["linear", "product", "conv", "depthwise", "two channels", "dilated", "pool"],
)
def test_kernels_of_little_scratch(
    tmp_path: Path, network: nn.Module, shape: tuple[int, ...], function: str
) -> None:
    build = built(tmp_path, network, shape, engine="cores")
    plan = json.loads((build.folder / "plan.json").read_text())
    assert any(step["tiles"]["kernel"].startswith(function) for step in plan["steps"])
    assert exact(build)


LONG_GROUPS: tuple[tuple[int, dict[str, Any], tuple[int, ...]], ...] = (
    (2, {"kernel_size": 3, "dilation": 75, "padding": 7, "stride": (2, 3)}, (12, 171, 165)),
    (2, {"kernel_size": (41, 97), "stride": (1, 2), "padding": (0, 1)}, (64, 42, 99)),
    (2, {"kernel_size": (241, 250)}, (4, 241, 251)),
)


@pytest.mark.parametrize(
    ("groups", "options", "shape"),
    [
        (2, {"kernel_size": 3, "dilation": (60, 70)}, (16, 131, 145)),
        (3, {"kernel_size": (2, 5), "dilation": (99, 30), "padding": (0, 64)}, (39, 100, 101)),
        *(
            pytest.param(groups, options, shape, marks=pytest.mark.slow)
            for groups, options, shape in LONG_GROUPS
        ),
    ],
    ids=["dilated", "odd", "padded", "strided", "few channels"],
)  # fmt: skip
def test_groups_of_an_input_larger_than_l1(
    tmp_path: Path, groups: int, options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    """Outputs are those of torch, within int8: a group's channels are no run of bytes in L2."""
    network = nn.Conv2d(shape[0], 2 * groups, groups=groups, **options)
    build = built(tmp_path, network, (1, *shape))
    (operands,) = in_l2(build)
    assert "x" in operands
    assert exact(build)
    assert against_torch_db(build, network) > 30


def test_windows_of_16_bits_are_read_by_rows_of_an_image_in_l2(tmp_path: Path) -> None:
    """Scratch of all windows of a row of results would be larger than L1: rows are cut."""
    layers = (
        nn.Conv2d(1, 16, 1),
        nn.Conv2d(16, 3, (3, 7), padding=(1, 0), dilation=(30, 11)),
        nn.Conv2d(3, 3, 1),
    )
    network, config = nn.Sequential(*layers), tmp_path / "sqnr.toml"
    config.write_text("[budget]\nsqnr = 46\n")
    build = built(tmp_path, network, (1, 1, 59, 247), config=str(config), method="minmax")
    row = build.layers[1]
    assert (row["in_dtypes"], row["weight_dtype"]) == (["int16"], "int16")
    assert row["out_shape"] == [1, 1, 181, 3]
    assert 1 < row["tiles"] < 181
    assert in_l2(build) == [["x"]]
    assert exact(build)
    assert against_torch_db(build, network) > 44


@pytest.mark.parametrize(
    ("network", "shape", "operands", "least"),
    [
        pytest.param(*LSTM, ["gates", "scratch", "y"], 500 * 64 * 4, marks=pytest.mark.slow),
        pytest.param(*GRU, ["gates", "scratch"], 500 * 64 * 4, marks=pytest.mark.slow),
    ],
    ids=["lstm", "gru"],
)
def test_scratch_larger_than_l1_lies_in_l2(
    tmp_path: Path, network: nn.Module, shape: tuple[int, ...], operands: list[str], least: int
) -> None:
    build = built(tmp_path, network, shape)
    assert in_l2(build) == [operands]
    rows = [row for row in build.report["memory"]["buffers"] if row["kind"] == "scratch"]
    assert [(row["step"], row["last_step"]) for row in rows] == [(1, 1)]
    assert least <= rows[0]["size_bytes"] < 1.01 * least
    assert exact(build)


@pytest.mark.parametrize(
    ("network", "shape", "operands"),
    [
        (nn.Conv1d(24, 8, 1900, groups=2), (1, 24, 1902), ["weights"]),
        (nn.Linear(20_480, 4), (3, 20_480), ["weights"]),
        (nn.Conv1d(32, 8, 5, dilation=1100), (1, 32, 4402), ["x"]),
        pytest.param(  # 3 columns are not read
            *(nn.Conv2d(16, 4, 100, 7, groups=2), (1, 16, 138, 138), ["weights", "x"]),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["sequence", "linear", "dilated", "strided"],
)
def test_products(
    tmp_path: Path, network: nn.Module, shape: tuple[int, ...], operands: list[str]
) -> None:
    build = built(tmp_path, network, shape, engine="cores")
    assert in_l2(build) == [operands]
    assert exact(build)
