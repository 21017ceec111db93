# SPDX-License-Identifier: Apache-2.0
"""--on gvsoc-sdk: the application is built and run with an SDK that our simulated chip plays."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import myoedge
from myoedge.api import runs
from myoedge.backends.build import Build
from myoedge.backends.samples import golden_sample
from myoedge.errors import MyoedgeError
from myoedge.extensions.gap_sdk import gvsoc
from myoedge.extensions.gap_sdk.gvsoc import marker_of
from tests.conftest import myoedge as command

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An SDK's folder, and its cmake first on PATH."""
    setup = tmp_path / "sdk" / gvsoc.SETUP
    setup.parent.mkdir(parents=True)
    setup.touch()
    program = tmp_path / "bin" / "cmake"
    program.parent.mkdir()
    cmake = f'"{sys.executable}" -m tests.extensions.gap_sdk.fake_cmake'
    program.write_text(f'#!/bin/sh\nexec {cmake} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("GAP_SDK_HOME", str(tmp_path / "sdk"))
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return monkeypatch


@pytest.fixture
def golden_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`validate` adds no random samples, each of which would be linked anew."""
    monkeypatch.setattr(runs, "RANDOM_CHECKS_ON_CHIP", 0)


def test_outputs_and_cycles_of_samples(two: Build, played: pytest.MonkeyPatch) -> None:
    shapes = [port["shape"] for port in two.report["inputs"]]
    rng = np.random.default_rng(3)
    samples = {
        port["name"]: rng.standard_normal((2, *shape)).astype(np.float32)
        for port, shape in zip(two.report["inputs"], shapes, strict=True)
    }
    before = {path: path.read_bytes() for path in (two.folder / "src").glob("*") if path.is_file()}
    ran = myoedge.simulate(two, on="gvsoc-sdk", input=samples)
    bare = myoedge.simulate(two, input=samples).measurement
    assert ran.exact
    assert ran.report["cycles"]["source"] == "gvsoc-sdk"
    assert ran.report["exact"]["gvsoc-sdk"] is True
    assert len(ran.measurement.inferences) == 2
    assert "outputs printed" in ran.measurement.printed, "nothing is compared on the chip"
    for found, wanted in zip(ran.measurement.inferences, bare.inferences, strict=True):
        assert len(found.layers) == len(wanted.layers)
        assert sum(layer.cycles for layer in found.layers) <= found.cycles
        for y, z in zip(found.outputs, wanted.outputs, strict=True):
            np.testing.assert_array_equal(y, z)
    assert before == {path: path.read_bytes() for path in before}, "the folder is as it was"


def test_weights_from_l3(weights_in_l3: Build, played: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """GAP_SDK_HOME is relative to the current folder, not to that of cmake."""
    folder = weights_in_l3.folder
    played.setenv("GAP_SDK_HOME", os.path.relpath(tmp_path / "sdk", folder))
    shown = command("simulate", folder, "--on", "gvsoc-sdk", cwd=folder)
    assert (shown.code, "GVSoC of the GAP SDK" in shown.out) == (0, True), shown.err


@pytest.mark.slow
def test_texts(two: Build, golden_alone: None, played: pytest.MonkeyPatch) -> None:
    told = command("validate", two.folder, "--on", "gvsoc-sdk", cwd=two.folder)
    assert "exact: reference = GVSoC of the GAP SDK, outputs" in told.out
    report = command("report", two.folder, cwd=two.folder)
    assert "GVSoC of the GAP SDK" in " ".join(report.out.split()), "however long its line is"
    assert "GVSoC of the GAP SDK" in (two.folder / "report.html").read_text()


@pytest.mark.slow
def test_weights_from_l3_and_random_samples_validate(
    weights_in_l3: Build, played: pytest.MonkeyPatch
) -> None:
    """The golden sample and random ones, for each of which the application is built anew."""
    checked = myoedge.validate(weights_in_l3, on="gvsoc-sdk")
    assert (checked.exact["gvsoc-sdk"], checked.samples["gvsoc-sdk"]) == (True, 3)


def test_a_wrong_byte_is_a_difference(
    two: Build, golden_alone: None, played: pytest.MonkeyPatch
) -> None:
    first = two.run_raw([*golden_sample(two).values()])[0]
    played.setenv("FAKE_BYTE", f"{int(np.ravel(first).view(np.uint8)[-1]) ^ 1:02x}")
    found = myoedge.validate(two, on="gvsoc-sdk").difference
    assert found is not None
    assert (found.backend, abs(found.expected - found.got)) == ("gvsoc-sdk", 1)


@pytest.mark.parametrize(
    ("fails", "code", "says"),
    [
        ("configure", "E501", "the GAP SDK does not build the application"),
        ("build", "E501", "no such call"),
        pytest.param(
            *("silent", "E711", "the application did not run to its end"), marks=pytest.mark.slow
        ),
        pytest.param("cut", "E710", "output.bin has the wrong size", marks=pytest.mark.slow),
    ],
)
def test_what_fails(
    two: Build, played: pytest.MonkeyPatch, fails: str, code: str, says: str
) -> None:
    played.setenv("FAKE_FAILS", fails)
    with pytest.raises(MyoedgeError) as raised:
        myoedge.simulate(two, on="gvsoc-sdk")
    assert raised.value.code == code
    assert says in str(raised.value.notice)
    project = two.folder / "gap_sdk"
    tries = f"cmake -S {project} -B {project / 'build'}, to see all of it"
    assert (tries in raised.value.notice.tries) == (code == "E501")


def test_folders_that_an_sdk_has_built_are_not_copied(
    two: Build, played: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(two.folder, tmp_path / "copy"))
    for name in ("build", "BUILD"):  # by CMake with 5.x, by make with 4.x
        (folder / "gap_sdk" / name).mkdir()
    played.setenv("FAKE_FAILS", "configure")
    with pytest.raises(MyoedgeError, match=re.escape("folders: ['user']")):
        myoedge.simulate(folder, on="gvsoc-sdk")


@pytest.mark.slow
def test_a_run_that_hangs(two: Build, played: pytest.MonkeyPatch) -> None:
    played.setenv("FAKE_FAILS", "hang")
    inputs = [[*golden_sample(two).values()]]
    with pytest.raises(MyoedgeError) as raised:
        gvsoc.run_application(two.folder, marker_of(two), two.files(inputs), timeout_s=0.2)
    assert raised.value.code == "E502"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_damaged_golden_sample(
    two: Build, tmp_path: Path, played: pytest.MonkeyPatch, content: bytes | None
) -> None:
    copy = Build(Path(shutil.copytree(two.folder, tmp_path / "copy")))
    header = copy.folder / "src" / "golden.h"
    header.unlink() if content is None else header.write_bytes(content)
    with pytest.raises(MyoedgeError, match=r"golden\.h") as raised:
        gvsoc.run_on_gvsoc_sdk(copy, [[*golden_sample(two).values()]])
    assert raised.value.code == "E222"


def test_without_an_sdk(two: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for home in ("", str(tmp_path)):
        monkeypatch.setenv("GAP_SDK_HOME", home)
        with pytest.raises(MyoedgeError, match="there is no GAP SDK") as raised:
            myoedge.validate(two, on=("host", "gvsoc-sdk"))
        assert raised.value.code == "E501"


def test_without_an_application(small_build: Path, played: pytest.MonkeyPatch) -> None:
    with pytest.raises(MyoedgeError) as raised:
        myoedge.simulate(small_build, on="gvsoc-sdk")
    assert raised.value.code == "E240"
