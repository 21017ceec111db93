# SPDX-License-Identifier: Apache-2.0
"""LSTMs with steps of their own: equal integers on the host and on the simulated chip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from tests.conftest import save_exported
from tests.e2e.test_streamed_weights import States
from tests.unit.test_first_steps import Decoder

pytestmark = pytest.mark.filterwarnings("ignore:The tensor attributes")


@pytest.mark.parametrize(
    ("kernels", "bits", "options"),
    [
        ({"me_ne16_lstm_scaled_s8"}, 8, {"engine": "ne16"}),
        pytest.param({"me_lstm_scaled_s8"}, 8, {}, marks=pytest.mark.slow),
        pytest.param({"me_lstm_streamed_scaled_s8"}, 8, {"l1": "24KiB"}, marks=pytest.mark.slow),
        pytest.param({"me_lstm_streamed_scaled_s16"}, 16, {"l1": "30KiB"}, marks=pytest.mark.slow),
    ],
)
def test_lstms_with_steps_of_their_own_are_exact(
    kernels: set[str], bits: int, options: dict[str, Any], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network, shape = States(nn.LSTM, 8, 72), (7, 1, 8)
    with torch.no_grad():
        for weight in network.parameters():
            weight *= 0.03
    model = save_exported(network, (torch.zeros(shape),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((4, *shape), np.float32)
    (tmp_path / "myoedge.toml").write_text(f'[quant]\n"*" = {{ activations = {bits} }}\n')
    given = {"engine": "cores", "config": tmp_path / "myoedge.toml", **options}
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", simulate=False, **given)
    source = (build.folder / "src" / "network.c").read_text()
    assert {name for name in kernels if f"{name}(" not in source} == set()
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


@pytest.mark.parametrize("bits", [8, 16])
def test_steps_one_by_one_are_exact(bits: int, tmp_path: Path) -> None:
    """Products with h of all sequences, then h and c of them; a first step from zeros too."""
    torch.manual_seed(0)
    model = save_exported(Decoder(3, 0.0).eval(), (torch.zeros(9, 5),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((4, 9, 5)).astype(np.float32)
    (tmp_path / "myoedge.toml").write_text(f'[quant]\n"*" = {{ activations = {bits} }}\n')
    given = {"config": tmp_path / "myoedge.toml", "simulate": False}
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", **given)
    layers = json.loads((build.folder / "report.json").read_text())["layers"]
    run = {op for layer in layers for op in (layer["op"], *layer.get("members", ()))}
    assert {"lstm_next", "lstm_next_cell"} <= run
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference
