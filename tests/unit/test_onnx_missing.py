# SPDX-License-Identifier: Apache-2.0
"""validate --onnx without onnxruntime says so before the long part."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import myoedge
from myoedge.api import runs
from myoedge.errors import MyoedgeError


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
