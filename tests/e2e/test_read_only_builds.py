# SPDX-License-Identifier: Apache-2.0
"""A build that may only be read: verbs show their figures, and say that the reports stay."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest

import myoedge
from myoedge.backends import report_folder
from myoedge.errors import MyoedgeError
from myoedge.system.folder import explained
from tests.conftest import myoedge as command
from tests.support.warning_rules import applies


@pytest.fixture(autouse=True)
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system's answer to whatever is written into a build; root is refused nothing."""

    def refuse(folder: Path, files: Mapping[str, bytes]) -> NoReturn:
        with explained(folder):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        raise AssertionError

    def no_file(*arguments: Any, **options: Any) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(report_folder, "replace_files", refuse)
    monkeypatch.setattr(tempfile, "TemporaryFile", no_file)


@pytest.mark.parametrize(
    ("verb", "shown"),
    [("validate", "exact: reference"), ("simulate", "1 inference"), ("energy", "at 0.80 V")],
)
def test_figures_are_shown_and_the_reports_stay(small_build: Path, verb: str, shown: str) -> None:
    before = {path: path.read_bytes() for path in small_build.glob("report.*")}
    ran = command(verb, small_build, cwd=small_build.parent)
    assert ran.code == 0, ran.err
    assert shown in ran.out
    assert f"warning[W210] reports in {small_build} are not updated" in ran.err
    assert "Read-only file system" in ran.err
    assert f"cp -r {small_build} copy" in ran.err
    assert before == {path: path.read_bytes() for path in small_build.glob("report.*")}


@applies("W210", "{copy}")
def test_a_copy_has_new_figures(
    small_build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = command("energy", small_build, cwd=tmp_path)
    (line,) = re.findall("cp -r .* copy(?=, and again with copy)", ran.err)
    monkeypatch.undo()
    subprocess.run(line, shell=True, cwd=tmp_path, check=True)
    again = command("energy", tmp_path / "copy", cwd=tmp_path)
    assert (again.code, "W210" in again.err) == (0, False)


def test_values_have_the_warning(small_build: Path) -> None:
    found = (myoedge.validate(small_build), myoedge.energy(small_build))
    for result in found:
        assert result.unwritten is not None
        assert "are not updated" in result._repr_html_()


def test_a_trace_that_cannot_be_written_is_refused_before_the_long_part(
    small_build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(myoedge.Build, "simulate", None)
    with pytest.raises(MyoedgeError) as caught:
        myoedge.simulate(small_build, trace=True)
    assert caught.value.code == "E220"
    assert caught.value.notice.tries == (f"cp -r {small_build} copy, and again with copy",)
