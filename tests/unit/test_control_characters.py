# SPDX-License-Identifier: Apache-2.0
"""What a terminal obeys stays out of settings, reports and output; names that are no UTF-8 and
closed streams are no reason to fail."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myoedge.building.config import find
from myoedge.cli.shell import Terminal
from myoedge.errors import MyoedgeError
from myoedge.extensions.sweeps.settings import read_sweep
from myoedge.reports.tables import facts
from myoedge.system.control_characters import document_bytes, with_controls, without_controls
from myoedge.targets.boards import read_board
from tests.conftest import ROOT, Ran

CLI = ROOT / "myoedge" / "cli"
FOUL = r"a\u001b[31mb\u202e"


@given(st.text())
def test_text_without_controls_has_none(text: str) -> None:
    clean = without_controls(text)
    assert len(clean) == len(text)
    for char, before in zip(clean, text, strict=True):
        assert unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp") or char in "\t\n\r"
        assert unicodedata.bidirectional(char) not in ("LRE", "RLE", "PDF", "LRO", "RLO")
        assert char in (before, "?")
        assert before == char or unicodedata.category(before) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def test_texts_of_tables() -> None:
    assert not [*with_controls({"a": ["ok", 1, {"b": "µ\t"}], "c": {"ü": None}})]
    assert [*with_controls({"a": [{"b": "x\x1b"}], "c": "two\nlines", "d\x07": 1})] == [
        "a.b", "c", r"'d\x07'",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "read", "code"),
    [
        ("myoedge.toml", f'[quant."{FOUL}"]\nweights = 4\n', find, "E232"),
        ("myoedge.toml", f'[model]\npath = "{FOUL}"\n', find, "E232"),
        ("SWEEP.toml", f'[[model]]\npath = "m"\n[[budget]]\nname = "{FOUL}"\n', read_sweep, "E260"),
        ("board.toml", f'id = "b"\nname = "{FOUL}"\n', read_board, "E252"),
    ],
)
def test_settings_have_no_control_characters(
    tmp_path: Path, name: str, text: str, read: Callable[[Path], object], code: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(MyoedgeError, match="control characters") as caught:
        read(tmp_path / name)
    assert caught.value.code == code
    assert "\x1b" not in str(caught.value)


def test_output_has_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(as_json=False, level=0, color=False)
    terminal.text("a\x1b[2Jb", "c")
    terminal.out.print("d\x9b2Je")
    terminal.out.print(facts([("[i]", ":key: [budget]")]))  # no markup of a console, no emoji
    terminal.progress("f\x07g\rh")
    out, err = capsys.readouterr()
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines == ["a?[2Jb", "c", "d?2Je", "[i]  :key: [budget]"]
    assert err == "f?g?h\n"
    assert document_bytes("<b>x\x1b\udcff</b>\r\n") == b"<b>x??</b>\r\n"


def test_only_one_module_prints() -> None:
    """Others use its functions and its consoles."""
    for file in CLI.glob("*.py"):
        calls = (
            node.func
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Call)
        )
        names = {ast.unparse(call) for call in calls}
        prints = names & {"click.echo", "click.secho", "print", "Console", "sys.stdout.write"}
        assert not prints or file.name == "shell.py", file.name


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_closed_streams(tmp_path: Path, closed: tuple[int, ...]) -> None:
    """As `>&-` leaves them. What is written next does not go where output would."""

    def close() -> None:
        for number in closed:
            os.close(number)

    code = "from myoedge.cli import main; main(['explain', 'E222'])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, preexec_fn=close, check=False
    )
    assert ran.returncode == 0
    assert not [*tmp_path.iterdir()]


def test_names_that_are_no_utf_8(run: Callable[..., Ran], small: Path, tmp_path: Path) -> None:
    """Of model, samples and folder; in every report."""
    name = os.fsdecode(b"\xff")
    for file in ("model.pt2", "calib.npz"):
        shutil.copyfile(small / file, tmp_path / f"{name}{file}")
    build = ("build", f"{name}model.pt2", "--calib", f"{name}calib.npz", "--target", "host")
    ran = run(*build, "-o", name)
    assert ran.code == 0, ran.err
    for verb in (
        ("report", name), ("report", name, "--html", f"{name}.html"), ("inspect", name),
        ("validate", name, "--junit", f"{name}.xml"), ("report", name, "--json"),
    ):  # fmt: skip
        assert run(*verb).code == 0, verb
    assert "�" in (tmp_path / name / "report.html").read_text("utf-8")
