# SPDX-License-Identifier: Apache-2.0
"""model.int8.onnx of a build for NE16, built again: the file says which layers have integers for
NE16, and a rebuild keeps them, whatever they cost against the file's own roundings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import myoedge
from myoedge.operators.qdq import SUMS
from myoedge.quantization import engines as engines_module
from tests.conftest import save_exported

SHAPE = (1, 3, 12, 12)
SMALL = 0.01  # inputs beside biases: a step of NE16's multipliers is far from the cores'


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.Conv2d(32, 64, 1), nn.ReLU6()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 5)),
    ).eval()


def built(
    model: Path, folder: Path, engine: str, table: str = "", shape: tuple[int, ...] = SHAPE
) -> myoedge.Build:
    calib = SMALL * np.random.default_rng(0).standard_normal((16, *shape)).astype(np.float32)
    options: dict[str, Any] = {"target": "gap9", "simulate": False, "engine": engine}
    folder.mkdir()
    (folder / "my.toml").write_text(table)
    return myoedge.build(
        model, calib=calib, output=folder / "out", config=folder / "my.toml", **options
    )


def integers(build: myoedge.Build) -> list[dict[str, Any]]:
    return [
        {
            **step.integers.scalars,
            **{name: array.tolist() for name, array in step.integers.arrays.items()},
        }
        for step in build.network.steps
        if "mult" in step.integers.arrays
    ]


def engines(build: myoedge.Build) -> list[str]:
    return [row["engine"] for row in build.report["layers"]]


def stripped(model: Path, path: Path) -> Path:
    """Without what the file says of sums, as if another tool had written it."""
    found = onnx.load(model)
    for node in found.graph.node:
        notes = [(p.key, p.value) for p in node.metadata_props if p.key != "myoedge.sums"]
        del node.metadata_props[:]
        for key, value in notes:
            node.metadata_props.add(key=key, value=value)
    onnx.save(found, path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    return save_exported(network(), (torch.zeros(SHAPE),), folder / "model.pt2")


@pytest.fixture(scope="module")
def auto(model: Path, tmp_path_factory: pytest.TempPathFactory) -> myoedge.Build:
    return built(model, tmp_path_factory.mktemp("auto") / "build", "auto")


def test_layers_on_ne16_come_back(auto: myoedge.Build, tmp_path: Path) -> None:
    assert engines(auto).count("ne16") == 2
    file = auto.folder / "model.int8.onnx"
    again = built(file, tmp_path / "again", "auto")
    assert integers(again) == integers(auto)
    assert engines(again) == engines(auto)
    assert (again.folder / "model.int8.onnx").exists()
    third = built(again.folder / "model.int8.onnx", tmp_path / "third", "auto")
    assert integers(third) == integers(auto)


def test_the_cores_compute_the_integers_for_ne16(auto: myoedge.Build, tmp_path: Path) -> None:
    again = built(auto.folder / "model.int8.onnx", tmp_path / "again", "cores")
    assert integers(again) == integers(auto)
    assert "ne16" not in engines(again)
    checked = myoedge.validate(again, on=("host",))
    assert checked.exact["host"], checked.difference


def test_ne16_takes_all_layers_that_it_can_where_it_is_asked_for(
    auto: myoedge.Build, tmp_path: Path
) -> None:
    """Also those that have the cores' integers in the file, as they are faster there."""
    again = built(auto.folder / "model.int8.onnx", tmp_path / "again", "ne16")
    assert engines(again).count("ne16") == 4
    same = [a == b for a, b in zip(integers(again), integers(auto), strict=True)]
    assert same[0]
    assert not same[-1]


def test_the_file_s_word_counts_more_than_what_ne16_s_integers_cost(
    auto: myoedge.Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines_module, "ROUNDED_DB", 300.0)
    monkeypatch.setattr(engines_module, "MOST_LOST_DB", -300.0)  # nobody gains so much
    file = auto.folder / "model.int8.onnx"
    bare = stripped(file, tmp_path / "stripped.onnx")
    assert integers(built(file, tmp_path / "said", "auto")) == integers(auto)
    unsaid = built(bare, tmp_path / "unsaid", "auto")
    assert integers(unsaid) != integers(auto)
    assert "ne16" not in engines(unsaid)


def test_a_build_for_the_cores_says_nothing_of_sums(model: Path, tmp_path: Path) -> None:
    """Built again with `auto` its layers may run on NE16: 40 dB are kept."""
    calm = built(model, tmp_path / "cores", "cores")
    file = onnx.load(calm.folder / "model.int8.onnx")
    keys = {p.key for node in file.graph.node for p in node.metadata_props}
    assert "myoedge.op" in keys
    assert "myoedge.sums" not in keys
    again = built(calm.folder / "model.int8.onnx", tmp_path / "again", "auto")
    assert "ne16" in engines(again)
    assert again.report["quantization"]["sqnr_db"] > 40.0


def test_a_word_that_means_nothing_says_nothing(auto: myoedge.Build, tmp_path: Path) -> None:
    found = onnx.load(auto.folder / "model.int8.onnx")
    for node in found.graph.node:
        for p in node.metadata_props:
            p.value = "both" if p.value in SUMS.values() else p.value
    onnx.save(found, tmp_path / "odd.onnx")
    file = stripped(auto.folder / "model.int8.onnx", tmp_path / "stripped.onnx")
    odd, plain = (built(f, tmp_path / f.stem, "auto") for f in (tmp_path / "odd.onnx", file))
    assert integers(odd) == integers(plain)


class Rows(nn.Module):
    """Linear layers whose bias is an addition in ONNX."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(16, 32), nn.Linear(32, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(x)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("engine", ["auto", "ne16"])
def test_a_bias_that_is_added_leaves_the_file_s_word(engine: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = (1, 24, 16)
    model = save_exported(Rows().eval(), (torch.zeros(shape),), tmp_path / "model.pt2")
    first = built(model, tmp_path / "first", engine, shape=shape)
    assert engines(first).count("ne16") == 2
    again = built(first.folder / "model.int8.onnx", tmp_path / "again", "cores", shape=shape)
    assert integers(again) == integers(first)


def test_the_word_counts_where_an_accelerator_could_run_the_layer(
    model: Path, tmp_path: Path
) -> None:
    """Layers that read 16 bits never do: `unsigned` of an edited file is not believed."""
    wide = '[quant]\n"*" = { activations = 16, weights = 16 }\n'
    first = built(model, tmp_path / "first", "auto", wide)
    found = onnx.load(first.folder / "model.int8.onnx")
    words = [p for node in found.graph.node for p in node.metadata_props if p.key.endswith("sums")]
    assert words
    for p in words:
        p.value = "unsigned"
    onnx.save(found, tmp_path / "edited.onnx")
    plain = built(first.folder / "model.int8.onnx", tmp_path / "plain", "auto")
    again = built(tmp_path / "edited.onnx", tmp_path / "again", "auto")
    assert integers(again) == integers(plain)
    checked = myoedge.validate(again, on=("host",))
    assert checked.exact["host"], checked.difference
