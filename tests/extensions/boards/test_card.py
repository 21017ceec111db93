# SPDX-License-Identifier: Apache-2.0
"""`bench --card`: one command, one file, whatever fails; and what reads such files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import myoedge
from myoedge.backends.build import Build
from myoedge.extensions.boards import console, meter, verbs
from tests.conftest import myoedge as command
from tests.extensions.boards.peers import Firmware, at_the_line
from tests.extensions.boards.test_meter import RUNS, ppk2, words
from tests.simulator.accuracy_page import boards
from tests.support.schemas import validators


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MYOEDGE_ENERGY", str(tmp_path / "energy.json"))
    monkeypatch.setattr(console, "START_TIMEOUT_S", 60.0)
    monkeypatch.setattr(console, "ANSWER_TIMEOUT_S", 15.0)
    monkeypatch.setattr(meter, "_SETTLE_S", 1.0)


@pytest.fixture
def simulated(two: Build, tmp_path: Path) -> Build:
    """A copy, whose report a run on the board may replace."""
    build = myoedge.load_build(shutil.copytree(two.folder, tmp_path / "two"))
    myoedge.simulate(build)
    return myoedge.load_build(build.folder)


def card_of(file: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(file.read_text())
    validators()["myoedge.board-card/1"].validate(card)
    return card


def test_one_command_writes_what_a_board_does(
    simulated: Build, served: bytes, tmp_path: Path
) -> None:
    before = simulated.report
    with at_the_line(Firmware(served, tmp_path)) as port, at_the_line(ppk2(words(RUNS))) as at:
        arguments = ("--meter", at, "--port", port, "--times", RUNS, "--card", "cards/a.json")
        (tmp_path / "cards").mkdir()
        ran = command("bench", simulated.folder, *arguments, cwd=tmp_path)
    assert ran.code == 0, ran.err
    card = card_of(tmp_path / "cards" / "a.json")
    assert [(row["step"], row["state"]) for row in card["steps"]] == [
        ("mram", "skipped"),
        ("flash", "skipped"),
        ("run", "ok"),
        ("energy", "ok"),
    ]
    assert card["exact"] is True
    assert card["model"]["digest"] == before["model"]["digest"]
    assert card["cycles"]["simulated"] == before["cycles"]["total"]
    layers = card["cycles"]["layers"]
    assert card["cycles"]["board"] >= sum(row["board"] for row in layers) > 0
    assert card["energy"]["inferences"] == RUNS
    assert card["tools"]["pyserial"]["state"] == "ok"

    fitted = command("energy", "calibrate", "cards", cwd=tmp_path)
    assert fitted.code == 0, fitted.err
    page = boards(tmp_path / "cards")
    assert f"| {card['model']['name']} | exact | {card['cycles']['board']:,} |" in page


def test_a_card_is_written_where_every_step_fails(simulated: Build, tmp_path: Path) -> None:
    ran = command(
        "bench", simulated.folder, *["--card", "a.json", "--port", "/dev/none"], cwd=tmp_path
    )
    assert (ran.code, "E617" in ran.err) == (6, True), ran.err
    card = card_of(tmp_path / "a.json")
    states = {row["step"]: (row["state"], row["code"]) for row in card["steps"]}
    assert states["run"][0] == "failed"
    assert str(states["run"][1]).startswith("E6")
    assert (card["exact"], card["cycles"]["board"], card["energy"]) == (None, None, None)
    fitted = command("energy", "calibrate", "a.json", cwd=tmp_path)
    assert (fitted.code, "E250" in fitted.err) == (2, True)


def test_a_card_that_cannot_be_written_is_refused_first(
    two: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "board_card", None)
    ran = command("bench", two.folder, "--card", "nowhere/a.json", cwd=tmp_path)
    assert (ran.code, "error[E220]" in ran.err) == (2, True), ran.err


def test_without_cards_the_page_asks_for_them(tmp_path: Path) -> None:
    assert "Nobody has measured a board yet" in boards(tmp_path)


def test_bench_needs_a_meter_or_a_card(simulated: Build, tmp_path: Path) -> None:
    assert command("bench", simulated.folder, cwd=tmp_path).code == 2
