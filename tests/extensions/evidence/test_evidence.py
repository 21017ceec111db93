# SPDX-License-Identifier: Apache-2.0
"""Evidence of a build: requirements that hold, requirements that fail, and what is written."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from torch import nn

import myoedge
from myoedge.backends.report_folder import report_digest
from myoedge.errors import MyoedgeError
from myoedge.extensions.evidence.call_graph import CallGraph, Function
from myoedge.extensions.evidence.evidence import (
    _program_requirement,
    allocation_requirement,
)
from myoedge.extensions.evidence.requirements import loop_requirement
from tests.conftest import myoedge as command
from tests.conftest import save_exported
from tests.support.schemas import validators

FILES = {"evidence.json", "evidence.md", "sbom.cdx.json", "misra.md"}


def test_a_build_shows_its_requirements(small_build: Path, tmp_path: Path) -> None:
    found = myoedge.evidence(small_build, output=tmp_path / "e", drawn=2)
    assert found.is_complete
    shown = {row.key: row.shown for row in found.requirements}
    assert shown.pop("TIME-1") is None
    assert set(shown.values()) == {True}
    assert found.inputs == 3
    layers = [name for row in found.dependences for name in row.layers]
    assert layers == [], "convolutions and generated sums execute the same for all inputs"
    assert 0 < found.cycles[0] <= found.cycles[1]
    assert {path.name for path in (tmp_path / "e").iterdir()} == FILES
    loaded = sum(len(data) for _, data in myoedge.load_build(small_build).program.segments)
    values = {row.key: row.value for row in found.requirements}
    assert int(values["MEM-2"].split()[0].replace(",", "")) >= loaded, "code, weights, buffers"
    document = json.loads((tmp_path / "e" / "evidence.json").read_text())
    validators()["myoedge.evidence/1"].validate(document)
    firmware = (small_build / "firmware.elf").read_bytes()
    assert document["sha256"]["firmware.elf"] == hashlib.sha256(firmware).hexdigest()


@pytest.mark.parametrize("at", ["file", "file/below", "taken"])
def test_a_place_that_cannot_be_written_is_refused_first(
    at: str, small_build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "sbom.cdx.json").mkdir(parents=True)
    monkeypatch.setattr(
        "myoedge.extensions.evidence.verbs.validate", None
    )  # the first of the long work
    with pytest.raises(MyoedgeError, match="E220"):
        myoedge.evidence(small_build, output=tmp_path / at)
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["sbom.cdx.json"]


class Argmax(nn.Module):
    """Layers that execute the same for all inputs, but the last: a larger element is a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 9))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x).argmax(-1)


def test_code_that_depends_on_data_is_named_with_its_line_and_layer(tmp_path: Path) -> None:
    model = save_exported(Argmax(), (torch.zeros(1, 4, 18),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((8, 1, 4, 18), np.float32)
    built = myoedge.build(model, calib=calib, output=tmp_path / "built")
    evidence = myoedge.evidence(built, drawn=3)
    (found,) = evidence.dependences
    assert found.function.startswith("me_chain_")
    assert found.layers == built.layer_names[-1:]
    assert {line.split(":")[0] for line in found.lines} == {"me_rows.h"}
    page = evidence.files()["evidence.md"].decode()
    rows = [
        line.split()[1]
        for line in page.splitlines()
        if line.startswith("| layers.") and "csv" not in line
    ]
    assert rows == ["layers.0", "layers.0", "layers.3"], "transpose, convolution, linear"


def test_one_sample_alone_shows_no_independence_of_data(small_build: Path, tmp_path: Path) -> None:
    ran = command("evidence", small_build, "-o", tmp_path / "e", "--drawn", 0, cwd=tmp_path)
    assert ran.code == 0
    assert "a single sample does not show" in ran.out
    text = (tmp_path / "e" / "evidence.md").read_text()
    assert "Not measured" in text
    assert "None was found" not in text


def test_the_bill_is_cyclonedx_and_the_same_again(small_build: Path) -> None:
    files = [myoedge.evidence(small_build, drawn=1).files() for _ in range(2)]
    assert files[0] == files[1]
    assert (
        JsonStrictValidator(SchemaVersion.V1_6).validate_str(files[0]["sbom.cdx.json"].decode())
        is None
    )


def test_a_latency_that_is_missed_fails(small_build: Path, tmp_path: Path) -> None:
    missed = Path(shutil.copytree(small_build, tmp_path / "b"))
    report = missed / "report.json"
    document = json.loads(report.read_text())
    document["budget"]["latency_s"] = 1e-9
    document["digest"] = report_digest(document)
    report.write_text(json.dumps(document))
    ran = command("evidence", missed, "-o", tmp_path / "e", "--drawn", 1, cwd=tmp_path)
    assert ran.code == 4
    assert "TIME-1" in ran.out


def test_a_loop_without_a_constant_bound_fails() -> None:
    assert loop_requirement("for (int32_t i = 0; i < 19; i++) {").shown
    assert not loop_requirement("for (int32_t i = 0; i < n; i++) {").shown
    assert not loop_requirement("while (busy) {").shown


def test_allocators_floats_and_unreached_functions_fail() -> None:
    names = ("_start", "malloc", "__addsf3", "lost")
    none: frozenset[str] = frozenset()
    functions = {
        name: Function(name, 0, none, none, is_indirect=False, is_frame_known=True)
        for name in names
    }
    graph = CallGraph(functions, ("_start",))
    rows = (allocation_requirement(names), *_program_requirement(graph, ()))
    assert {row.key for row in rows if not row.shown} == {"ALLOC-1", "INT-1", "CALL-2"}
