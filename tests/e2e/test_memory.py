# SPDX-License-Identifier: Apache-2.0
"""Whole networks keep to their buffers: guard pages around each, UBSan, and ASan where it works."""

from __future__ import annotations

import io
import json
import mmap
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from elftools.elf.elffile import ELFFile
from rich.console import Console
from torch import Tensor, nn

import myoedge
from myoedge.codegen.project import make_sources
from myoedge.plan.placement import Allocator, LiveRange, Placement, Replacement
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.reports import wording
from myoedge.reports.text import print_report
from myoedge.targets import find_chip
from tests.conftest import ROOT, save_exported
from tests.support.guard import run_sanitized

PAGE = mmap.PAGESIZE


class Mixed(nn.Module):
    """Branches, pools, concat, a transposed output: many buffers of many lives."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(3, 4, 5, padding=2)
        self.c = nn.Conv2d(12, 8, 1)
        self.d = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.cat([torch.relu(self.a(x)), torch.nn.functional.gelu(self.b(x))], 1)
        z = torch.nn.functional.max_pool2d(self.c(y), 3, 2, ceil_mode=True)
        return self.d(z.mean((2, 3))), z.softmax(1)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> myoedge.Build:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("mixed")
    save_exported(Mixed(), (torch.zeros(1, 3, 9, 7),), folder / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((16, 1, 3, 9, 7), np.float32)
    return myoedge.build(folder / "m.pt2", calib=calib, output=folder / "out")


def fenced(at_end: bool) -> Allocator:
    """A placement that gives every buffer pages of its own, with unused pages around them."""

    def placing(
        lives: Sequence[LiveRange], alignment: int, may_replace: Sequence[Replacement] = ()
    ) -> Placement:
        assert not may_replace, "several cores keep buffers apart"
        offsets, at = {}, PAGE
        for life in lives:
            room = -(-life.size_bytes // PAGE) * PAGE
            slack = (room - life.size_bytes) // 4 * 4 if at_end else 0
            offsets[life.name] = at + slack
            at += room + PAGE
        return Placement(offsets, at, 0, False)

    return placing


RUNNER = """
import ctypes, json, mmap, sys
from pathlib import Path
import numpy as np
from myoedge.backends import host
folder, page = Path(sys.argv[1]), mmap.PAGESIZE
facts = json.loads((folder / "facts.json").read_text())
library = host.load_library(folder, options=host.CompileOptions(facts["sanitize"]))
libc = ctypes.CDLL(None, use_errno=True)
for start in facts["fences"]:
    arena = ctypes.addressof(ctypes.c_int8.in_dll(library.handle, f"{library.prefix}_arena"))
    assert libc.mprotect(ctypes.c_void_p(arena + start), page, mmap.PROT_READ * 0) == 0
outputs = [(tuple(s), d) for s, d in facts["outputs"]]
for sample in facts["samples"]:
    found = host.run(library, [np.array(x, np.int8) for x in sample], outputs)
    print(json.dumps([y.tolist() for y in found]))
"""


def same_in_a_process(
    build: myoedge.Build, plan: Plan, folder: Path, fences: list[int], sanitize: list[str]
) -> None:
    """Runs the plan's C in a process of its own, which may die, and compares with the build's."""
    q, rng = build.network, np.random.default_rng(1)
    for name, text in make_sources(plan, "mixed").files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    shapes = [q.graph.shape(name) for name in q.graph.inputs]
    samples = [[rng.integers(-128, 128, s, np.int8) for s in shapes] for _ in range(4)]
    facts = {
        "fences": fences,
        "sanitize": sanitize,
        "samples": [[x.tolist() for x in sample] for sample in samples],
        "outputs": [(q.graph.shape(n), q.dtype(n)) for n in q.graph.outputs],
    }
    (folder / "facts.json").write_text(json.dumps(facts))
    command = [sys.executable, "-c", RUNNER, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:] or f"signal {-done.returncode}"
    for sample, line in zip(samples, done.stdout.splitlines(), strict=True):
        for found, wanted in zip(json.loads(line), build.run_raw(sample), strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("at_end", [True, False])
def test_no_layer_leaves_its_buffers(mixed: myoedge.Build, tmp_path: Path, at_end: bool) -> None:
    paged = replace(find_chip("host"), alignment_bytes=PAGE)
    plan = make_plan(mixed.network, paged, placing=fenced(at_end))
    assert len(plan.lives) >= 5
    used = {p for life in plan.lives for p in _pages(plan.placement.offsets[life.name], life)}
    fences = [p * PAGE for p in range(plan.arena_bytes // PAGE) if p not in used]
    same_in_a_process(mixed, plan, tmp_path, fences, [])


def _pages(offset: int, life: LiveRange) -> range:
    return range(offset // PAGE, (offset + life.size_bytes - 1) // PAGE + 1)


def test_clean_under_ubsan(mixed: myoedge.Build, tmp_path: Path) -> None:
    same_in_a_process(
        mixed, make_plan(mixed.network, find_chip("gap9")), tmp_path, [], ["undefined"]
    )


def test_clean_under_asan(mixed: myoedge.Build) -> None:
    ran = run_sanitized(mixed.folder / "src")
    assert ran.returncode == 0, ran.stderr
    assert "bit for bit" in ran.stdout


def test_code_and_stacks_are_those_of_the_elf(mixed: myoedge.Build) -> None:
    """By the section headers of firmware.elf, as any other tool reads them."""
    with (mixed.folder / "firmware.elf").open("rb") as file:
        found = {s.name: (s["sh_addr"], s["sh_size"]) for s in ELFFile(file).iter_sections()}
    in_l2 = [(at, at + size) for at, size in found.values() if at >= 0x1C010000]
    memory = mixed.report["memory"]
    taken = max(end for _, end in in_l2) - min(at for at, _ in in_l2)
    assert memory["l2_peak_bytes"] + memory["code_bytes"] == taken
    assert memory["code_bytes"] >= found[".text"][1]
    assert memory["l1_stacks_bytes"] == found[".l1_stacks"][1] <= memory["l1_reserved_bytes"]
    assert memory["fc_stack_bytes"] == found[".fc_stack"][1]
    page, screen = (mixed.folder / "report.html").read_text(), io.StringIO()
    print_report(mixed.report, Console(file=screen, width=100))
    for text in (page, screen.getvalue()):
        assert wording.size(taken) in text
        assert f"code {wording.size(memory['code_bytes'])}" in text
        assert f"stacks {wording.size(memory['l1_stacks_bytes'])}" in text
    assert "Activations need ." not in page
