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


def test_columns_take_16_bits_of_inputs_and_weights(tmp_path: Path) -> None:
    """Most of this network's cycles: only where --accurate allows them."""
    x = np.random.default_rng(0).normal(size=(32, 1, 48)).astype(np.float32)
    x[:, :, LARGE] /= TIMES
    assert output_db(network(is_of_rows=False), x, tmp_path, accurate=True) >= 30.0
