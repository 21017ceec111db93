# SPDX-License-Identifier: Apache-2.0
"""A file is told by its bytes: under every wrong name, cut off at every point, without torch."""

from __future__ import annotations

import json
import pickle
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import pytest
import torch
from safetensors.torch import save_file

from myoedge.errors import MyoedgeError
from myoedge.frontend.detect import ModelFormat, describe, sniff
from myoedge.frontend.file_refusals import refuse
from tests.support import attacks
from tests.support.each import each

HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(64)
# flatbuffer: root offset, file identifier at 4 (schema.fbs, file_identifier "TFL3")
TFLITE = struct.pack("<I", 28) + b"TFL3" + bytes(64)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """One file of each kind, every one called model.bin."""
    root = tmp_path_factory.mktemp("samples")

    def at(name: str, data: bytes | None = None) -> Path:
        (root / name).mkdir()
        path = root / name / "model.bin"
        if data is not None:
            path.write_bytes(data)
        return path

    state = attacks.Net().state_dict()
    optimiser = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]}
    attacks.saved(root).rename(at("exported"))
    torch.save(state, at("state"))
    torch.save({"epoch": 3, "state_dict": state, "optimizer": optimiser}, at("training"))
    torch.save(state, at("protocol4"), pickle_protocol=4)
    torch.save(state["conv.bias"], at("tensor"))
    torch.save(attacks.Net(), at("module"))
    torch.save(attacks.Net(), at("module4"), pickle_protocol=4)
    torch.save({"model": attacks.Net(), "epoch": 1}, at("module_inside"))
    torch.save(torch.nn.Sequential(torch.nn.ReLU()), at("sequential"))
    torch.save(state, at("legacy"), _use_new_zipfile_serialization=False)
    at("pickle", pickle.dumps({"a": 1}))
    at("pickle0", pickle.dumps({"a": [1, 2]}, protocol=0))
    save_file(state, at("safetensors"))
    with warnings.catch_warnings(action="ignore"):
        scripted = torch.jit.trace(attacks.Net().eval(), torch.zeros(1, 2, 12))
        torch.jit.save(scripted, str(at("torchscript")))
    onnx.save(small_onnx(), at("onnx"))
    at("tflite", TFLITE)
    at("h5", HDF5)
    with zipfile.ZipFile(at("keras"), "w") as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            archive.writestr(name, "{}")
    with at("npz").open("wb") as file:
        np.savez(file, x=np.zeros(3), y=np.ones(2))
    with at("npy").open("wb") as file:
        np.save(file, np.zeros(3))
    at("text", "# Gewichte für das Netz\nimport torch\n".encode() * 3000)
    at("empty", b"")
    at("noise", bytes(range(256)) * 8)
    return {path.parent.name: path for path in root.glob("*/model.bin")}


def small_onnx() -> onnx.ModelProto:
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    ends = [value("x", 1, [1, 4])], [value("y", 1, [1, 4])]
    return onnx.helper.make_model(onnx.helper.make_graph([node], "g", *ends), producer_name="t")


KINDS = {
    "exported": ModelFormat.EXPORTED,
    "state": ModelFormat.CHECKPOINT,
    "training": ModelFormat.CHECKPOINT,
    "protocol4": ModelFormat.CHECKPOINT,
    "tensor": ModelFormat.CHECKPOINT,
    "module": ModelFormat.MODULE,
    "module4": ModelFormat.MODULE,
    "module_inside": ModelFormat.MODULE,
    "sequential": ModelFormat.MODULE,
    "legacy": ModelFormat.LEGACY,
    "pickle": ModelFormat.PICKLE,
    "pickle0": ModelFormat.PICKLE,
    "safetensors": ModelFormat.SAFETENSORS,
    "torchscript": ModelFormat.TORCHSCRIPT,
    "onnx": ModelFormat.ONNX,
    "tflite": ModelFormat.TFLITE,
    "h5": ModelFormat.KERAS,
    "keras": ModelFormat.KERAS,
    "npz": ModelFormat.NPZ,
    "npy": ModelFormat.NUMPY,
    "text": ModelFormat.TEXT,
    "empty": ModelFormat.EMPTY,
    "noise": ModelFormat.UNKNOWN,
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("suffix", [".bin", ".pt2", ".onnx", ".safetensors", ".pt", ""])
def test_content_decides(
    samples: Mapping[str, Path], tmp_path: Path, name: str, suffix: str
) -> None:
    path = tmp_path / f"model{suffix}"
    path.symlink_to(samples[name])
    assert sniff(path) is KINDS[name]


def test_folder_and_missing_file(tmp_path: Path) -> None:
    assert sniff(tmp_path) is ModelFormat.FOLDER
    assert sniff(tmp_path / "none.pt2") is ModelFormat.MISSING


@pytest.mark.parametrize("name", ["exported", "state", "safetensors", "npz", "torchscript"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.9, 0.999])
def test_cut_off(samples: Mapping[str, Path], tmp_path: Path, name: str, part: float) -> None:
    data = samples[name].read_bytes()
    (tmp_path / "cut.pt2").write_bytes(data[: int(len(data) * part)])
    assert sniff(tmp_path / "cut.pt2") is ModelFormat.TRUNCATED


def test_a_cut_onnx_model(samples: Mapping[str, Path], tmp_path: Path) -> None:
    data = samples["onnx"].read_bytes()
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    assert sniff(tmp_path / "cut") is ModelFormat.TRUNCATED


@each(
    ("name", "code", "words"),
    [
        ("torchscript", "E103", "a TorchScript archive"),
        ("module", "E103", "a pickled nn.Module of class tests.support.attacks.Net"),
        ("module4", "E103", "a pickled nn.Module of class tests.support.attacks.Net"),
        ("sequential", "E103", "of class torch.nn.modules.container.Sequential"),
        ("module", "E103", "only if you trust the file"),
        ("module_inside", "E103", "a pickled nn.Module of class tests.support.attacks.Net"),
        ("pickle", "E103", "a Python pickle"),
        ("onnx", "E103", "an ONNX model needs no --factory"),
        ("tflite", "E103", "tf2onnx.convert"),
        ("keras", "E103", 'export("model.onnx", format="onnx")'),
        ("npz", "E103", "--calib"),
        ("text", "E103", "a text file"),
        ("noise", "E103", "unknown format"),
        ("empty", "E105", "is empty"),
        ("state", "E106", "--factory pkg.mod:make_model"),
        ("legacy", "E106", "--factory pkg.mod:make_model"),
        ("safetensors", "E106", "--factory pkg.mod:make_model"),
    ],
)
def test_refusals_say_what_it_is_and_what_to_do(
    samples: Mapping[str, Path], name: str, code: str, words: str
) -> None:
    with pytest.raises(MyoedgeError) as caught:
        refuse(sniff(samples[name]), samples[name])
    assert (caught.value.code, caught.value.exit_code) == (code, 1)
    assert words in str(caught.value)
    if code in ("E103", "E106"):
        assert "torch.export.export(model.eval(), (example,))" in str(caught.value)
        assert 'torch.export.save(ep, "model.pt2")' in str(caught.value)


@pytest.mark.parametrize(
    ("make", "code"), [(lambda p: p.mkdir(), "E102"), (lambda p: None, "E101")]
)
def test_folder_and_missing_are_refused(tmp_path: Path, make: object, code: str) -> None:
    path = tmp_path / "m.pt2"
    make(path)  # type: ignore[operator]
    with pytest.raises(MyoedgeError) as caught:
        refuse(sniff(path), path)
    assert caught.value.code == code


def test_truncated_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"PK\x03\x04" + bytes(30))
    with pytest.raises(MyoedgeError) as caught:
        refuse(sniff(tmp_path / "m"), tmp_path / "m")
    assert caught.value.code == "E104"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "Git LFS"),
        (b"<!DOCTYPE html>\n<html></html>", "web page"),
        (b"\x1f\x8b\x08\x00" + bytes(20), "gzip"),
        (b"GGUF\x03\x00\x00\x00" + bytes(20), "GGUF"),
    ],
)
def test_known_strangers_are_named(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "m").write_bytes(data)
    assert words in describe(sniff(tmp_path / "m"), tmp_path / "m")


def test_a_safetensors_header_that_says_too_much(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode()
    (tmp_path / "m").write_bytes(struct.pack("<Q", len(header)) + header + bytes(35))
    assert sniff(tmp_path / "m") is ModelFormat.TRUNCATED
    (tmp_path / "m").write_bytes(struct.pack("<Q", len(header)) + header + bytes(36))
    assert sniff(tmp_path / "m") is ModelFormat.SAFETENSORS


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for number, protocol in enumerate(range(6)):
        data = pickle.dumps(attacks.Payload(marker), protocol=protocol)
        path = tmp_path / f"p{number}"
        path.write_bytes(data)
        assert sniff(path) is ModelFormat.PICKLE
        attacks.pack(path, {"data.pkl": data, "version": b"3"})
        assert sniff(path) in (ModelFormat.MODULE, ModelFormat.CHECKPOINT)
    assert not marker.exists()
    pickle.loads(data)
    assert marker.exists()


def test_sniff_needs_no_torch() -> None:
    code = (
        "import sys, myoedge.frontend.detect; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
