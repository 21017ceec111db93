# SPDX-License-Identifier: Apache-2.0
"""Weights beside an ONNX file: what is read of them, and what is never opened."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto

from myoedge.building.loading import load_model
from myoedge.errors import MyoedgeError
from tests.support.onnx.models import FLOAT, gemm, model, node, saved

HUGE = 2**40


def refused(made: ModelProto, folder: Path) -> MyoedgeError:
    path = saved(made, folder)
    with pytest.raises(MyoedgeError) as caught:
        load_model(path)
    return caught.value


def external(location: str, **entries: str) -> ModelProto:
    made = gemm()
    weight = made.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        weight.external_data.add(key=key, value=value)
    return made


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """A folder with weights.bin, in one that holds secret.bin."""
    (tmp_path / "secret.bin").write_bytes(bytes(4096))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(np.arange(12, dtype=np.float32).tobytes())
    (folder / "sub").mkdir()
    (folder / "sub" / "weights.bin").write_bytes(bytes(48))
    (folder / "link").symlink_to(tmp_path / "secret.bin")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "near").symlink_to("weights.bin")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.mark.parametrize("place", ["weights.bin", "./weights.bin", "sub/weights.bin", "near"])
def test_weights_in_the_models_folder(place: str, inside: Path) -> None:
    found = load_model(saved(external(place, offset="0", length="48"), inside))
    assert found.params == 15


@pytest.mark.parametrize(
    "place",
    [
        "../secret.bin", "sub/../../secret.bin", "/etc/passwd", "link", "linked/secret.bin",
        "C:\\secret.bin", "..\\secret.bin", "\\\\host\\share", "", ".", "..", "sub", "pipe",
        "missing.bin", "we\0ights.bin", "x" * 5000, "/dev/zero", "~/weights.bin",
    ],
)  # fmt: skip
def test_weights_elsewhere(place: str, inside: Path) -> None:
    assert refused(external(place), inside).code == "E121"


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({"offset": "1"}, "ends before"),
        ({"offset": "-4"}, "offset"),
        ({"offset": "1e9"}, "offset"),
        ({"offset": "9" * 15}, "ends before"),
        ({"offset": "9" * 40}, "offset"),
        ({"length": "47"}, "47 bytes"),
        ({"length": str(2**60)}, "length"),
        ({"length": "0x30"}, "length"),
    ],
)
def test_places_in_a_file_that_are_not_there(
    entries: dict[str, str], why: str, inside: Path
) -> None:
    error = refused(external("weights.bin", **entries), inside)
    assert error.code == "E121"
    assert why in str(error)


def test_external_weights_larger_than_the_file(inside: Path) -> None:
    made = external("weights.bin")
    made.graph.initializer[0].dims[0] = HUGE
    assert refused(made, inside).code == "E121"


def test_constants_of_nodes_may_not_lie_outside(inside: Path) -> None:
    value = TensorProto(data_type=FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    value.external_data.add(key="location", value="weights.bin")
    made = model([node("Constant", "", "c", value=value), node("Add", "x c", "y")])
    assert refused(made, inside).code == "E121"
