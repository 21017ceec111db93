# SPDX-License-Identifier: Apache-2.0
"""`bench --card` reads the clock of MRAM, beside that of board.toml."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from myoedge.backends.build import Build
from myoedge.extensions.boards.board_card import measured_rate
from myoedge.targets.boards import boards_dir, find_board
from tests.conftest import myoedge as command
from tests.extensions.boards.test_flash import elf as elf
from tests.extensions.boards.test_flash import state as state
from tests.firmware.test_mram_reads import PERIPHERALS_HZ, PLATFORM
from tests.support.schemas import validators

LINE = "clock_hz = 30_000_000"


def board_at(clock_hz: int, folder: Path) -> Path:
    """The evaluation kit's description with this clock of MRAM."""
    text = (boards_dir() / "gap9_evk" / "board.toml").read_text()
    assert LINE in text
    path = folder / f"{clock_hz}.toml"
    path.write_text(text.replace(LINE, f"clock_hz = {clock_hz}"))
    return path


@pytest.mark.parametrize(("clock_hz", "divider"), [(30_000_000, 13), (15_000_000, 25)])
def test_the_clock_is_that_of_the_description(
    state: Path, tmp_path: Path, clock_hz: int, divider: int
) -> None:
    """Rates are those of GAP9's platform model within 2 %."""
    found = measured_rate(find_board(str(board_at(clock_hz, tmp_path))))
    small, large = PLATFORM[divider]
    rate = (8192 - 16) / (large - small)
    assert (found.divider, found.most_hz) == (divider, clock_hz)
    assert found.bytes_per_cycle == pytest.approx(rate, rel=0.02)
    assert found.clock_hz == pytest.approx(PERIPHERALS_HZ / divider, rel=0.02)
    assert found.described == pytest.approx(found.bytes_per_cycle, rel=0.02)
    assert found.least <= found.bytes_per_cycle <= found.most


def test_a_card_over_jtag_has_the_rate(two: Build, state: Path, tmp_path: Path) -> None:
    ran = command("bench", two.folder, "--card", "a.json", "--on", "jtag", cwd=tmp_path)
    assert ran.code == 0, ran.err
    card: dict[str, Any] = json.loads((tmp_path / "a.json").read_text())
    validators()["myoedge.board-card/1"].validate(card)
    assert [(row["step"], row["state"]) for row in card["steps"]] == [("mram", "ok"), ("run", "ok")]
    rate = measured_rate(find_board())
    assert card["mram"] == asdict(rate)
    assert f"mram     {rate.line()}" in ran.out


def test_a_program_that_fails_is_a_code(two: Build, state: Path, tmp_path: Path) -> None:
    state.write_text(json.dumps({"trouble": "fails"}))
    ran = command("bench", two.folder, "--card", "a.json", "--on", "jtag", cwd=tmp_path)
    assert (ran.code, "E617" in ran.err) == (6, True), ran.err
    card: dict[str, Any] = json.loads((tmp_path / "a.json").read_text())
    assert (card["steps"][0]["code"], card["mram"]) == ("E711", None)
