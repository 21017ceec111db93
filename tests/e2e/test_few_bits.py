# SPDX-License-Identifier: Apache-2.0
"""Weights of few bits on NE16: equal integers on host and simulated chip, fewer bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

import myoedge
from tests.conftest import save_exported

SHAPE = (1, 20, 9, 10)


def built(folder: Path, bits: int) -> myoedge.Build:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(20, 40, 3, padding=1),
        nn.Conv2d(40, 40, 3, padding=1, groups=40),
        nn.Conv2d(40, 37, 1),
    )
    model = save_exported(network.eval(), (torch.zeros(SHAPE),), folder / "model.pt2")
    config = folder / "myoedge.toml"
    config.write_text(f'[quant]\n"*" = {{ weights = {bits} }}\n')
    calib = np.random.default_rng(0).normal(size=(8, *SHAPE)).astype(np.float32)
    return myoedge.build(
        model, target="gap9", calib=calib, config=config, engine="ne16", output=folder / "built"
    )


def test_as_many_bit_planes_as_bits(tmp_path: Path) -> None:
    bytes_of, cycles = {}, {}
    for bits in (8, 5):
        folder = tmp_path / str(bits)
        folder.mkdir()
        made = built(folder, bits)
        rows = made.report["layers"]
        layers = [row for row in rows if row["weight_bits"]]
        assert [(row["engine"], row["weight_bits"]) for row in layers] == [("ne16", bits)] * 3
        checked = myoedge.validate(made, on=("host", "simulator"))
        assert checked.exact["host"], checked.difference
        assert checked.exact["simulator"], checked.difference
        bytes_of[bits] = sum(row["weights_bytes"] for row in layers)
        cycles[bits] = made.report["cycles"]["total"]
    assert cycles[5] < cycles[8]
    planes = {n: 40 * 32 * 9 * n // 8 + 48 * 9 * n // 8 + 37 * 48 * n // 8 for n in (8, 5)}
    assert bytes_of[8] - bytes_of[5] == planes[8] - planes[5]
