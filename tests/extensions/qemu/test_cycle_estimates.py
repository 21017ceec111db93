# SPDX-License-Identifier: Apache-2.0
"""Cycles of Cortex-M, estimated from instructions: intervals that hold for published runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import t  # type: ignore[import-untyped]

from myoedge.targets import find_chip
from myoedge.targets.cycle_factor import STUDENT, CycleFactor
from tests.conftest import Ran
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
