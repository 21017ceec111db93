# SPDX-License-Identifier: Apache-2.0
"""Results of a sweep are computed anew where a file beside the model or its factory changed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from myoedge.extensions.sweeps.settings import read_sweep
from myoedge.extensions.sweeps.tasks import Task, tasks, toml_lines


def found(folder: Path, text: str) -> Task:
    (folder / "s.toml").write_text(text, encoding="utf-8")
    (task,) = tasks(read_sweep(folder / "s.toml"), folder)
    return task


def test_weights_beside_an_onnx_file(tmp_path: Path) -> None:
    import onnx

    weights = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    file = tmp_path / "m.onnx"
    value = onnx.helper.make_tensor_value_info("x", 1, [1, 64])
    out = onnx.helper.make_tensor_value_info("y", 1, [1, 64])
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph(
        [node], "g", [value], [out], [onnx.numpy_helper.from_array(weights, "w")]
    )
    onnx.save(onnx.helper.make_model(graph), file, save_as_external_data=True, location="w.bin")
    text = '[[model]]\npath = "m.onnx"\n'
    before = found(tmp_path, text).key
    assert found(tmp_path, text).key == before
    (tmp_path / "w.bin").write_bytes((-weights).tobytes())
    assert found(tmp_path, text).key != before


def test_a_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.pt").write_bytes(b"weights")
    (tmp_path / "networks_of_a_sweep.py").write_text("def make(): ...")
    text = '[[model]]\npath = "m.pt"\nfactory = "networks_of_a_sweep:make"\n'
    before = found(tmp_path, text).key
    (tmp_path / "networks_of_a_sweep.py").write_text("def make(): return 1")
    assert found(tmp_path, text).key != before
    for factory in ("nowhere:make", "torch.nn:Linear", ":", ".a:b"):
        assert found(tmp_path, text.replace("networks_of_a_sweep:make", factory)).key


@pytest.mark.parametrize("name", ["a b", "a.b", "\U0001f600", "\x7f", '"', "", "\n"])
def test_names_are_written_as_toml(name: str) -> None:
    tables = {"budget": {"sqnr": {name: 20.0}}, "quant": {name: {"weights": 4}}}
    assert tomllib.loads("\n".join(toml_lines(tables))) == tables
