# SPDX-License-Identifier: Apache-2.0
"""The operator of docs/developers/adding-an-operator.md, added to a checkout as the page says,
without a line elsewhere: exact in C and tiles,
on a host and the simulated chip, in both widths, as a stream."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.pages import code_of

PAGE = ROOT / "docs" / "developers" / "adding-an-operator.md"
FILE = "myoedge/operators/lerp/__init__.py"
CHECK = """
import inspect, sys, tempfile
from pathlib import Path
from tests.ops import harness, test_ops, test_stored_numbers, test_tiles
from tests.support.onnx.quantized import check_file

name, folder = sys.argv[1], Path(tempfile.mkdtemp())
test_ops.follow(harness.drawn(name, 200))
for each in (test_ops.test_an_operator_is_complete, test_ops.test_a_batch_is_its_samples,
             test_stored_numbers.test_no_damage_is_accepted_but_of_weights):
    inspect.unwrap(each)(name)
for part, compare in (("c", lambda f: test_ops.compare(f, [name], 40, 0, "-O0")),
                      ("tiles", lambda f: test_tiles.compare([name], 40, 0, f))):
    (folder / part).mkdir()
    compare(folder / part)
for case in harness.drawn(name, 20):
    check_file(case)
print("exact")
"""
BUILD = """
import json
from pathlib import Path
import numpy as np
import torch
import myoedge
from tests.conftest import save_exported

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv1d(8, 24, 3)
    def forward(self, x):
        y = self.layer(x)
        return torch.lerp(y, y.flip(1), 0.3)

torch.manual_seed(0)
model = save_exported(Network().eval(), (torch.zeros(1, 8, 60),), Path("m.pt2"))
windows = np.random.default_rng(0).standard_normal((8, 1, 8, 60)).astype(np.float32)
for bits in (8, 16):
    Path("myoedge.toml").write_text(f'[quant]\\n"*" = {{ activations = {bits} }}\\n' * (bits > 8))
    for stream in (False, True):
        build = myoedge.build(model, calib=windows, output="out", target="gap9", stream=stream)
        found = myoedge.validate("out", on=("host", "simulator"))
        (layer,) = (row for row in build.report["layers"] if row["op"] == "lerp")
        assert layer["tile"] and found.exact["host"] and found.exact["simulator"]
        assert layer["dtype"] == f"int{bits}" and layer["in_dtypes"] == [f"int{bits}"] * 2
print("exact")
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package with the page's operator."""
    for folder in ("myoedge", "firmware_templates", "boards", "gvsoc", "tests"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_text(code_of(PAGE, FILE))
    return tmp_path


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
def test_the_operator_of_the_page_is_an_operator(checkout: Path) -> None:
    assert exact(run(checkout, "-c", CHECK, "lerp"))
    assert exact(run(checkout, "-c", BUILD))
    shown = run(checkout, "-m", "myoedge", "ops", "--md").stdout
    assert "| `lerp` | the weighted mean, a + weight * (b - a) | yes | `lerp` |" in shown


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    def nest", "    de nest", "SyntaxError: invalid syntax (__init__.py, line 20)"),
        ("import api\n", "import apis\n", "(__init__.py:4)"),
        ('doc="the', 'name="add", doc="the', "add, which is one"),
    ],
)
def test_a_mistake_in_the_package_is_told_without_a_traceback(
    checkout: Path, old: str, new: str, said: str
) -> None:
    place = checkout / FILE
    assert old in place.read_text()
    place.write_text(place.read_text().replace(old, new, 1))
    done = run(checkout, "-m", "myoedge", "plugin", "check", "lerp")
    assert done.returncode == 2
    assert done.stderr.startswith("error[E257] the operator")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
