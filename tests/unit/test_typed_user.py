# SPDX-License-Identifier: Apache-2.0
"""tests/support/typed_user.py: every public name is in it, and strict type checks of it pass."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import myoedge
from tests.support.pages import code_of

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "tests" / "support" / "typed_user.py"


def test_every_public_name_is_used() -> None:
    used = {
        node.attr
        for node in ast.walk(ast.parse(PROGRAM.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "myoedge"
    }
    assert used == {*myoedge.__all__}


def strictly_checked(program: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """mypy as a user runs it: without our settings, and silent about the package's own modules."""
    options = ("--strict", "--config-file=", "--follow-imports=silent", f"--cache-dir={cache}")
    words = [sys.executable, "-m", "mypy", *options, str(program)]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    return subprocess.run(words, env=environment, cwd=cache, capture_output=True, text=True)


@pytest.mark.slow
def test_strict_type_checks_pass_and_see_mistakes(tmp_path: Path) -> None:
    checked = strictly_checked(PROGRAM, tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    page = ROOT / "docs" / "developers" / "adding-an-operator.md"
    own = tmp_path / "own.py"
    code = code_of(page, "myoedge/operators/lerp/__init__.py")
    formulas = ("np.hypot(a, b)", "np.tanh(a) + abs(b)", "np.where(a > 0, b, 0.0)", "a * np.abs(b)")
    parts = [code.replace("from", "import numpy as np\nfrom", 1)]
    for at, formula in enumerate(formulas):
        more = "class " + code.partition("class ")[2].replace("Lerp", f"Own{at}")
        parts.append(more.replace('a + self.attrs["weight"] * (b - a)', formula, 1))
    own.write_text("\n".join(parts))
    checked = strictly_checked(own, tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import myoedge\n"
        "myoedge.load(3)\n"
        "myoedge.simulate('out').exactness\n"
        "x: str = myoedge.ops()\n"
    )
    found = strictly_checked(wrong, tmp_path).stdout
    assert [line.split(":")[1] for line in found.splitlines()[:3]] == ["2", "3", "4"]
