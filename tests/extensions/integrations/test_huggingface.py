# SPDX-License-Identifier: Apache-2.0
"""A folder for the Hugging Face Hub, read as the Hub's own library and the command line read it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

import myoedge
from myoedge.backends.build import Build
from myoedge.errors import MyoedgeError
from myoedge.extensions.integrations.huggingface import save_model_folder
from myoedge.extensions.integrations.lightning import build_module
from tests.conftest import myoedge as command
from tests.support.networks.small import Function, Small

FACTORY = "tests.support.networks.small:make_small"


@pytest.fixture(scope="module")
def samples() -> dict[str, Any]:
    drawn = np.random.default_rng(0)
    return {"x": drawn.random((40, 2, 12), np.float32), "label": drawn.integers(3, size=40)}


@pytest.fixture(scope="module")
def module() -> Small:
    torch.manual_seed(0)
    return Small()


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, module: Small, samples: dict[str, Any]
) -> Build:
    output = tmp_path_factory.mktemp("built") / "gap9"
    made = build_module(module, calib=samples, output=output, simulate=True)
    assert myoedge.validate(made, on="host").passed
    return made


def test_the_card_has_the_figures_of_the_report(tmp_path: Path, built: Build) -> None:
    saved = save_model_folder(
        built.folder, tmp_path / "hub", license="mit", tags=["emg"], datasets=["me/windows"]
    )
    assert sorted(path.name for path in saved.iterdir()) == [
        *("README.md", "manifest.json", "model.int8.onnx", "report.json")
    ]
    report = json.loads((saved / "report.json").read_text())
    card = ModelCard.load(saved / "README.md")
    assert (card.data.license, card.data.library_name) == ("mit", "myoedge")
    assert card.data.tags == ["myoedge", "gap9", "int8", "emg"]
    assert card.data.datasets == ["me/windows"]
    found = {(x.metric_type, x.metric_name): x for x in card.data.eval_results}
    assert found["cycles.total", "cycles"].metric_value == report["cycles"]["total"] > 0
    assert found["latency_s", "latency"].metric_value == report["latency_s"]
    for end, title in (
        ("value", "energy"),
        ("low", "energy, at least"),
        ("high", "energy, at most"),
    ):
        assert found[f"energy_uj.{end}", title].metric_value == report["energy_uj"][end]
    accuracy = found["accuracy", "accuracy, int8"]
    assert accuracy.metric_value == report["quantization"]["accuracy_int8"]
    assert accuracy.dataset_split == "held-out"  # of the samples, with what they were
    assert accuracy.dataset_name == report["quantization"]["evaluated_on"]["source"]
    assert "| exact on the host | same integers |" in card.text
    assert f"| cycles | {report['cycles']['total']:,} |" in card.text
    assert command("check", built.folder, "--against", saved, cwd=tmp_path).code == 0


def test_weights_are_reloaded_by_a_factory(
    tmp_path: Path, built: Build, module: Small, samples: dict[str, Any]
) -> None:
    saved = save_model_folder(built, tmp_path / "hub", module=module, factory=FACTORY)
    assert (
        f"build model.safetensors --factory {FACTORY} --target gap9"
        in (saved / "README.md").read_text()
    )
    again = myoedge.build(
        saved / "model.safetensors",
        factory=FACTORY,
        calib=samples,
        output=tmp_path / "again",
        simulate=False,
    )
    assert again.report["model"]["digest"] == built.report["model"]["digest"]
    x = samples["x"]
    np.testing.assert_array_equal(again.run(x), built.run(x))


def test_the_quantised_file_has_the_integers(
    tmp_path: Path, built: Build, samples: dict[str, Any]
) -> None:
    saved = save_model_folder(built, tmp_path / "hub")
    again = myoedge.build(
        saved / "model.int8.onnx", calib=samples, output=tmp_path / "again", simulate=False
    )
    x = samples["x"]
    np.testing.assert_array_equal(again.run(x), built.run(x))


def test_shared_weights_are_stored_under_each_name(tmp_path: Path, built: Build) -> None:
    from safetensors.torch import load_file

    tied = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    saved = save_model_folder(built, tmp_path / "hub", module=tied)
    stored = load_file(saved / "model.safetensors")
    assert set(stored) == set(tied.state_dict())
    for name, value in tied.state_dict().items():
        assert torch.equal(stored[name], value)
    assert "--factory torch.nn.modules.container:Sequential" in (saved / "README.md").read_text()


def test_a_folder_with_files_is_left_alone(tmp_path: Path, built: Build) -> None:
    copied = tmp_path / "gap9"
    shutil.copytree(built.folder, copied)
    with pytest.raises(MyoedgeError, match="E221"):
        save_model_folder(copied, copied)
    assert not (copied / "README.md").exists()
    assert myoedge.load_build(copied).report == built.report


def test_what_is_no_tensor_is_E109(
    tmp_path: Path, built: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Function, "get_extra_state", lambda _: {"step": 3})
    strange = Function(torch.relu)
    with pytest.raises(MyoedgeError, match="E109"):
        save_model_folder(built, tmp_path / "hub", module=strange)
    assert not (tmp_path / "hub").exists()
