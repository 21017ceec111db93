# SPDX-License-Identifier: Apache-2.0
"""Attention of a file that is quantised already, of more keys than exponentials of a byte are exact
enough for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import myoedge
from myoedge.building.pipeline import run_quantize
from myoedge.building.pipeline_options import Options
from myoedge.building.quantized import Known
from myoedge.building.warning_rules import less_accurate
from myoedge.quantization.scales import equal
from myoedge.quantization.search.state import TriedMove
from tests.conftest import save_exported
from tests.support.warning_rules import warnings_of

KEYS, CHANNELS, HEADS, WIDTH, SCALE = 200, 64, 2, 8, 3.0
X = np.random.default_rng(0).standard_normal((12, 1, KEYS, CHANNELS)).astype(np.float32)
AGREES_DB, WANTED_DB = 40.0, 41.0
FINER = "exponentials of 12 bits"


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(CHANNELS, 3 * HEADS * WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, 2)
        )
        return nn.functional.scaled_dot_product_attention(SCALE * q, SCALE * k, v)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A QDQ file whose softmax is float operators."""
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


def exponential_bits(build: myoedge.Build) -> int:
    (step,) = (step for step in build.network.steps if step.node.op == "attention")
    return 12 if step.integers.units is not None else 8


@pytest.mark.parametrize("engine", ["cores", "auto"])
def test_a_file_is_kept_to_40_db(file: Path, tmp_path: Path, engine: str) -> None:
    """Against onnxruntime's run of the file, too."""
    build = built(file, tmp_path / "usual", engine=engine)
    assert build.report["quantization"]["sqnr_db"] > AGREES_DB
    assert tried(build) == [FINER]
    session = onnxruntime.InferenceSession(file)
    (name,) = (x.name for x in session.get_inputs())
    theirs = np.stack([session.run(None, {name: x})[0] for x in X]).astype(np.float64)
    ours = np.stack([build.run(x) for x in X])
    error = np.abs(ours - theirs)
    (output,) = build.network.graph.outputs
    steps = 3.001 if engine == "cores" else 4.001  # q and k are a step off too, two on NE16
    assert error.max() <= steps * build.network.params[output].scale
    assert 10 * np.log10(np.sum(theirs**2) / np.sum(error**2)) > AGREES_DB
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference
    few = "W205"  # samples: no range follows from them
    assert few not in [row["code"] for row in build.report["warnings"]]


def test_less_is_asked_for(file: Path, tmp_path: Path) -> None:
    build = built(file, tmp_path / "usual", "[budget]\nsqnr = 20\n")
    assert 30.0 < build.report["quantization"]["sqnr_db"] < AGREES_DB
    assert exponential_bits(build) == 8


@pytest.mark.parametrize(
    ("table", "accurate"),
    [("", True), (f"[budget]\nsqnr = {WANTED_DB}\n", False)],
    ids=["option", "budget"],
)
def test_12_bits_where_they_are_asked_for(
    file: Path, tmp_path: Path, table: str, accurate: bool
) -> None:
    build = built(file, tmp_path / "finer", table, accurate=accurate)
    assert build.report["quantization"]["sqnr_db"] > (AGREES_DB if accurate else WANTED_DB)
    assert tried(build) == [FINER]


def test_they_are_reused(file: Path, tmp_path: Path) -> None:
    build = built(file, tmp_path / "finer")
    reused = built(file, tmp_path / "reused", reuse=build)
    pairs = zip(build.network.steps, reused.network.steps, strict=True)
    assert all(equal(a, b) for a, b in pairs)
    assert not reused.report["reused"]["requantised"]


class OfItself(nn.Module):
    """Rows that look at themselves most, and at hundreds of others so little that bytes are 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(x, x, x)


def test_a_float_network_has_them_where_bytes_are_most_of_the_noise(tmp_path: Path) -> None:
    shape = (1, 1, 400, 64)
    model = save_exported(OfItself().eval(), (torch.zeros(shape),), tmp_path / "model.pt2")
    rng = np.random.default_rng(0)
    calib = rng.standard_normal((2, *shape)).astype(np.float32)
    options = {"calib": calib, "target": "gap9", "simulate": False}
    (tmp_path / "bytes.toml").write_text("[budget]\nsqnr = 1\n")
    bytes_only = {**options, "config": tmp_path / "bytes.toml"}
    build = myoedge.build(model, output=tmp_path / "bytes", **bytes_only)
    assert build.report["quantization"]["sqnr_db"] < 20.0  # so two thirds more cycles are allowed
    assert exponential_bits(build) == 8
    build = myoedge.build(model, output=tmp_path / "finer", **options)
    assert build.report["quantization"]["sqnr_db"] > 30.0
    assert exponential_bits(build) == 12


def test_16_bits_where_l1_has_no_room_for_12(tmp_path: Path) -> None:
    """The table of exponentials is 8 KiB, which the least of these memories has no room for."""
    shape = (1, 1, 200, 16)
    model = save_exported(OfItself().eval(), (torch.zeros(shape),), tmp_path / "model.pt2")
    rng = np.random.default_rng(0)
    calib = rng.standard_normal((4, *shape)).astype(np.float32)
    options = {"calib": calib, "target": "gap9", "simulate": False, "accurate": True}
    for l1, bits in (
        ("20KiB", {"exponentials of 12 bits, too large for the memories"}),
        (None, ()),
    ):
        build = myoedge.build(model, output=tmp_path / f"{l1}", l1=l1, **options)
        assert build.report["quantization"]["sqnr_db"] >= 30.0
        left = [row["remedy"] for row in build.report["quantization"]["choices"] if not row["kept"]]
        assert {*bits} <= {*left}
        assert bool(build.network.int16) == bool(bits)


def test_accurate_tells_what_a_file_misses(file: Path, tmp_path: Path) -> None:
    """W105 is of 40 dB there, and says why an older build's choices stay."""
    config = tmp_path / "my.toml"
    config.write_text("[budget]\nsqnr = 20\n")
    quantized = run_quantize(Options(file, X, config=config, say=lambda stage: None))
    assert 30.0 < (quantized.fidelity.worst_db or 0.0) < AGREES_DB
    known = Known(network=quantized.network, fidelity=quantized.fidelity, accurate=True)
    (tried,) = warnings_of(
        less_accurate, replace(known, choices=(TriedMove("16 bits", 31.0, 0.1, is_kept=True),))
    )
    assert "40 dB of the file's own roundings" in tried.title
    (reused,) = warnings_of(less_accurate, replace(known, older=quantized.network))
    assert "--reuse keeps" in str(reused.facts)
