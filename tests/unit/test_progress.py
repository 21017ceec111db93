# SPDX-License-Identifier: Apache-2.0
"""Counts of long stages: how many of how many, and the time that is left, by a clock of its own."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from rich.console import Console

from myoedge.cli import progress
from myoedge.quantization.calibrate import each_sample
from myoedge.system import progress as work
from myoedge.system.progress import tell_cycles, watched
from tests.conftest import myoedge as command


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(s=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.s))
    return now


def test_samples_are_counted_as_they_are_done_with() -> None:
    told: list[tuple[str, int, int]] = []
    with watched(lambda *count: told.append(count)):
        samples = each_sample({"x": np.zeros((3, 1))})
        next(samples)
        assert told == []
        assert len([*samples]) == 2
        tell_cycles(2_500_000, 7_000_001)
    assert told == [*(("samples", n, 3) for n in (1, 2, 3)), ("M cycles", 2, 8)]
    assert len([*each_sample({"x": np.zeros((3, 1))})]) == 3
    assert len(told) == 4, "nobody watches any more"


def test_lines_come_now_and_then_and_say_what_is_left(clock: SimpleNamespace) -> None:
    """A sample a second, 40 of them, twice; lines from 10 seconds on, every 10."""
    said: list[str] = []
    stages: list[str] = []
    terminal = cast(
        Any, SimpleNamespace(progress=said.append, stage=stages.append, level=0, color=False)
    )
    with progress.stage_progress(terminal, stages=("load", "measure")) as shown:
        shown.stage("measure")
        for purpose in ("", "try int16 at conv2"):
            with work.purpose(purpose):
                for number in range(1, 41):
                    clock.s += 1.0
                    shown.count("samples", number, 40)
        shown.stage("load: as before")
        shown.stage("another")
    assert stages == ["2/2 measure", "1/2 load: as before", "another"]
    assert said[0] == "  measure: 10 of 40 samples, about 30 s more"
    assert said[3] == "  measure: 40 of 40 samples"
    assert said[4] == "  measure, try int16 at conv2: 10 of 40 samples, about 30 s more"
    assert len(said) == 8


def test_numbers_of_stages_never_change() -> None:
    """A build without labels, for a chip without a simulator; a stage may come again."""
    stages: list[str] = []
    terminal = cast(Any, SimpleNamespace(stage=stages.append, level=0, color=False))
    with progress.stage_progress(terminal, stages=("load", "test", "plan", "run", "check")) as on:
        for name in ("load", "plan", "check", "plan", "run", "check"):
            on.stage(name)
    assert stages == ["1/5 load", "3/5 plan", "5/5 check", "3/5 plan", "4/5 run", "5/5 check"]


@pytest.mark.parametrize("first_s", [0.01, 1.0, 80.0])
def test_the_first_unit_does_not_decide_the_estimate(
    clock: SimpleNamespace, first_s: float
) -> None:
    """The first sample compiles or loads; each further one takes a second. An estimate is right
    within a sample."""
    said: list[str] = []
    terminal = cast(
        Any, SimpleNamespace(progress=said.append, stage=said.append, level=0, color=False)
    )
    with progress.stage_progress(terminal) as shown:
        shown.stage("measure")
        clock.s += first_s
        shown.count("samples", 1, 101)
        for number in range(2, 101):
            clock.s += 1.0
            shown.count("samples", number, 101)
    lines = [line for line in said if "more" in line]
    assert lines
    for line in lines:
        done, left_s = int(line.split()[1]), int(line.split()[-3])
        assert abs(left_s - (101 - done)) <= 1, line


def test_a_build_s_stages_are_numbered_in_order(small: Path, tmp_path: Path) -> None:
    ran = command("build", small / "model.pt2", "--calib", small / "calib.npz", cwd=tmp_path)
    numbers = re.findall(r"^  (\d)/(\d) (\w+)", ran.err, re.MULTILINE)
    assert [name for *_, name in numbers][:1] == ["load"]
    assert [int(n) for n, *_ in numbers] == sorted({int(n) for n, *_ in numbers})
    assert len(re.findall(r"^  .*\.\.\.$", ran.err, re.MULTILINE)) == len(numbers), ran.err


def test_short_and_quiet_stages_say_nothing(clock: SimpleNamespace) -> None:
    said: list[str] = []
    for level, step_s in ((0, 0.1), (-1, 60.0)):
        terminal = cast(Any, SimpleNamespace(progress=said.append, level=level, color=False))
        with progress.stage_progress(terminal, "simulate") as shown:
            for number in range(10):
                clock.s += step_s
                shown.count("M cycles", number, 10)
    assert said == []


def test_a_terminal_has_a_bar_with_count_and_estimate(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(progress, "_console", lambda terminal: console)
    terminal = cast(Any, SimpleNamespace(stage=lambda name: None, level=0, color=False))
    with progress.stage_progress(terminal) as shown:
        shown.stage("quantise")
        for number in (1, 2, 3):
            clock.s += 4.0
            shown.count("samples", number, 8)
        assert shown.bar is not None
        shown.bar.refresh()
        shown.stage("plan")
        assert shown.bar is None
    assert "3/8 samples" in text.getvalue()
    assert "about 20 s more" in text.getvalue()
