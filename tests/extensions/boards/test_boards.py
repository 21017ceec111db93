# SPDX-License-Identifier: Apache-2.0
"""Descriptions of boards: those that come along, a user's own, and every way they can be wrong."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from myoedge.errors import MyoedgeError
from myoedge.targets.boards import FILE, all_boards, boards_dir, find_board
from tests.conftest import Ran

EVK = boards_dir() / "gap9_evk" / FILE


def test_boards_lie_in_folders_of_their_names_and_say_their_sources() -> None:
    found = all_boards()
    assert [b.id for b in found] == sorted(p.name for p in boards_dir().iterdir())
    assert all(b.sources for b in found)
    assert not any(b.tried for b in found), "say in docs/product/boards.md what has been tried"


def test_the_evk_is_as_its_sources_have_it() -> None:
    evk = find_board("gap9_evk")
    assert evk.probe is not None
    assert evk.ram is not None
    assert evk.probe.idcode == 0x20020BCB
    assert evk.ram.bytes == 32 << 20
    assert {name: f.bytes for name, f in evk.flash.items()} == {
        "mram": 2 << 20,
        "octospi": 64 << 20,
    }


def test_a_board_of_ones_own(tmp_path: Path, run: Callable[..., Ran]) -> None:
    (tmp_path / "board.toml").write_text(EVK.read_text().replace('"gap9_evk"', '"mine"'))
    assert find_board(str(tmp_path)).id == find_board(str(tmp_path / FILE)).id == "mine"
    shown = run("boards", "--board", "./board.toml", "--json")
    assert [b["id"] for b in shown.json["boards"]] == ["mine"]


def test_the_list_says_what_was_never_tried(run: Callable[..., Ran]) -> None:
    shown = run("boards")
    assert shown.code == 0
    assert shown.out.count("never tried on hardware") == len(all_boards())
    assert "APS256XXN" in shown.out


WRONG = [
    ('chip = "gap9"', 'chip = "gap8"', "chip"),
    ("sector_bytes = 8192", "sector_bytes = 0", "flash.mram.sector_bytes"),
    ("sector_bytes = 8192", 'sector_bytes = "8 KiB"', "flash.mram.sector_bytes"),
    ("baud_rate = 115_200", "baud = 115_200", "console.baud"),
    ("sector_bytes = 8192", "sector_bytes = 8191", "flash.mram.sector_bytes"),
    ("sector_bytes = 8192", "sector_bytes = 4_194_304", "flash.mram.sector_bytes"),
    ('flasher = "gap_', 'flasher = "../gap_', "flash.mram.flasher"),
    ('flasher = "gap_', 'flasher = "/tmp/gap_', "flash.mram.flasher"),
    ('target = "gap9.fc"', 'target = "gap9.fc; shutdown"', "probe.target"),
    ('target = "gap9.fc"', 'target = ""', "probe.target"),
    ("[flash.mram]", "[flash.emram]", "flash.emram"),
    ('"0403:6010"', '"0403-6010"', "probe.usb_ids"),
    ('id = "gap9_evk"', "", "id"),
    ("[power]", "[power", "cause"),
    ('id = "gap9_evk"', f'id = "{"x" * 65}"', "id"),
    ('id = "gap9_evk"', 'id = "../evk"', "id"),
    ("speed_khz = 5000", "speed_khz = 0", "probe.speed_khz"),
    ("speed_khz = 5000", "speed_khz = 1_000_000", "probe.speed_khz"),
    ("idcode = 0x20020bcb", "idcode = 0x1_2002_0bcb", "probe.idcode"),
    ('"tcl/gap9revb.tcl"', '"/tmp/other.tcl"', "probe.scripts"),
    ('"tcl/gap9revb.tcl"', '"tcl/../../other.tcl"', "probe.scripts"),
    ("flasher_entry = 0x1c010080", "flasher_entry = -1", "probe.flasher_entry"),
    ("oscillator_hz = 24_576_000", "oscillator_hz = -1", "clock.oscillator_hz"),
    ("bytes = 33_554_432", "bytes = 9_000_000_000_000_000_000", "ram.bytes"),
    ("uart = 1", "uart = -1", "console.uart"),
    ("baud_rate = 115_200", "baud_rate = 1", "console.baud_rate"),
    ("pad = 89", "pad = 256", "power.pad"),
    ("supply_v = 1.8", "supply_v = nan", "power.supply_v"),
    ("[console]", "[energy]\nsleep_mw = -1.0\n[console]", "energy.sleep_mw"),
    ("[console]", "[energy]\nothers_mw = inf\n[console]", "energy.others_mw"),
    ("[console]", '[energy]\nradio = "8 mW"\n[console]', "energy.radio"),
]


@pytest.mark.parametrize(("text", "instead", "key"), WRONG, ids=[w[1] for w in WRONG])
def test_what_is_wrong_is_named(tmp_path: Path, text: str, instead: str, key: str) -> None:
    before = EVK.read_text()
    assert text in before
    (tmp_path / FILE).write_text(before.replace(text, instead, 1))
    with pytest.raises(MyoedgeError) as caught:
        find_board(str(tmp_path))
    assert (caught.value.code, caught.value.exit_code) == ("E252", 2)
    assert any(key in name for name, _ in caught.value.notice.facts), str(caught.value)


@pytest.mark.parametrize("text", [None, "= 3", "[probe]"], ids=["missing", "no TOML", "no board"])
def test_the_description_that_is_proposed_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("b.toml").write_text(text)
    with pytest.raises(MyoedgeError) as caught:
        find_board("b.toml")
    named, copied = caught.value.notice.tries
    assert find_board(named.removeprefix("--board ").partition(",")[0]).id == "gap9_evk"
    subprocess.run(shlex.split(copied.partition(", ")[0]), check=True)
    assert find_board("my-board.toml").id == "gap9_evk"


def test_a_board_that_there_is_not(run: Callable[..., Ran]) -> None:
    missing = run("boards", "--board", "gap10_evk")
    assert (missing.code, "E253" in missing.err, "gap9_evk" in missing.err) == (2, True, True)
    assert run("boards", "--board", "./none.toml").code == 2
