# SPDX-License-Identifier: Apache-2.0
"""Evidence of builds for Cortex-M: inputs run in QEMU, memory as the linker laid it out."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from elftools.elf.elffile import ELFFile
from torch import nn

import myoedge
from myoedge.backends.report_folder import report_digest
from tests.conftest import Ran, save_exported
from tests.extensions.qemu.test_qemu import built, in_qemu
from tests.support.schemas import check

pytestmark = in_qemu


def section_bytes(elf: bytes, names: set[str]) -> int:
    found = ELFFile(io.BytesIO(elf)).iter_sections()
    return sum(section["sh_size"] for section in found if section.name in names)


def stated_stack(folder: Path) -> int:
    """The stack of a run that the network's header states."""
    header = next((folder / "src").glob("*.h")).parent
    found = re.findall(
        r"_RUN_STACK_BYTES (\d+)", "".join(p.read_text() for p in header.glob("*.h"))
    )
    return int(found[0])


def test_a_build_shows_its_requirements(tmp_path: Path, run: Callable[..., Ran]) -> None:
    folder, out = built("conv", tmp_path, "cortex-m4").folder, tmp_path / "e"
    ran = run("evidence", folder, "-o", out, "--drawn", 3)
    document = json.loads((out / "evidence.json").read_text())
    assert (ran.code, check(document)) == (0, "myoedge.evidence/1")
    rows = {row["key"]: row for row in document["requirements"]}
    keys = ["ALLOC-1", "EXACT-1", "EXACT-2", "EXACT-3", "LOOP-1", "MEM-1", "MEM-2"]
    assert (sorted(rows), {row["shown"] for row in rows.values()}) == (keys, {True})
    elf, stack = (folder / "firmware.elf").read_bytes(), stated_stack(folder)
    for key, names in (
        ("MEM-1", {".data", ".bss"}),
        ("MEM-2", {".vectors", ".text", ".rodata", ".data"}),
    ):
        count = section_bytes(elf, names) + (stack if key == "MEM-1" else 0)
        assert rows[key]["value"].startswith(f"{count:,} of "), key
    data = section_bytes(elf, {".data", ".bss"})
    assert f"({data:,} bytes, as in the report)" in rows["MEM-1"]["text"]
    assert f"stack of a run ({stack:,})" in rows["MEM-1"]["text"]
    assert f"a run needs a stack of {stack // 1024} KiB" in " ".join(
        run("report", folder).out.split()
    )
    assert "cycles" not in document
    assert 0 < document["instructions"]["min"] <= document["instructions"]["max"]
    assert "in QEMU" in (out / "evidence.md").read_text()


def test_a_limit_of_ram_leaves_out_the_stack(tmp_path: Path) -> None:
    """[budget] l2, the report and the evidence have one count; the stack is told beside it."""
    build = built("mlp", tmp_path, "cortex-m4", l2="2KiB")
    elf = (build.folder / "firmware.elf").read_bytes()
    data, stack = section_bytes(elf, {".data", ".bss"}), stated_stack(build.folder)
    rows = {row.key: row for row in myoedge.evidence(build, drawn=1).requirements}
    assert (rows["MEM-1"].shown, rows["MEM-1"].value) == (True, f"{data:,} of 2,048 bytes")
    assert f"without the stack of a run ({stack:,} bytes)" in rows["MEM-1"].text


class Longest(nn.Module):
    """A chain of elements, and the index of the largest: each larger one is a branch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x).argmax(-1)


def test_layers_whose_instructions_depend_on_data_are_named(tmp_path: Path) -> None:
    model = save_exported(Longest(), (torch.zeros(1, 4, 400),), tmp_path / "model.pt2")
    calib = torch.randn(8, 1, 4, 400, generator=torch.Generator().manual_seed(0)).numpy()
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", target="cortex-m4")
    found = myoedge.evidence(build, drawn=4)
    assert any("argmax" in name for name in found.varying)
    assert "more or fewer instructions" in found.files()["evidence.md"].decode()


def test_a_build_for_a_host_has_no_program(tmp_path: Path) -> None:
    build = built("mlp", tmp_path, "host")
    with pytest.raises(myoedge.MyoedgeError, match="E240"):
        myoedge.evidence(build)


def test_check_compares_instructions(tmp_path: Path, run: Callable[..., Ran]) -> None:
    """3 % more instructions are too many, as cycles would be; of a build that QEMU did not run,
    both figures are gone."""
    folder, accepted = built("conv", tmp_path, "cortex-m4").folder, tmp_path / "accepted"
    assert run("validate", folder, "--on", "host,qemu").code == 0
    shutil.copytree(folder, accepted)
    report = json.loads((folder / "report.json").read_text())
    count = report["instructions"]["total"]
    for share, code in ((1.0, 0), (0.97, 3)):
        report["instructions"]["total"] = round(count * share)
        report["digest"] = report_digest(report)
        (accepted / "report.json").write_text(json.dumps(report))
        ran = run("check", folder, "--against", accepted)
        assert (ran.code, "instructions: " in ran.out + ran.err) == (code, True)
    ran = run("check", built("conv", tmp_path, "cortex-m4").folder, "--against", accepted)
    assert (ran.code, "--on qemu" in ran.err) == (3, True)
