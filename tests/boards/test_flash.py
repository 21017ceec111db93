# SPDX-License-Identifier: Apache-2.0
"""`myoedge flash` against an OpenOCD that holds memory and plays the flasher, and every trouble."""

from __future__ import annotations

import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import myoedge
from myoedge.backends import console, openocd
from myoedge.backends.build import Build
from myoedge.errors import MyoedgeError
from myoedge.system.elf import read_elf
from myoedge.targets.boards import boards_dir, find_board
from tests.boards import sdk
from tests.boards.flash_images import read_boot
from tests.boards.peers import Firmware, at_the_line
from tests.conftest import Ran
from tests.conftest import myoedge as command
from tests.networks import Two

FAKE = Path(__file__).parent / "fake_openocd.py"
SCRIPT = "source [find openocd_tools/tcl/chip.tcl]\n"  # from the folder around openocd_tools


@pytest.fixture(scope="module")
def elf(served: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("elf") / "app"
    path.write_bytes(served)
    return path


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A build whose weights come from L3."""
    layers = (nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64))
    folder = tmp_path_factory.mktemp("far")
    return sdk.made(folder, nn.Sequential(*layers), (1, 64), l2="24KiB")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elf: Path) -> Path:
    """A fake OpenOCD with its scripts and flashers; what the file says goes wrong."""
    tools, program, plan = tmp_path / "openocd_tools", tmp_path / "openocd", tmp_path / "plan.json"
    probe = find_board("gap9_evk").probe
    assert probe is not None
    (tools / "tcl").mkdir(parents=True)
    for script in probe.scripts:
        (tools / script).write_text(SCRIPT)
    (tools / "tcl" / "chip.tcl").write_text("jtag newtap gap9 riscv -irlen 5\n")
    (tools / "gap_bins").mkdir()
    for flash in find_board("gap9_evk").flash.values():
        (tools / "gap_bins" / flash.flasher).write_bytes(elf.read_bytes())
    program.write_text(f"#!{sys.executable}\n" + FAKE.read_text().split("\n", 1)[1])
    program.chmod(0o755)
    plan.write_text("{}")
    monkeypatch.setenv("MYOEDGE_OPENOCD", str(program))
    monkeypatch.setenv("GAP_OPENOCD_TOOLS", str(tools))
    monkeypatch.setenv("FAKE_OPENOCD", str(plan))
    monkeypatch.setattr(console, "START_TIMEOUT_S", 60.0)
    monkeypatch.setattr(openocd, "FLASHER_S", 0.5)
    return plan


def ended(state: Path) -> Any:
    return json.loads(state.with_suffix(".end").read_text())


def flashed(state: Path, to: str) -> bytes:
    """What lies in a flash at the end."""
    return bytes.fromhex(ended(state)["flashes"][find_board("gap9_evk").flash[to].flasher])


def flash(build: Build, elf: Path, *options: str) -> Ran:
    arguments = ("flash", build.folder, "--elf", elf, "--no-console", *options)
    return command(*arguments, cwd=elf.parent)


def test_to_memory_verified_and_started(two: Build, elf: Path, state: Path, tmp_path: Path) -> None:
    folder = tmp_path / "line"
    folder.mkdir()
    with at_the_line(Firmware(elf.read_bytes(), folder)) as port:
        ran = command("flash", two.folder, "--elf", elf, "--port", port, "--json", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert ran.json["says"] == two.application
    assert ended(state)["running"] == read_elf(elf.read_bytes()).entry
    names = [command.split()[0] for command in ended(state)["commands"]]
    assert names.index("halt") < names.index("load_image") < names.index("verify_image")
    assert names.index("verify_image") < names.index("resume")


@pytest.mark.parametrize("to", ["mram", "octospi"])
def test_to_flash_sector_by_sector(two: Build, elf: Path, state: Path, to: str) -> None:
    ran = flash(two, elf, "--to", to)
    assert ran.code == 0, ran.err
    assert "reset the board" in ran.out
    assert "OpenOCD 0.12.0-fake" in ran.err
    program = read_elf(elf.read_bytes())
    assert read_boot(flashed(state, to)) == (program.entry, list(program.segments))
    assert len(flashed(state, to)) > 2 * 8192, "more than one sector"
    assert len(ended(state)["flashes"]) == 1, "no l3.bin"


@pytest.mark.parametrize("to", ["ram", "mram"])
def test_l3_bin_goes_to_the_file_system(far: Build, state: Path, tmp_path: Path, to: str) -> None:
    """Found by the layout that was decoded from an image of the vendor's, not by our reader."""
    app = tmp_path / "app"
    app.write_bytes(sdk.for_chip(far, *sdk.UART).elf)
    ran = flash(far, app, "--to", to)
    assert ran.code == 0, ran.err
    assert "l3.bin" in ran.out
    image = flashed(state, "octospi")
    header, zero, count, at, size, length = struct.unpack_from("<6I", image)
    assert (header, zero, count, length) == (24 + 7, 0, 1, 7)
    assert image[24:31] == b"l3.bin\0"
    assert image[at : at + size] == far.l3_image
    entry = read_elf(app.read_bytes()).entry
    if to == "ram":
        assert ended(state)["running"] == entry, "the program starts behind the file system"
    else:
        assert read_boot(flashed(state, "mram"))[0] == entry


def test_l3_bin_and_the_program_do_not_share_a_flash(
    far: Build, state: Path, tmp_path: Path
) -> None:
    app = tmp_path / "app"
    app.write_bytes(sdk.for_chip(far, *sdk.UART).elf)
    ran = flash(far, app, "--to", "octospi")
    refused(ran, state, "E613")
    assert "--to mram" in ran.err
    text = (boards_dir() / "gap9_evk" / "board.toml").read_text()
    (tmp_path / "board.toml").write_text(text.replace("bytes = 67_108_864", "bytes = 8192"))
    refused(flash(far, app, "--board", "./board.toml"), state, "E613")


TROUBLE = {
    "no probe": ("E601", "ram"),
    "unplugged": ("E609", "ram"),
    "other chip": ("E610", "ram"),
    "bad cable": ("E611", "ram"),
    "bad cable in flash": ("E611", "mram"),
    "no flasher": ("E612", "mram"),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_trouble_is_exit_code_6_and_says_what_to_do(
    two: Build, elf: Path, state: Path, trouble: str
) -> None:
    code, to = TROUBLE[trouble]
    state.write_text(json.dumps({"trouble": trouble, "after": 4}))
    ran = flash(two, elf, "--to", to)
    assert (ran.code, code in ran.err, " try " in ran.err) == (6, True, True), ran.err
    if code in ("E610", "E611") and to == "ram":
        assert ended(state)["running"] is None, "started although it is wrong"


@pytest.mark.parametrize("after", [0, 12, 25])
def test_unplugging_while_flash_is_written(two: Build, elf: Path, state: Path, after: int) -> None:
    state.write_text(json.dumps({"trouble": "unplugged", "after": after}))
    ran = flash(two, elf, "--to", "mram")
    assert (ran.code, "E609" in ran.err, "disconnected" in ran.err) == (6, True, True), ran.err


# ---- what is looked at before anything is written


def refused(ran: Ran, state: Path, code: str) -> None:
    assert (ran.code, code in ran.err) == (6, True), ran.err
    assert not state.with_suffix(".end").exists(), "OpenOCD was asked for something"


def test_the_program_of_another_build(two: Build, elf: Path, state: Path, tmp_path: Path) -> None:
    other = sdk.made(tmp_path, Two(), (1, 5), (1, 7))  # with weights of its own
    refused(flash(other, elf), state, "E613")
    assert flash(two, elf).code == 0


def test_the_program_of_another_chip(two: Build, elf: Path, state: Path, tmp_path: Path) -> None:
    changed = tmp_path / "app"
    changed.write_bytes(elf.read_bytes().replace(b"gap-sdk gap9", b"gap-sdk gap8"))
    refused(flash(two, changed), state, "E613")


def test_a_program_that_is_not_there(two: Build, elf: Path, state: Path) -> None:
    for options in (("--no-console",), ()):  # nor is a board looked for
        ran = command("flash", two.folder, *options, cwd=elf.parent)
        refused(ran, state, "E613")
        assert "cmake" in ran.err


def test_the_program_for_simulators_is_marked(two: Build, state: Path) -> None:
    ran = flash(two, two.folder / "firmware.elf")
    assert (ran.code, "warning[W601]" in ran.err) == (0, True)


def test_a_board_of_which_too_little_is_known(two: Build, elf: Path, state: Path) -> None:
    refused(flash(two, elf, "--board", "biogap"), state, "E602")
    text = (boards_dir() / "gap9_evk" / "board.toml").read_text()
    own = elf.parent / "board.toml"
    own.write_text(text.replace('flasher = "gap_flasher-gap9_evk-mram.elf"', ""))
    refused(flash(two, elf, "--board", str(own), "--to", "mram"), state, "E602")


def test_tools_that_are_missing(
    two: Build, elf: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAP_OPENOCD_TOOLS", "")
    assert flash(two, elf).code == 5
    monkeypatch.setenv("MYOEDGE_OPENOCD", "no-such-openocd")
    ran = flash(two, elf)
    assert (ran.code, "MYOEDGE_OPENOCD" in ran.err) == (5, True)


def test_no_process_is_left(two: Build, elf: Path, state: Path) -> None:
    state.write_text(json.dumps({"trouble": "other chip"}))
    with pytest.raises(MyoedgeError):
        myoedge.flash(two, elf=elf, console=False)
    mine = [p for p in Path("/proc").glob("[0-9]*/cmdline") if _is_ours(p, state)]
    assert mine == []


def _is_ours(path: Path, state: Path) -> bool:
    try:
        return os.fsencode(state.parent / "openocd") in path.read_bytes()
    except OSError:
        return False
