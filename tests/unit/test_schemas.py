# SPDX-License-Identifier: Apache-2.0
"""JSON Schemas of the package: what verbs print and write meets them. conftest.myoedge checks what
any test prints with --json; here are verbs that no other test prints so."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import myoedge
from myoedge.catalogue import schemas
from myoedge.cli import commands
from myoedge.extensions.boards.flashing import FlashResult
from myoedge.extensions.boards.measured_power import MeasuredEnergy, MeasuredPhases
from tests.conftest import ROOT
from tests.conftest import myoedge as command
from tests.support.each import each
from tests.support.schemas import FILES, check, check_folder, validators

WRITTEN = {*FILES, "sweep", "error"}  # not printed by json_printed


def references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list | dict):
        rows = schema.values() if isinstance(schema, dict) else schema
        for row in rows:
            yield from references(row)
    if isinstance(schema, dict) and "$ref" in schema:
        yield schema["$ref"]


@each("name", schemas.names())
def test_a_schema_is_one(name: str) -> None:
    """Its title is the name that documents give, and every reference leads to something."""
    schema = schemas.schema(name)
    Draft202012Validator.check_schema(schema)
    stem, version, _ = name.split(".")
    assert schema["title"] == schema["properties"]["schema"]["const"] == f"myoedge.{stem}/{version}"
    assert schema["description"]
    assert "schema" in schema["required"]
    for reference in references(schema):
        file, _, definition = reference.partition("#/$defs/")
        target = schemas.schema(file) if file else schema
        assert not definition or definition in target["$defs"]


def test_every_result_has_a_schema_and_every_schema_a_result() -> None:
    rooms = (ROOT / "myoedge" / name for name in ("cli", "extensions"))
    sources = (path.read_text() for room in rooms for path in room.rglob("*.py"))
    printed = {name for text in sources for name in re.findall(r'json_printed\(\s*"([^"]+)"', text)}
    known = {name.removeprefix("myoedge.") for name in validators()}
    assert printed <= known
    assert {name for name in known if name.split("/")[0] not in WRITTEN} <= printed


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["explain"], "explanation"),
        (["explain", "E301"], "explanation"),
        (["boards"], "boards"),
        (["ops"], "operators"),
        (["doctor"], "doctor"),
        (["init", "new"], "init"),
        (["build", "none.pt2"], "error"),
        (["build", "--none"], "error"),
        (["inspect", "model.pt2"], "inspection"),
        (["quantize", "model.pt2", "--calib", "calib.npz"], "quantization"),
    ],
)
def test_what_a_verb_prints(arguments: list[str], name: str, small: Path, tmp_path: Path) -> None:
    for file in ("model.pt2", "calib.npz"):
        (tmp_path / file).symlink_to(small / file)
    assert check(command(*arguments, "--json", cwd=tmp_path).json) == f"myoedge.{name}/1"


@pytest.fixture(scope="module")
def build(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With layers on L2, which only target host has, and accuracies."""
    folder = tmp_path_factory.mktemp("schemas") / "out"
    myoedge.build(small / "model.pt2", calib=small / "calib.npz", output=folder, target="host")
    return folder


def test_files_of_a_build(build: Path) -> None:
    names = {f"myoedge.{name}/1" for name in FILES}
    assert check_folder(build) == names - {"myoedge.stream/1", "myoedge.sensor/1"}


def test_what_verbs_on_a_build_print(build: Path) -> None:
    verbs = (["report", build], ["inspect", build], ["validate", build])
    found = [check(command(*verb, "--json", cwd=build.parent).json) for verb in verbs]
    assert found == ["myoedge.report/1", "myoedge.report/1", "myoedge.validation/1"]
    changes = command("report", build, "--against", build, "--json", cwd=build.parent)
    assert check(changes.json) == "myoedge.changes/1"


def test_results_of_boards() -> None:
    flashed = asdict(FlashResult("gap9_evk", "ram", 100, 0, None, table="mram"))
    del flashed["warnings"]
    assert check({"schema": "myoedge.flash/1", **flashed})
    passes = MeasuredEnergy(3, 1e-6, 1e-8, 0.1, 1e-5)
    assert check({"schema": "myoedge.measured-energy/1", **asdict(passes)})
    phases = MeasuredPhases(passes, 1e-3, 1e-5, 2e-3, 10.0, ("a,low,,1,,between",))
    document = json.loads(json.dumps(asdict(phases)))
    assert check({"schema": "myoedge.measured-phases/1", **document})


def test_a_key_that_no_schema_describes_is_found(build: Path) -> None:
    report = json.loads((build / "report.json").read_text())
    check(report)
    for edit in ("unknown", "missing", "wrong"):
        edited = copy.deepcopy(report)
        if edit == "unknown":
            edited["layers"][0]["mood"] = 1
        elif edit == "missing":
            del edited["layers"][0]["macs"]
        else:
            edited["memory"]["arena_bytes"] = "many"
        with pytest.raises(AssertionError, match=r"layers|memory"):
            check(edited)


def test_flags_stand_before_the_verb_too(tmp_path: Path) -> None:
    for words in (["--json", "explain", "E301"], ["explain", "--json", "-q", "E301"]):
        ran = command(*words, cwd=tmp_path)
        assert check(ran.json) == "myoedge.explanation/1"
    assert command("-q", "--no-color", "explain", cwd=tmp_path).err == ""
    assert command("-V", cwd=tmp_path).out.startswith("myoedge, version ")
    for shell in ("bash", "zsh", "fish"):
        assert "_MYOEDGE_COMPLETE" in command("completion", shell, cwd=tmp_path).out
    assert {"completion", "explain"} <= {row.name for row in commands()}
