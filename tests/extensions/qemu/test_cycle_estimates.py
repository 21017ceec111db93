# SPDX-License-Identifier: Apache-2.0
"""Cycles of Cortex-M, estimated from instructions: intervals that hold for published runs."""

from __future__ import annotations

import csv
import html
import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from scipy.stats import t  # type: ignore[import-untyped]

from myoedge.reports import wording
from myoedge.targets import find_chip
from myoedge.targets.costs import STUDENT, CycleFactor
from tests.conftest import Ran
from tests.extensions.qemu.test_emulated_remedies import CORE
from tests.extensions.qemu.test_qemu import built, in_qemu
from tests.support.schemas import check_folder


def factor_of(target: str) -> CycleFactor:
    factor = find_chip(target).factor
    assert factor is not None
    return factor


@pytest.mark.parametrize("target", ["cortex-m4", "cortex-m33"])
def test_each_published_run_is_predicted_by_the_others(target: str) -> None:
    factor = factor_of(target)
    for left_out in factor.runs:
        others = replace(factor, runs=[run for run in factor.runs if run is not left_out])
        value, low, high = others.cycles(left_out.instructions)
        assert low < left_out.clock_hz / left_out.runs_per_s < high, left_out.name
        assert low < value < high


def test_quantiles_are_students() -> None:
    for freedom, found in enumerate(STUDENT, 1):
        assert found == pytest.approx(t.ppf(0.975, freedom), abs=5e-4)


@in_qemu
@pytest.mark.parametrize("target", ["cortex-m4", "cortex-m55"])
def test_a_report_names_its_estimate(target: str, tmp_path: Path, run: Callable[..., Ran]) -> None:
    folder = built("mlp", tmp_path, target).folder
    assert run("validate", folder, "--on", "qemu").code == 0
    report = json.loads((folder / "report.json").read_text())
    assert {"myoedge.report/1", "myoedge.plan/1"} <= check_folder(folder)
    assert (report["cycles"], report["latency_s"], report["energy_uj"]) == (None, None, None)
    found, told = report["instructions"], " ".join(run("report", folder).out.split())
    if target == "cortex-m55":
        assert found["cycles"] is None
        assert "cycles are not known" in told
        return
    cycles = found["cycles"]
    assert cycles["low"] < cycles["value"] < cycles["high"]
    assert 1 < cycles["value"] / found["total"] < 2
    assert "estimated from MLPerf Tiny v1.0" in told
    factor = f"{cycles['value'] / found['total']:.2f} per instruction"
    for part in (factor, "95 %", "waits of flash", f"made by {found['compiler']}"):
        assert part in told


@in_qemu
@pytest.mark.parametrize("target", ["cortex-m4", "cortex-m55"])
def test_the_page_has_what_the_terminal_has(
    target: str, tmp_path: Path, run: Callable[..., Ran]
) -> None:
    """Flash in a card and in the summary; the row of instructions; the layers' names on the left;
    layers.csv and the terminal's table count each layer."""
    folder = built("conv", tmp_path, target).folder
    told = run("report", folder).out
    assert "of MACs" in told
    assert run("validate", folder, "--on", "qemu").code == 0
    report, told = json.loads((folder / "report.json").read_text()), run("report", folder).out
    page = " ".join(html.unescape((folder / "report.html").read_text()).split())
    memory, known = report["memory"], " ".join(told.split())
    flash = wording.size(memory["weights_bytes"] + memory["code_bytes"])
    assert page.count(flash) >= 2
    line = known[known.index("counted by QEMU") : known.index(" RAM ")]
    assert page.count(line) == 2
    assert ("cycles are not known" in line) == (target == "cortex-m55")
    assert "<th>Layer</th>" in page[page.index("<h2>Instructions") :]
    rows = list(csv.DictReader((folder / "layers.csv").read_text().splitlines()))
    counts = [int(row["instructions"]) for row in rows]
    assert counts == report["instructions"]["layers"]
    assert all(f"{count:,}" in told[told.index("\nlayer ") :] for count in counts)
    assert "of MACs" not in told


@in_qemu
def test_a_board_with_a_current_has_time_and_energy(
    tmp_path: Path, run: Callable[..., Ran]
) -> None:
    folder = built("mlp", tmp_path, "cortex-m4").folder
    board = tmp_path / "own.toml"
    board.write_text(CORE)
    assert run("validate", folder, "--on", "qemu", "--board", board).code == 0
    found = json.loads((folder / "report.json").read_text())["instructions"]
    assert check_folder(folder)
    for end in ("value", "low", "high"):
        seconds = Fraction(found["cycles"][end], 64_000_000)
        assert found["latency_s"][end] == pytest.approx(float(seconds))
        assert found["energy_uj"][end] == pytest.approx(float(seconds * Fraction("9.9") * 1000))
    assert "µJ on own at 64 MHz" in " ".join(run("report", folder).out.split())
    assert run("validate", folder, "--on", "qemu").code == 0
    assert "board" not in json.loads((folder / "report.json").read_text())["instructions"]


@in_qemu
@pytest.mark.parametrize("target", ["cortex-m33", "cortex-m55"])
def test_the_board_of_another_chip_is_refused(
    target: str, tmp_path: Path, run: Callable[..., Ran]
) -> None:
    folder = built("mlp", tmp_path, target).folder
    (tmp_path / "own.toml").write_text(CORE)
    refused = run("validate", folder, "--on", "qemu", "--board", tmp_path / "own.toml")
    assert (refused.code, "E204" in refused.err) == (2, True)
    assert run("validate", folder, "--on", "qemu").code == 0  # as its remedy says
