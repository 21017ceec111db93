# SPDX-License-Identifier: Apache-2.0
"""operators/TEMPLATE, copied as docs/adding-an-operator.md says, is an exact operator in tiles."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from myoedge.operators.base import OPS
from tests.conftest import ROOT

NAME = "radians"
FOLDERS = ("myoedge/operators", "firmware_templates/operators")
CHECK = """
import json, sys, tempfile
from pathlib import Path
import numpy as np
import torch
import myoedge
from tests.conftest import save_exported
from tests.ops import harness, test_ops, test_tiles
from tests.qdq_cases import check_file

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(8, 24)
    def forward(self, x):
        return torch.deg2rad(self.layer(x)).cumsum(1)

folder = Path(tempfile.mkdtemp())
test_ops.follow(harness.drawn("radians", 40))
for name, compare in (("c", lambda f: test_ops.compare(f, "radians", 20, 0, "-O0")),
                      ("tiles", lambda f: test_tiles.compare("radians", 20, 0, f))):
    (folder / name).mkdir()
    compare(folder / name)
for case in harness.drawn("radians", 10):
    check_file(case)
model = save_exported(Network().eval(), (torch.zeros(1, 60, 8),), folder / "m.pt2")
windows = np.random.default_rng(0).standard_normal((8, 1, 60, 8)).astype(np.float32)
myoedge.build(model, calib=windows, output=folder / "out")
found = myoedge.validate(folder / "out", on=("host", "simulator"))
layers = json.loads((folder / "out" / "report.json").read_text())["layers"]
(layer,) = (layer for layer in layers if layer["op"] == "radians")
assert layer["tile"] and found.exact["host"] and found.exact["simulator"]
print("exact")
"""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A checkout with a copy of TEMPLATE under another name, and no line elsewhere."""
    for folder in ("myoedge", "firmware_templates", "boards", "gvsoc", "tests"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    for folder in FOLDERS:
        target = tmp_path / folder / NAME
        shutil.copytree(tmp_path / folder / "TEMPLATE", target)
        for path in list(target.iterdir()):
            path.write_text(path.read_text().replace("TEMPLATE", NAME))
            path.rename(path.with_name(path.name.replace("TEMPLATE", NAME)))
    return tmp_path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *command],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


@pytest.mark.slow
def test_a_copy_of_the_template_is_an_operator(copied: Path) -> None:
    done = run(copied, "-c", CHECK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("exact\n")
    shown = run(copied, "-m", "myoedge", "ops", "--md").stdout
    assert "| `radians` | a tensor times a number | yes | `deg2rad` |" in shown


def test_the_template_itself_is_no_operator() -> None:
    import_module("myoedge.operators.TEMPLATE.definition")
    assert "TEMPLATE" not in OPS
