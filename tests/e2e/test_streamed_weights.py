# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers whose weights L1 has no room for: some come again from L2 in every step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from tests.conftest import of_networks, save_exported
from tests.support.schemas import check_folder

pytestmark = pytest.mark.filterwarnings("ignore:The tensor attributes")


class States(nn.Module):
    """Outputs of a recurrent network of so many units, and its last states."""

    def __init__(self, kind: type[nn.RNNBase], *units: int, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(0)  # also where a network is made before its test begins
        self.layers = kind(*units, **options)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y, states = self.layers(x)
        return (y, *states) if isinstance(states, tuple) else (y, states)


def built(
    folder: Path, network: nn.Module, shape: tuple[int, ...], **options: str
) -> myoedge.Build:
    torch.manual_seed(0)
    model = save_exported(network, (torch.zeros(shape),), folder / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((2, *shape), np.float32)
    return myoedge.build(
        model, calib=calib, output=folder / "out", engine="cores", simulate=False, **options
    )


def usual(kernel: str) -> str:
    """A kernel's name, whether or not untrained weights ask for steps of an LSTM's own."""
    return kernel.replace("scaled_", "")


def tilings(build: myoedge.Build) -> list[dict[str, Any]]:
    """Tiles of the recurrent layers, as plan.json has them."""
    plan = json.loads((build.folder / "plan.json").read_text())
    recurrent = ("lstm", "lstm_cell", "gru", "gru_state")
    return [step["tiles"] for step in plan["steps"] if step["op"] in recurrent]


@pytest.mark.parametrize(
    ("network", "shape", "sizes"),
    [
        (States(nn.LSTM, 8, 181), (3, 1, 8), {}),
        (States(nn.LSTM, 8, 180, num_layers=2), (3, 1, 8), {"l2": "240KiB"}),
        (States(nn.GRU, 8, 240), (3, 1, 8), {"l2": "250KiB"}),
        (States(nn.LSTM, 6, 70, bidirectional=True), (4, 2, 6), {"l1": "30KiB"}),
        (States(nn.GRU, 5, 83, bidirectional=True), (4, 3, 5), {"l1": "30KiB"}),
    ],
    ids=["lstm", "from L3", "gru", "two directions of two sequences", "gru of three sequences"],
)
def test_it_is_exact(
    tmp_path: Path, network: nn.Module, shape: tuple[int, ...], sizes: dict[str, str]
) -> None:
    build = built(tmp_path, network, shape, **sizes)
    check_folder(build.folder)
    for tiling in tilings(build):
        assert usual(tiling["kernel"]) in ("me_lstm_streamed_s8", "me_gru_streamed_s8")
        assert "stays_in_l2" not in tiling
        assert tiling["sizes"]["t"] == 1
        assert tiling["count"] > shape[0]
    # how many dB untrained weights keep, at the output and in a layer, is drawn with them
    assert {*of_networks(build.report["warnings"])} <= {"W102", "W104"}
    assert myoedge.validate(build, on=("host", "simulator")).difference is None


def test_some_weights_stay_in_l1(tmp_path: Path) -> None:
    """All weights once, and those that do not stay again in each of the other steps."""
    units, steps = 192, 5
    build = built(tmp_path, States(nn.LSTM, 8, units), (steps, 1, 8))
    tiling = tilings(build)[0]
    sizes = {row["operand"]: row["size_bytes"] for row in tiling["buffers"]}
    weights = 4 * units * (units + 16)
    resident = sizes["resident_weights"] + sizes["resident_channels"]
    assert resident > weights // 3
    others = tiling["transfer_bytes"] - (steps * (weights - resident) + resident)
    assert 0 <= others < steps * units * 16


def test_weights_that_fit_l1_all_stay(tmp_path: Path) -> None:
    """As small layers always had it: tiles of some steps."""
    build = built(tmp_path, States(nn.LSTM, 8, 96), (20, 1, 8))
    assert {usual(tiling["kernel"]) for tiling in tilings(build)} == {"me_lstm_s8"}


@pytest.mark.slow
def test_more_steps_than_a_layer_has_tiles_else(tmp_path: Path) -> None:
    """Gates of all steps, 560 KB, lie in L3 beside weights of 270 KB in L2."""
    network = States(nn.LSTM, 4, 256)
    build = built(tmp_path, network, (900, 1, 4), l2="640KiB")
    assert tilings(build)[0]["count"] > 4096
    assert build.report["memory"]["l3_bytes"] > 0
    assert myoedge.validate(build, on=("host",)).difference is None


class Steps(States):
    """Outputs alone."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[0]


def test_a_stream_whose_weights_come_from_l3(tmp_path: Path) -> None:
    """Once a pass of some frames, h and c between passes."""
    network, toml = Steps(nn.LSTM, 8, 180), tmp_path / "myoedge.toml"
    toml.write_text("[stream]\nframes = 5\n")
    build = built(tmp_path, network, (15, 1, 8), stream=True, config=str(toml), l2="110KiB")
    assert {usual(tiling["kernel"]) for tiling in tilings(build)} == {"me_lstm_streamed_s8"}
    assert build.report["memory"]["l3_bytes"] > 180 * 180
    assert myoedge.validate(build, on=("host",)).difference is None
