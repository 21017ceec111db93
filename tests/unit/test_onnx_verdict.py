# SPDX-License-Identifier: Apache-2.0
"""What `validate --onnx` says of decibels between onnxruntime and the reference; without
onnxruntime it says so before the long part."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import myoedge
from myoedge.api import runs
from myoedge.cli.runs import _onnx_verdict
from myoedge.errors import MyoedgeError
from tests.conftest import save_exported


@pytest.mark.parametrize(
    ("db", "words"),
    [
        (math.inf, "the same integers"),
        (41.9, "agrees: 41.9 dB"),
        (38.8, "agrees within roundings that add up: 38.8 dB"),
        (25.9, "--input compares more samples"),
        (12.0, "does NOT agree: 12.0 dB"),
    ],
)
def test_decibels_have_a_word(db: float, words: str) -> None:
    assert words in _onnx_verdict(db)
    assert ("NOT" in _onnx_verdict(db)) == (db == 12.0)


def test_what_outputs_have_in_common_is_no_agreement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other weights in model.int8.onnx, whose outputs lie near the same large bias."""
    torch.manual_seed(0)
    network = torch.nn.Linear(16, 4)
    torch.nn.init.constant_(network.bias, 20.0)
    model = save_exported(network, (torch.zeros(1, 16),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((16, 1, 16), np.float32)
    build = myoedge.build(model, calib=calib, output=tmp_path / "b", target="host")
    assert myoedge.validate(build, on="host", onnx=True).onnx_db == math.inf
    written = build.written("model.int8.onnx")
    made = onnx.load_from_string(written)
    (weights,) = (x for x in made.graph.initializer if len(x.dims) == 2)
    ones = np.ones_like(numpy_helper.to_array(weights))
    weights.CopyFrom(numpy_helper.from_array(ones, weights.name))
    other = made.SerializeToString()
    own = type(build).written
    monkeypatch.setattr(
        type(build), "written", lambda b, name: other if name.endswith(".onnx") else own(b, name)
    )
    found = myoedge.validate(build, on="host", onnx=True)
    assert found.onnx_db is not None
    assert found.onnx_db < 10.0
    assert not found.passed


# --- without onnxruntime --------------------------------------------------------------------------


def test_a_missing_onnxruntime_is_told_first(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, calib = small / "model.pt2", small / "calib.npz"
    build = myoedge.build(model, calib=calib, target="host", output=tmp_path / "out")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(runs, "_compare_backends", None)
    with pytest.raises(MyoedgeError, match="pip install onnxruntime") as caught:
        myoedge.validate(build, onnx=True)
    assert caught.value.code == "E501"
