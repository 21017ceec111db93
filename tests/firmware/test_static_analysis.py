# SPDX-License-Identifier: Apache-2.0
"""Generated folders under the analysers that customers run: cppcheck, clang-tidy, MISRA's addon."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build
from myoedge.extensions.evidence.evidence import FOLDER
from myoedge.system import tools
from tests.conftest import ROOT, save_exported

REMARK = re.compile(
    r"(?:error|warning|style|performance|portability): .*\[[\w.-]+\]$", re.MULTILINE
)
MANDATORY = {  # of MISRA C:2012 with its amendments
    "9.1", "12.5", "13.6", "17.3", "17.4", "17.6", "19.1", "21.13", "21.17", "21.18", "21.19",
    "21.20", "22.2", "22.4", "22.5", "22.6",
}  # fmt: skip
ADVISORY = {
    "2.3", "2.4", "2.5", "2.6", "2.7", "4.2", "5.9", "8.7", "8.9", "8.11", "8.13", "10.5", "11.4",
    "11.5", "12.1", "12.3", "12.4", "13.3", "13.4", "15.1", "15.4", "15.5", "17.5", "17.8", "18.4",
    "18.5", "19.2", "20.1", "20.5", "20.10",
}  # fmt: skip
STREAM = "[stream]\nrate = 1000\nhop = 4\n"


class Attending(nn.Module):
    """Recurrent layer, norm, attention, softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.gates, self.norm = nn.GRU(8, 16, batch_first=True), nn.LayerNorm(16)
        self.linear, self.classes = nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.gates(x)[0])
        y = nn.functional.scaled_dot_product_attention(y, y + self.linear(y), y)
        return torch.softmax(self.classes(y.mean(1)), -1)


def causal() -> nn.Module:
    return nn.Sequential(nn.Conv1d(2, 8, 3), nn.ReLU(), nn.Conv1d(8, 3, 3))


def image() -> nn.Module:
    layers = [nn.BatchNorm2d(3), nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)]
    return nn.Sequential(*layers, nn.Conv2d(16, 32, 3), nn.Flatten(), nn.Linear(1152, 10))


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> list[Build]:
    folder = tmp_path_factory.mktemp("analysed")
    (folder / "stream.toml").write_text(STREAM)
    networks = {
        "causal": (causal(), (1, 2, 20), {"config": folder / "stream.toml", "stream": True}),
        "image": (image(), (1, 3, 16, 16), {"weights_blob": True}),
        "attending": (Attending(), (1, 12, 8), {"weights_blob": False}),
    }
    found = []
    for prefix, (network, shape, options) in networks.items():
        torch.manual_seed(0)
        model = save_exported(network.eval(), (torch.zeros(shape),), folder / f"{prefix}.pt2")
        samples = np.random.default_rng(0).standard_normal((8, *shape), np.float32)
        options = {"weights_blob": True, "checks": True, "simulate": False, **options}
        output = folder / prefix
        found.append(myoedge.build(model, calib=samples, output=output, prefix=prefix, **options))  # type: ignore[arg-type]
    return found


def sources(builds: list[Build]) -> Iterator[tuple[Path, list[str]]]:
    """src/ of each build, and its C files apart from the bare chip's; equal ones only once."""
    seen: set[str] = set()
    for build in builds:
        src = build.folder / "src"
        texts = {str(path.relative_to(src)): path.read_text() for path in src.glob("**/*.c")}
        own = sorted(n for n, x in texts.items() if x not in seen and not n.startswith("firmware/"))
        seen |= {*texts.values()}
        yield src, own


def cppcheck(builds: list[Build], *options: str) -> str:
    """What cppcheck says of all builds."""
    command = ["cppcheck", "--std=c11", "-q", "-I.", "-Ilibrary", *options]
    return "".join(tools.run([*command, *own], cwd=src).stderr for src, own in sources(builds))


WITH_CPPCHECK = pytest.mark.skipif(not shutil.which("cppcheck"), reason="cppcheck is not installed")


def test_warnings_of_another_compiler_do_not_stop_a_customer_s_make(builds: list[Build]) -> None:
    for build in builds:
        assert "-Werror" not in (build.folder / "src" / "Makefile").read_text()


def test_variables_that_are_exported_are_constant_or_documented(builds: list[Build]) -> None:
    page = (ROOT / "docs" / "product" / "firmware.md").read_text()
    listed = set(re.findall(r"`(\w+)`", page))
    for build in builds:
        src = shutil.copytree(build.folder / "src", build.folder.parent / f"made_{build.prefix}")
        tools.run(["make", "-s", "libnetwork.a"], cwd=src)
        rows = tools.run(["nm", "--defined-only", "--extern-only", "libnetwork.a"], cwd=src).stdout
        shown = {row.split()[-1] for row in rows.splitlines() if re.match(r"\w+ [BDGSC] ", row)}
        constant = {f"{build.prefix}_info", "me_block_kernels"}  # with addresses in them
        written = {name.replace(f"{build.prefix}_", "gesture_") for name in shown - constant}
        assert written, "a network has an arena"
        assert {re.sub(r"put\d+$", "put0", name) for name in written} <= listed


@pytest.mark.slow
@WITH_CPPCHECK
def test_cppcheck_has_no_remarks(builds: list[Build]) -> None:
    enabled = "--enable=warning,style,performance,portability"
    assert not REMARK.findall(cppcheck(builds, enabled, "--inline-suppr"))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("clang-tidy"), reason="clang-tidy is not installed")
def test_clang_tidy_has_no_remarks(builds: list[Build]) -> None:
    for src, own in sources(builds):
        command = ["clang-tidy", "--quiet", *own, "--", "-std=c11", "-I.", "-Ilibrary"]
        assert not REMARK.findall(tools.run(command, cwd=src).stdout)


@pytest.mark.slow
@WITH_CPPCHECK
def test_deviations_from_misra_are_listed(builds: list[Build]) -> None:
    page = (FOLDER / "misra.md").read_text()
    listed = set(re.findall(r"^\| ([\d.]+) \|", page, re.MULTILINE))
    found = set(re.findall(r"misra-c2012-([\d.]+)", cppcheck(builds, "--addon=misra")))
    assert len(found) > 20, "the addon ran"
    assert not found & MANDATORY
    assert found - ADVISORY <= listed
