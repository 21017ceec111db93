# SPDX-License-Identifier: Apache-2.0
"""Extensions of installed packages: each hook is used, and a package that is wrong is refused where
it is needed, and nowhere else."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import myoedge
from myoedge import cli
from myoedge.backends import build as checked
from myoedge.backends.build import own_sources
from myoedge.backends.names import backends, cycle_text
from myoedge.backends.report_folder import ReportFolder
from myoedge.building.applications import CORE, find_application
from myoedge.errors import MyoedgeError
from myoedge.extension import Extension, StepHook
from myoedge.system import hooks as found_hooks
from myoedge.system.hooks import find_hook, hooks, with_hooks
from tests.conftest import ROOT, steps
from tests.conftest import myoedge as command

LAMP = ROOT / "tests" / "plugins" / "extension" / "myoedge_lamp"
KINDS = [field.name for field in fields(Extension)]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages; what was loaded before is forgotten."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(found_hooks, "_USED", set())
    for forgotten in (found_hooks._installed_extensions, cli.commands, backends):
        forgotten.cache_clear()
    yield folder
    for forgotten in (found_hooks._installed_extensions, cli.commands, backends):
        forgotten.cache_clear()
    for name in [name for name in sys.modules if name.startswith(("myoedge_lamp", "wrong"))]:
        del sys.modules[name]


def install(site: Path, name: str, place: str, package: str = "", version: str = "1.0") -> None:
    """Leave the metadata that pip writes for a package with one extension."""
    package = package or name
    about = site / f"{package.replace('-', '_')}-{version}.dist-info"
    about.mkdir()
    head = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    (about / "METADATA").write_text(head)
    (about / "entry_points.txt").write_text(f"[myoedge.extensions]\n{name} = {place}\n")


@pytest.fixture
def lamp(site: Path) -> None:
    shutil.copytree(LAMP, site / LAMP.name)
    install(site, "lamp", "myoedge_lamp:EXTENSION")


@pytest.mark.usefixtures("lamp")
def test_a_command_of_a_package(tmp_path: Path) -> None:
    lines = command("--help", cwd=tmp_path).out.splitlines()
    rows = [line.split()[0] for line in lines if line.startswith("  ") and line.strip()]
    assert rows[rows.index("flash") + 1] == "lamp"
    assert command("lamp", cwd=tmp_path).out == "pin 3\n"
    (tmp_path / "myoedge.toml").write_text("[lamp]\npin = 5\n")
    assert command("lamp", cwd=tmp_path).out == "pin 5\n"


@pytest.mark.usefixtures("lamp")
def test_an_application_its_table_and_samples_of_its_format(small: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-100, 100, (8, 24)).astype(np.int8)
    (tmp_path / "calib.lamp").write_bytes(b"LAMP" + values.tobytes())
    shutil.copy(small / "model.pt2", tmp_path)
    (tmp_path / "myoedge.toml").write_text("[lamp]\npin = 9\n")
    words = ("build", "model.pt2", "--calib", "calib.lamp", "--app", "lamp", "-o", "out")
    ran = command(*words, "--no-simulate", cwd=tmp_path)
    assert ran.code == 0, ran.err
    text = (tmp_path / "out" / "src" / "firmware" / "lamp" / "lamp.c").read_text()
    assert "lamp_pin = 9;" in text
    assert command("validate", "out", cwd=tmp_path).code == 0
    told = command("build", "model.pt2", "--app", "lamps", cwd=tmp_path)
    assert (told.code, "E204" in told.err) == (2, True), told.err
    assert "baremetal, gap-sdk, mlperf, sensor, lamp (for gap9)" in told.err
    for table, code, word in (
        ("pin = 99", "E232", "lamp.pin must be 0 to 31"),
        ("pin = 'x'", "E232", "lamp.pin"),
        ("pins = 1", "E230", "lamp.pins"),
    ):
        (tmp_path / "myoedge.toml").write_text(f"[lamp]\n{table}\n")
        told = command(*words, cwd=tmp_path)
        assert (told.code, code in told.err, word in told.err) == (2, True, True), told.err


@pytest.mark.usefixtures("lamp")
def test_a_project_around_the_network_and_the_step_that_makes_it(
    small: Path, tmp_path: Path
) -> None:
    """Its files, those that the user may edit and keeps, the point that it is compiled for."""
    shutil.copy(small / "model.pt2", tmp_path)
    words = ("build", "model.pt2", "--calib", "random", "-o", "out", "--no-simulate")
    ran = command(*words, "--app", "lamp", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert steps(ran.err)[-1] == "make -C out/lamp"
    project = tmp_path / "out" / "lamp"
    assert (project / "Makefile").read_text() == "# model: lamp: firmware/lamp/lamp.c\n"
    assert (project / "main.c").read_text() == "int lamp_pin = 3;\n"
    (project / "user" / "mine.c").write_text("int mine;\n")
    (project / "build").mkdir()
    (project / "build" / "main.o").touch()
    chosen = command("energy", "out", "--operating-point", "auto", cwd=tmp_path)
    assert "make POINT=" in chosen.out
    assert command(*words, "--app", "lamp", cwd=tmp_path).code == 0
    assert (project / "user" / "mine.c").read_text() == "int mine;\n"
    (project / "main.c").write_text("int edited;\n")
    assert command("validate", "out", cwd=tmp_path).code == 0
    refused = command(*words, cwd=tmp_path)
    assert (refused.code, "holds edited files: lamp/main.c" in refused.err) == (2, True)
    bare = command(*words[:-2], "again", "--no-simulate", "--app", "baremetal", cwd=tmp_path)
    assert (bare.code, "cmake" in bare.err, "myoedge flash" in bare.err) == (0, False, False)


def test_hooks_follow_the_rows_that_they_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order of packages; rows that nothing has count as the end."""
    order = (("d", "c"), ("c", "b"), ("e", ""), ("a", "first"), ("f", "nothing"), ("a", ""))
    added = Extension(steps=tuple(StepHook(name, "", after) for name, after in order))
    monkeypatch.setattr(found_hooks, "_own_extensions", lambda: (added,))
    rows = with_hooks((StepHook("first", ""), StepHook("b", "")), "steps")
    assert [row.name for row in rows] == ["first", "a", "b", "c", "d", "e", "f"]


@pytest.mark.usefixtures("lamp")
def test_a_part_of_the_firmware_and_its_section(small: Path, tmp_path: Path) -> None:
    """The C that network.c calls, the part that the folder holds, and what the reports tell."""
    shutil.copy(small / "model.pt2", tmp_path)
    (tmp_path / "myoedge.toml").write_text("[lamp]\npin = 9\nblinks = true\n")
    words = ("build", "model.pt2", "--calib", "random", "--no-simulate", "-o", "out")
    ran = command(*words, cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "lamp" in ran.out
    assert "blinks on pin 9" in ran.out
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<h2>The lamp</h2>" in page
    assert "<p>It blinks gap9 awake.</p>" in page
    build = myoedge.load_build(tmp_path / "out")
    assert [(part.name, part.pin) for part in build.parts] == [("lamp", 9)]
    assert "_LAMP_PIN 9" in (tmp_path / "out" / "src" / "model.h").read_text()
    build.run(np.zeros((1, 2, 12), np.float32))
    build.run(np.zeros((1, 2, 12), np.float32))
    counts = (ctypes.c_uint32 * 4).in_dll(build.library.handle, "lamp_counts")
    assert [*counts] == [2, 2, 2, 0]
    with pytest.MonkeyPatch.context() as patch:  # as if the folder came from elsewhere
        patch.setattr(ReportFolder, "made_here", property(lambda folder: False))
        patch.setattr(checked, "remember_made_here", lambda manifest: None)
        assert "lamp_counts" in own_sources(build)["library/lamp.c"].decode()
    (tmp_path / "myoedge.toml").write_text("[lamp]\npin = 9\n")
    ran = command(*words, cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "blinks" not in ran.out
    assert myoedge.load_build(tmp_path / "out").parts == ()


@pytest.mark.usefixtures("lamp")
def test_a_backend_and_a_tool(small: Path, tmp_path: Path) -> None:
    """The backend adds its port to every output: it is exact on port 0 only."""
    calib = np.random.default_rng(0).standard_normal((4, 1, 2, 12)).astype(np.float32)
    myoedge.build(small / "model.pt2", calib=calib, output=tmp_path / "out", simulate=False)
    report = myoedge.load_build(tmp_path / "out").report
    assert [*report["exact"]] == ["host", "simulator", "gvsoc", "board"], "of this package only"
    for port, code in (("0", 0), ("1", 4)):
        ran = command("validate", "out", "--on", "lamp", "--port", port, "--json", cwd=tmp_path)
        assert ran.code == code, (ran.json, ran.err)
        assert ran.json["exact"]["lamp"] == (code == 0)
    assert "lamp" in command("report", "out", cwd=tmp_path).out
    known = command("validate", "out", "--on", "nothing", cwd=tmp_path).err
    assert "host, simulator, gvsoc, lamp, gvsoc-sdk, board, jtag" in known
    backends.cache_clear()
    with pytest.MonkeyPatch.context() as patch:  # as if the package were not there any more
        patch.setattr(found_hooks, "_installed_extensions", lambda: ())
        assert command("report", "out", cwd=tmp_path).code == 0
        assert command("report", "out", "--html", cwd=tmp_path).code == 0
        assert command("inspect", "out", cwd=tmp_path).code == 0
        assert cycle_text("lamp") == "lamp"
    backends.cache_clear()
    rows = command("doctor", "--json", cwd=tmp_path).json["tools"]
    names = [row["name"] for row in rows]
    assert names[-3:] == ["cmake", "lamp", "probe"]
    (row,) = (row for row in rows if row["name"] == "lamp")
    assert (row["state"], row["needed"]) == ("missing", False)


def test_a_table_of_no_extension_names_those_of_extensions(tmp_path: Path) -> None:
    (tmp_path / "myoedge.toml").write_text("[mlpref]\nmodel = 'ic01'\n")
    told = command("build", "model.pt2", cwd=tmp_path)
    assert told.code == 2
    assert "mlpref  ->  mlperf" in told.err


@pytest.mark.parametrize(
    ("text", "cause"),
    [("1 / 0", "ZeroDivisionError"), ("EXTENSION = 3", "has      3"), ("", "AttributeError")],
)
def test_a_wrong_package_stops_only_what_needs_it(
    text: str, cause: str, site: Path, small: Path, tmp_path: Path
) -> None:
    (site / "wrong.py").write_text(text)
    install(site, "wrong", "wrong:EXTENSION")
    for words in (("explain", "E257"), ("ops",), ("sweep", "--help")):
        assert command(*words, cwd=tmp_path).code == 0
    for kind in KINDS:
        for hook in hooks(kind):
            assert find_hook(kind, hook.name) is hook
    for app in CORE:
        assert find_application(app.name) is app
    calib = np.zeros((4, 1, 2, 12), np.float32)
    assert myoedge.quantize(small / "model.pt2", calib=calib).rows()
    assert "sweep" in command("--help", cwd=tmp_path).out
    ran = command("lamp", cwd=tmp_path)
    assert ran.code == 2
    assert "E257" in ran.err
    assert "pip uninstall wrong" in ran.err
    with pytest.raises(MyoedgeError, match="wrong") as caught:
        find_hook("applications", "lamp")
    assert cause in caught.value.notice.text("error")


def test_a_package_cannot_replace_a_command(site: Path, tmp_path: Path) -> None:
    (site / "wrong.py").write_text(
        "from myoedge.extension import CommandHook, Extension\n"
        "EXTENSION = Extension(commands=(CommandHook('sweep', 'x', 'wrong:x'),))\n"
    )
    install(site, "wrong", "wrong:EXTENSION")
    assert "SWEEP.toml" in command("sweep", "--help", cwd=tmp_path).out
    assert command("--help", cwd=tmp_path).out.count("  sweep ") == 1


@pytest.mark.usefixtures("lamp")
def test_a_changed_package_is_built_anew(
    site: Path, small: Path, tmp_path: Path, another_cache: Callable[..., Path]
) -> None:
    """The stages' cache sees the code of the extensions that a build uses."""
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    cache = another_cache("programs", "objects", "libraries")
    environment |= {"MYOEDGE_CACHE": str(cache), "MYOEDGE_STAGES": ""}
    words = ("build", str(small / "model.pt2"), "--calib", "random", "--app", "lamp", "-o", "out")
    source = site / LAMP.name / "lamp.py"
    found = []
    for name in ("lamp_pin", "lamp_pin", "lamp_port"):
        source.write_text(source.read_text().replace("lamp_pin", name))
        run = [sys.executable, "-m", "myoedge", *words, "--no-simulate"]
        ran = subprocess.run(run, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        text = (tmp_path / "out" / "src" / "firmware" / "lamp" / "lamp.c").read_text()
        found.append((name in text, "build: as before" in ran.stderr))
    assert found == [(True, False), (True, True), (True, False)]
