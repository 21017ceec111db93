# SPDX-License-Identifier: Apache-2.0
"""Counts of long stages: how many of how many, and the time that is left, by a clock of its own."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from rich.console import Console

from myoedge.cli import progress
from myoedge.quantization.calibrate import each_sample
from myoedge.system.progress import tell_cycles, watched


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
    with progress.stage_progress(terminal) as shown:
        shown.stage("measure")
        for _ in range(2):
            for number in range(1, 41):
                clock.s += 1.0
                shown.count("samples", number, 40)
    assert stages == ["measure"]
    assert said[0] == "  measure: 10 of 40 samples, about 27 s more"
    assert said[3] == "  measure: 40 of 40 samples"
    assert said[4] == "  measure, run 2: 10 of 40 samples, about 27 s more"
    assert len(said) == 8


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
    assert "about 13 s more" in text.getvalue()
