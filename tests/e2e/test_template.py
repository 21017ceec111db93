# SPDX-License-Identifier: Apache-2.0
"""Operators copied as docs/adding-an-operator.md says are exact, in tiles too, without a line
elsewhere: TEMPLATE, and maximum as a minimum."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import pytest

from myoedge.operators.base import OPS
from tests.conftest import ROOT

FOLDERS = ("myoedge/operators", "firmware_templates/operators")
CHECK = """
import sys, tempfile
from pathlib import Path
from tests.ops import harness, test_ops, test_tiles
from tests.qdq_cases import check_file

name, folder = sys.argv[1], Path(tempfile.mkdtemp())
test_ops.follow(harness.drawn(name, 40))
for part, compare in (("c", lambda f: test_ops.compare(f, name, 20, 0, "-O0")),
                      ("tiles", lambda f: test_tiles.compare(name, 20, 0, f))):
    (folder / part).mkdir()
    compare(folder / part)
for case in harness.drawn(name, 10):
    check_file(case)
print("exact")
"""
BUILD = """
import json, tempfile
from pathlib import Path
import numpy as np
import torch
import myoedge
from tests.conftest import save_exported

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(8, 24)
    def forward(self, x):
        return torch.deg2rad(self.layer(x)).cumsum(1)

folder = Path(tempfile.mkdtemp())
model = save_exported(Network().eval(), (torch.zeros(1, 60, 8),), folder / "m.pt2")
windows = np.random.default_rng(0).standard_normal((8, 1, 60, 8)).astype(np.float32)
myoedge.build(model, calib=windows, output=folder / "out")
found = myoedge.validate(folder / "out", on=("host", "simulator"))
layers = json.loads((folder / "out" / "report.json").read_text())["layers"]
(layer,) = (layer for layer in layers if layer["op"] == "radians")
assert layer["tile"] and found.exact["host"] and found.exact["simulator"]
print("exact")
"""


# The calls of a minimum belong to maximum's rows.
MINIMUM = {
    "me_max(": "me_min(",
    'named("Max")': 'named("Min")',
    "import dataclass": "import dataclass, replace",
    "import Engine": "import Engine, KernelCost",
    '_s8", NUMBERS)': '_s8", NUMBERS), cost=KernelCost(60, 350, 800))',
    '_s16", op)': '_s16", op), cost=KernelCost(28.5, 240, 400))',
    "return pair(": "return replace(pair(",
    "return wide_pair(": "return replace(wide_pair(",
    "ROWS = (": "ROWS: tuple[ImportRow, ...] = ()\n_UNUSED = (",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for folder in ("myoedge", "firmware_templates", "boards", "gvsoc", "tests"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path


def copy(checkout: Path, old: str, new: str, edits: Mapping[str, str]) -> None:
    """Copies an operator's two folders under another name; then edits every file."""
    renamed = {old: new, old.upper(): new.upper()} if old.islower() else {old: new}
    for folder in FOLDERS:
        target = checkout / folder / new
        shutil.copytree(checkout / folder / old, target)
        for path in list(target.iterdir()):
            text = path.read_text()
            for before, after in {**renamed, **edits}.items():
                text = text.replace(before, after)
            path.write_text(text)
            path.rename(path.with_name(path.name.replace(old, new)))


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *command],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def exact(done: subprocess.CompletedProcess[str]) -> bool:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.endswith("exact\n")


@pytest.mark.slow
def test_a_copy_of_the_template_is_an_operator(checkout: Path) -> None:
    copy(checkout, "TEMPLATE", "radians", {})
    assert exact(run(checkout, "-c", CHECK, "radians"))
    assert exact(run(checkout, "-c", BUILD))
    shown = run(checkout, "-m", "myoedge", "ops", "--md").stdout
    assert "| `radians` | a tensor times a number | yes | `deg2rad` |" in shown


@pytest.mark.slow
def test_a_copy_of_maximum_is_a_minimum(checkout: Path) -> None:
    copy(checkout, "maximum", "minimum", MINIMUM)
    assert exact(run(checkout, "-c", CHECK, "minimum"))


def test_the_template_itself_is_no_operator() -> None:
    import_module("myoedge.operators.TEMPLATE.definition")
    assert "TEMPLATE" not in OPS
