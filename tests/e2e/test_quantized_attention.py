# SPDX-License-Identifier: Apache-2.0
"""Attention of a file that is quantised already, of more keys than exponentials of a byte are exact
enough for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.quantization.reuse import equal
from tests.conftest import save_exported

KEYS, CHANNELS, HEADS = 200, 16, 2
X = np.random.default_rng(0).standard_normal((12, 1, KEYS, CHANNELS)).astype(np.float32)
AGREES_DB, WANTED_DB = 40.0, 45.0
FINER = "exponentials of 15 bits"


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(CHANNELS, 3 * CHANNELS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, 2)
        )
        return nn.functional.scaled_dot_product_attention(3.0 * q, 3.0 * k, v)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A QDQ file, whose softmax is in float."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("quantized")
    model = save_exported(Attention().eval(), (torch.zeros(X.shape[1:]),), folder / "model.pt2")
    build = myoedge.build(model, calib=X, output=folder / "build", target="gap9", simulate=False)
    return build.folder / "model.int8.onnx"


def built(file: Path, folder: Path, table: str = "", **options: Any) -> myoedge.Build:
    folder.mkdir()
    config = folder / "my.toml"
    config.write_text(table)
    options = {"target": "gap9", "engine": "cores", "simulate": False, **options}
    return myoedge.build(file, calib=X, output=folder / "build", config=config, **options)


def tried(build: myoedge.Build) -> list[str]:
    return [row["remedy"] for row in build.report["quantization"]["choices"] if row["kept"]]


def test_bytes_by_default(file: Path, tmp_path: Path) -> None:
    build = built(file, tmp_path / "usual")
    assert 30.0 < build.report["quantization"]["sqnr_db"] < AGREES_DB
    assert not tried(build)
    few = "W205"  # samples: no range follows from them
    assert few not in [row["code"] for row in build.report["warnings"]]


@pytest.mark.parametrize(
    ("table", "accurate"),
    [("", True), (f"[budget]\nsqnr = {WANTED_DB}\n", False)],
    ids=["option", "budget"],
)
def test_15_bits_where_they_are_asked_for(
    file: Path, tmp_path: Path, table: str, accurate: bool
) -> None:
    build = built(file, tmp_path / "finer", table, accurate=accurate)
    assert build.report["quantization"]["sqnr_db"] > WANTED_DB
    assert tried(build) == [FINER]
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


def test_they_come_back_and_are_reused(file: Path, tmp_path: Path) -> None:
    build = built(file, tmp_path / "finer", accurate=True)
    again = built(build.folder / "model.int8.onnx", tmp_path / "again")
    reused = built(file, tmp_path / "reused", reuse=build)
    for other in (again, reused):
        pairs = zip(build.network.steps, other.network.steps, strict=True)
        assert all(equal(a, b) for a, b in pairs)
    assert not reused.report["reused"]["requantised"]
