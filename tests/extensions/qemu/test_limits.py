# SPDX-License-Identifier: Apache-2.0
"""Limits of RAM and flash on Cortex-M: one count, that of the linked program's sections."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import myoedge
from myoedge.codegen.firmware import ProgramTooLarge
from myoedge.errors import MyoedgeError
from myoedge.extensions.sweeps.executors import FIGURES
from myoedge.extensions.sweeps.table import figures
from myoedge.reports.budget import budget_lines
from myoedge.reports.diff import paired_facts
from myoedge.reports.facts import facts, value_at
from myoedge.reports.wording import size
from tests.conftest import Ran
from tests.extensions.qemu.test_qemu import built, sections
from tests.support.limits import l2_with_code

KIB = 1024


@pytest.fixture(autouse=True)
def _limits_as_people_set_them() -> Iterator[None]:
    with l2_with_code():
        yield


def ram_bytes(build: myoedge.Build) -> int:
    """Bytes of RAM that the linker gave to data and variables."""
    found = sections((build.folder / "firmware.elf").read_bytes())
    return found[".data"][1] + found[".bss"][1]


def test_a_limit_holds_for_the_linked_program(tmp_path: Path) -> None:
    """A byte less than a program takes is refused, although the plan's data alone would fit; the
    limit that the error proposes is built, within it."""
    free = built("conv", tmp_path, "cortex-m4")
    used_bytes, planned_bytes = ram_bytes(free), free.report["memory"]["l2_peak_bytes"]
    same = built("conv", tmp_path, "cortex-m4", l2=used_bytes)
    assert (ram_bytes(same), same.report["target"]["l2_bytes"]) == (used_bytes, used_bytes)
    assert budget_lines(same.report) == [f"RAM {size(used_bytes)}: takes {size(used_bytes)}"]
    assert planned_bytes < used_bytes - 1
    with pytest.raises(MyoedgeError) as refused:
        built("conv", tmp_path, "cortex-m4", l2=used_bytes - 1)
    notice = refused.value.notice
    assert (notice.code, dict(notice.facts)["has"]) == ("E302", f"{used_bytes - 1:,} B")
    assert dict(notice.facts)["needs"].startswith(f"{used_bytes:,} B")
    assert f"variables {used_bytes - planned_bytes:,} B" in dict(notice.facts)["needs"]
    option, limit, *_ = notice.tries[0].split()
    assert (option, limit) == ("--l2", f"{-(-used_bytes // KIB)}KiB")
    assert ram_bytes(built("conv", tmp_path, "cortex-m4", l2=limit)) <= used_bytes


def test_scratch_has_one_name_and_size(tmp_path: Path, run: Callable[..., Ran]) -> None:
    """The terminal, report.html and `inspect --memory` name scratch at the peak and count it once;
    flash says whose code it has."""
    build = built("conv", tmp_path, "cortex-m4")
    memory, told = build.report["memory"], " ".join(run("report", build.folder).out.split())
    rows = [x for x in memory["buffers"] if x["name"] in memory["peak_buffers"]]
    scratch = next(x for x in rows if x["name"].startswith("scratch"))
    assert memory["scratch_bytes"] == scratch["size_bytes"] == KIB
    assert "scratch 1 KiB" in told
    assert "with the test program" in told
    page = (build.folder / "report.html").read_text()
    assert "scratch (1 KiB)" in page
    assert "L3 transfers" not in page
    peaks = run("inspect", build.folder, "--memory").out
    assert any("scratch" in line and "1,024" in line for line in peaks.splitlines())


@pytest.mark.parametrize("region", ["FLASH", "RAM"])
def test_a_region_holds_what_the_error_says(region: str) -> None:
    needs = dict(ProgramTooLarge(region, 1).notice.facts)["needs"]
    assert ("activations" in needs) == (region == "RAM")
    assert ("weights" in needs) == (region == "FLASH")


def test_memories_have_the_names_of_the_chip(tmp_path: Path, run: Callable[..., Ran]) -> None:
    """Summaries, comparisons and generated C speak of RAM and flash, not of L1, L2, L3 or a
    cluster, which the chip does not have."""
    build = built("stream", tmp_path, "cortex-m4", weights_blob=True)
    lines = [f"{x.title}: {x.text}" for x in facts(build.report)]
    lines += [x.fact.title for x, _ in paired_facts(build.report, build.report)]
    lines += run("report", build.folder).out.splitlines()
    for name in ("src/model.h", "src/firmware/main.c"):
        lines += build.written(name).decode().splitlines()
    others = re.compile(r"(?<!no )\bL[123]\b|\bcluster\b(?!\.h)|fabric")
    assert [line for line in lines if others.search(line)] == []
    assert any(line.startswith("RAM without variables") for line in lines)
    assert any(line.startswith("variables in RAM") for line in lines)


def test_a_sweep_has_a_column_for_ram(tmp_path: Path) -> None:
    """Its figure is that of the report, without code, which is in flash."""
    build = built("conv", tmp_path, "cortex-m4")
    rows = {name: value_at(build.report, path) for name, path in FIGURES.items()}
    shown = figures({**rows, "cycles": None, "latency_s": None, "energy_uj": None})
    assert (shown["L2"], shown["RAM"]) == ("", size(ram_bytes(build)))
