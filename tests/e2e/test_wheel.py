# SPDX-License-Identifier: Apache-2.0
"""The wheel, installed by itself outside the checkout, builds a model."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT


def ran(command: list[object], cwd: Path) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    ran([sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, ROOT], folder)
    (made,) = folder.glob("*.whl")
    return made


def test_wheel_holds_the_package_and_its_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "myoedge/_data/firmware_templates/operators/conv/me_conv_s8.c" in names
    assert "myoedge/_data/gvsoc/gap9like.py" in names
    assert "myoedge/_data/boards/gap9_evk/board.toml" in names
    assert "myoedge/extensions/gap_sdk/firmware/app.c" in names
    assert [n for n in names if n.endswith((".pyc", "cases.py"))] == ["myoedge/operators/cases.py"]
    assert "myoedge/_data/firmware_templates/operators/trees/me_trees.h" in names
    assert not [n for n in names if n.startswith(("tests", "examples"))]


@pytest.mark.slow
def test_wheel_builds_a_model(wheel: Path, small: Path, tmp_path: Path) -> None:
    ran([sys.executable, "-m", "venv", "--without-pip", "fresh"], tmp_path)
    python = tmp_path / "fresh" / "bin" / "python"
    options = ["--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"]
    ran([sys.executable, "-m", "pip", "--python", python, "install", *options, wheel], tmp_path)
    _see_dependencies(tmp_path / "fresh")
    source = ran([python, "-c", "import myoedge; print(myoedge.__file__)"], tmp_path)
    assert str(tmp_path / "fresh") in source, "the wheel's package, not the checkout's"
    model, calib = small / "model.pt2", small / "calib.npz"
    myoedge = tmp_path / "fresh" / "bin" / "myoedge"
    ran([myoedge, "build", "--target", "gap9", model, "--calib", calib, "-o", "out"], tmp_path)
    assert "exact" in ran([myoedge, "validate", "out"], tmp_path)
    assert "E213" in ran([myoedge, "explain", "E213"], tmp_path)


def _see_dependencies(environment: Path) -> None:
    """The installed dependencies, behind the wheel, without what an editable install adds."""
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
