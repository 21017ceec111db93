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
        model,
        target="gap9",
        calib=calib,
        config=config,
        engine="ne16",
        output=folder / "built",
        simulate=False,
    )


def planes_bytes(bits: int) -> int:
    """Of 3x3 filters of 32 of 20 inputs, of 48 of 40 single channels, of 48 of 40 inputs."""
    return (40 * 32 * 9 + 48 * 9 + 37 * 48) * bits // 8


def test_as_many_bit_planes_as_bits(tmp_path: Path) -> None:
    made = built(tmp_path, 5)
    layers = [row for row in made.report["layers"] if row["weight_bits"]]
    assert [(row["engine"], row["weight_bits"]) for row in layers] == [("ne16", 5)] * 3
    numbers_bytes = (40 + 40 + 37) * 7  # biases, shifts, multipliers of one or two bytes
    stored = sum(row["weights_bytes"] for row in layers)
    assert planes_bytes(5) < stored <= planes_bytes(5) + numbers_bytes + 12
    checked = myoedge.validate(made, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference
