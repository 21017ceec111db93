# SPDX-License-Identifier: Apache-2.0
"""What doctor says of boards: versions by running, which verbs are blocked, what to type."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from myoedge.extensions.boards import openocd
from myoedge.extensions.boards import tools as survey
from myoedge.system import tools
from tests.conftest import Ran

OPENOCD = """#!/bin/sh
echo "Open On-Chip Debugger 0.10.0+dev-gap9 (2023-01-01)" >&2
"""


def rows_of(ran: Ran) -> dict[str, Any]:
    return {row["name"]: row for row in ran.json["tools"]}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing for boards is there."""
    monkeypatch.setenv("MYOEDGE_OPENOCD", "no-such-openocd")
    monkeypatch.setenv("GAP_OPENOCD_TOOLS", "")
    monkeypatch.setenv("GAP_SDK_HOME", "")
    monkeypatch.setattr(survey, "plugged_in", list)


@pytest.mark.usefixtures("bare")
def test_what_only_boards_need_is_no_failure(run: Callable[..., Ran]) -> None:
    shown = run("doctor", "--json")
    rows = rows_of(shown)
    assert shown.code == 0
    blocked = {
        "openocd": {"flash", "run --on jtag", "validate --on jtag"},
        "openocd_tools": {"flash", "run --on jtag", "validate --on jtag"},
        "gap_sdk": {"simulate --on gvsoc-sdk", "validate --on gvsoc-sdk"},
        "probe": {"flash", "run", "bench", "validate --on board"}
        | {"run --on jtag", "validate --on jtag"},
    }
    for name, verbs in blocked.items():
        assert (rows[name]["state"], rows[name]["needed"]) == ("missing", False)
        assert {*rows[name]["blocks"]} == verbs
        assert rows[name]["fix"]
    text = run("doctor").out
    assert "missing (optional)   openocd" in text
    assert "without it: no flash, run" in text


@pytest.mark.usefixtures("bare")
def test_versions_come_from_running(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "openocd"
    program.write_text(OPENOCD)
    program.chmod(0o755)
    tools = tmp_path / "openocd_tools"
    (tools / "tcl").mkdir(parents=True)
    setup = tmp_path / "utils" / "cmake" / "setup.cmake"
    setup.parent.mkdir(parents=True)
    setup.touch()
    monkeypatch.setenv("MYOEDGE_OPENOCD", str(program))
    monkeypatch.setenv("GAP_OPENOCD_TOOLS", str(tools))
    monkeypatch.setenv("GAP_SDK_HOME", str(tmp_path))
    monkeypatch.setattr(survey, "plugged_in", lambda: [("/dev/ttyUSB1", "0403:6010")])
    rows = rows_of(run("doctor", "--json"))
    assert rows["openocd"]["version"] == "0.10.0+dev-gap9"
    assert rows["probe"]["where"] == "/dev/ttyUSB1"
    assert all(rows[n]["state"] == "ok" for n in ("openocd_tools", "gap_sdk", "pyserial"))


@pytest.mark.usefixtures("bare")
def test_an_openocd_that_does_not_run_is_missing(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "openocd"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("MYOEDGE_OPENOCD", str(program))
    assert rows_of(run("doctor", "--json"))["openocd"]["state"] == "missing"


@pytest.mark.usefixtures("bare")
def test_scripts_under_another_name_are_missing(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor's scripts find each other as openocd_tools/tcl/..."""
    for name, state in (("openocd_tools", "ok"), ("openocd_tools.copy", "missing")):
        (tmp_path / name / "tcl").mkdir(parents=True)
        monkeypatch.setenv("GAP_OPENOCD_TOOLS", str(tmp_path / name))
        assert rows_of(run("doctor", "--json"))["openocd_tools"]["state"] == state


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("name", ["GAP_SDK_HOME", "GAP_OPENOCD_TOOLS", "GVSOC_HOME"])
def test_a_folder_of_which_no_name_is_so_long(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, f"{300 * 'x'}/openocd_tools")
    shown = run("doctor", "--json")
    row = {"GAP_SDK_HOME": "gap_sdk", "GVSOC_HOME": "gvsoc"}.get(name, "openocd_tools")
    assert (shown.code, rows_of(shown)[row]["state"]) == (0, "missing")


def test_the_lines_for_openocd_clone_once(tmp_path: Path) -> None:
    """By a git that fails where the folder is, as git does."""
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nmkdir gap_utils && echo cloned\n")
    program.chmod(0o755)
    lines = (openocd.GET, openocd.GET_TOOLS, "echo $MYOEDGE_OPENOCD $GAP_OPENOCD_TOOLS")
    env = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    done = tools.run(["sh", "-ec", "\n".join(lines)], cwd=tmp_path, env=env)
    home = tmp_path / "gap_utils"
    wanted = f"cloned\n{home}/openocd_ubuntu2204/bin/openocd {home}/openocd_tools\n"
    assert (done.returncode, done.stdout) == (0, wanted), done.stderr


def test_what_is_needed_fails(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ziglang", None)
    shown = run("doctor", "--json")
    assert shown.code == 5
    assert json.loads(shown.out)["tools"]


@pytest.mark.usefixtures("bare")
def test_every_row_says_what_it_blocks_and_a_command(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing cc, GVSoC or onnxruntime blocks an option only, and doctor succeeds."""
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("GVSOC_HOME", "no-such-folder")
    monkeypatch.setitem(sys.modules, "serial", None)
    shown = run("doctor", "--json")
    missing = {name: row for name, row in rows_of(shown).items() if row["state"] == "missing"}
    assert {"cc", "gvsoc", "openocd", "openocd_tools", "gap_sdk", "probe"} <= missing.keys()
    assert shown.code == 0
    gap_utils = "[ -d gap_utils ] || git clone"
    commands = (
        "git clone",
        gap_utils,
        "sudo apt-get",
        "xcode-select",
        "pip install",
        "source",
        "myoedge",
    )
    for name, row in missing.items():
        assert row["blocks"] or name == "ortools", name
        assert row["fix"].startswith(commands), name
    verbs = {verb for row in rows_of(shown).values() for verb in row["blocks"]}
    for verb in verbs:
        name, *option = verb.split()[:2]
        helped = run(name, "--help")
        assert helped.code == 0
        assert all(x in helped.out for x in option if x.startswith("-")), verb
