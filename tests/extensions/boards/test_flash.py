# SPDX-License-Identifier: Apache-2.0
"""`myoedge flash` against an OpenOCD that holds memory and plays the flasher, and every trouble."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import myoedge
from myoedge.backends.build import Build
from myoedge.backends.packets import Flags, Start
from myoedge.backends.samples import golden_sample
from myoedge.errors import MyoedgeError
from myoedge.extensions.boards import console, openocd, runners
from myoedge.extensions.boards.board import marker_of, run_over_jtag
from myoedge.system import tools
from myoedge.system.elf import read_elf
from myoedge.targets.boards import boards_dir, find_board
from tests.conftest import Ran, started, steps
from tests.conftest import myoedge as command
from tests.extensions.boards.flash_images import mounted_by_4, mounted_by_5, read_boot
from tests.extensions.boards.peers import Firmware, at_the_line
from tests.extensions.gap_sdk import sdk
from tests.extensions.sensor.packets import encoded
from tests.support.networks.small import Two
from tests.support.warning_rules import applies

FAKE = Path(__file__).parent / "fake_openocd.py"
SCRIPT = "source [find openocd_tools/tcl/chip.tcl]\n"  # from the folder around openocd_tools


@pytest.fixture(scope="module")
def elf(served: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("elf") / "app"
    path.write_bytes(served)
    return path


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
        (tools / "gap_bins" / flash.flasher).write_bytes(elf.read_bytes() + flash.part.encode())
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
        (step,) = steps(ran.err)
        then = command(*shlex.split(step)[1:], cwd=tmp_path)
    assert (ran.code, then.code) == (0, 0), ran.err + then.err
    assert step == f"myoedge run {two.folder} --port {port}"
    assert ran.json["says"] == marker_of(two)
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


@pytest.fixture(scope="module")
def reader(weights_in_l3: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The application that reads l3.bin."""
    path = tmp_path_factory.mktemp("reader") / "app"
    path.write_bytes(sdk.for_chip(weights_in_l3, *sdk.UART).elf)
    return path


@pytest.mark.parametrize("table", ["mram", "octospi"])
@pytest.mark.parametrize("to", ["ram", "mram", "octospi"])
def test_the_application_finds_l3_bin(
    weights_in_l3: Build, reader: Path, state: Path, to: str, table: str
) -> None:
    """By the steps of the mount of SDK 5.x, with a table in MRAM, or of 4.x."""
    ran = flash(weights_in_l3, reader, "--to", to, *(() if table == "mram" else ("--table", table)))
    assert ran.code == 0, ran.err
    assert f"l3.bin; table in {table}" in ran.out
    flashes = {flash: flashed(state, flash) for flash in {"octospi", table, to} - {"ram"}}
    found = mounted_by_5(flashes) if table == "mram" else mounted_by_4(flashes["octospi"])
    assert found == {"l3.bin": weights_in_l3.l3_image}
    program = read_elf(reader.read_bytes())
    if to == "ram":
        assert ended(state)["running"] == program.entry, "the program starts behind the tables"
    else:
        assert read_boot(flashes[to]) == (program.entry, list(program.segments))


def test_what_is_overwritten_is_said_before(
    weights_in_l3: Build, reader: Path, state: Path
) -> None:
    ran = flash(weights_in_l3, reader)
    said = ran.err.index("warning[W602]")
    assert said < ran.err.index("OpenOCD 0.12.0-fake"), "before the probe is touched"
    assert "no chip has booted" in ran.err
    for memory in ("mram", "octospi"):
        (last,) = re.findall(rf"{memory} +bytes 0 to ([\d,]+) of", ran.err)
        size = int(last.replace(",", "")) + 1
        assert size % 8192 == 0
        assert size - 8192 < len(flashed(state, memory)) <= size


@pytest.mark.parametrize("to", ["ram", "mram"])
def test_no_path_is_tcl(
    two: Build,
    elf: Path,
    state: Path,
    to: str,
    tmp_path: Path,
    another_cache: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Names of folders that end Tcl's braces and begin a command."""
    hostile = tmp_path / "a} 0x0 elf; exec touch owned; list {b"
    hostile.mkdir()
    shutil.copy(elf, hostile / "app\\")
    (tmp_path / "openocd_tools").rename(hostile / "openocd_tools")
    (hostile / "cache").symlink_to(another_cache())
    monkeypatch.setenv("GAP_OPENOCD_TOOLS", str(hostile / "openocd_tools"))
    monkeypatch.setenv("MYOEDGE_CACHE", str(hostile / "cache"))
    ran = flash(two, hostile / "app\\", "--to", to)
    assert ran.code == 0, ran.err
    options = ended(state)["options"]
    scripts = [value for option, value in itertools.pairwise(options) if option != "-s"]
    assert [text for text in (*ended(state)["commands"], *scripts) if "owned" in text] == []
    assert options[options.index("-s") + 1] == str(hostile), "which OpenOCD takes as it is"


def test_help_says_what_is_overwritten_by_default(tmp_path: Path) -> None:
    told = " ".join(command("flash", "--help", cwd=tmp_path).out.split())
    assert "Weights are written to flash even with --to ram (W602)" in told
    assert "l3.bin to the octal flash, mram.bin to MRAM" in told


def test_nothing_is_overwritten_for_a_program_in_ram(two: Build, elf: Path, state: Path) -> None:
    ran = flash(two, elf)
    assert (ran.code, "W602" in ran.err, ended(state)["flashes"]) == (0, False, {})


def test_what_is_missing_for_l3_bin(weights_in_l3: Build, reader: Path, state: Path) -> None:
    text = (boards_dir() / "gap9_evk" / "board.toml").read_text()
    own = reader.parent / "board.toml"
    own.write_text(text.replace("bytes = 67_108_864", "bytes = 8192"))
    refused(flash(weights_in_l3, reader, "--board", "./board.toml"), state, "E613")
    own.write_text(text.replace('flasher = "gap_flasher-gap9_evk-mram.elf"', ""))
    refused(flash(weights_in_l3, reader, "--board", "./board.toml"), state, "E602")
    ran = flash(weights_in_l3, reader, "--board", "./board.toml", "--table", "octospi")
    assert ran.code == 0, "MRAM is not needed then"


def test_tables_that_there_are_not(
    two: Build, elf: Path, weights_in_l3: Build, reader: Path, state: Path
) -> None:
    for ran in (flash(two, elf, "--table", "mram"), flash(weights_in_l3, reader, "--table", "ram")):
        assert (ran.code, "E204" in ran.err) == (2, True), ran.err


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


def test_what_a_program_prints_is_shown_where_it_gives_no_identity(
    two: Build, elf: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "START_TIMEOUT_S", 0.4)
    state.write_text(json.dumps({"trouble": "cannot start"}))
    with at_the_line(lambda _: b"") as port:
        ran = command("flash", two.folder, "--elf", elf, "--port", port, cwd=elf.parent)
    assert (ran.code, "E604" in ran.err) == (6, True), ran.err
    assert re.search(r"OpenOCD says\s.*cannot start, code 5 of app\.c", ran.err), ran.err


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
    torch.manual_seed(1)  # weights of its own, whatever tests ran before
    other = sdk.made(tmp_path, Two(), (1, 5), (1, 7))
    ran = flash(other, elf)
    refused(ran, state, "E613")
    assert f"cmake --build {other.folder / 'gap_sdk' / 'build'}" in ran.err
    assert flash(two, elf).code == 0


def test_the_program_of_another_chip(two: Build, elf: Path, state: Path, tmp_path: Path) -> None:
    changed = tmp_path / "app"
    changed.write_bytes(elf.read_bytes().replace(b"gap-sdk gap9", b"gap-sdk gap8"))
    refused(flash(two, changed), state, "E613")


@pytest.mark.parametrize("entry", [0x1C010081, 0x1C0FFFFE, 0x20000000])
def test_a_program_that_starts_elsewhere(
    two: Build, elf: Path, state: Path, tmp_path: Path, entry: int
) -> None:
    data = bytearray(elf.read_bytes())
    struct.pack_into("<I", data, 24, entry)  # e_entry
    (tmp_path / "app").write_bytes(data)
    ran = flash(two, tmp_path / "app")
    refused(ran, state, "E613")
    assert f"{entry:#x}" in ran.err


def test_a_program_that_is_not_there(two: Build, elf: Path, state: Path) -> None:
    for options in (("--no-console",), ()):  # nor is a board looked for
        ran = command("flash", two.folder, *options, cwd=elf.parent)
        refused(ran, state, "E613")
        assert "source GAP9_SDK/configs/" in ran.err
        assert f"cmake -S {two.folder / 'gap_sdk'} -B {two.folder / 'gap_sdk/build'} " in ran.err


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "."])
def test_what_is_no_program(two: Build, state: Path, name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    ran = command("flash", two.folder, "--elf", name, cwd=tmp_path)
    assert (ran.code, "E241" in ran.err, "no regular file" in ran.err) == (2, True, True), ran.err


@applies("W601", "{on_jtag}")
def test_the_program_for_simulators_is_marked(two: Build, state: Path) -> None:
    ran = command("flash", two.folder, "--elf", two.folder / "firmware.elf", cwd=state.parent)
    assert (ran.code, "warning[W601]" in ran.err) == (0, True), "it has no console to ask"
    assert ended(state)["running"] == two.program.entry
    (line,) = re.findall("myoedge (run .*)  loads it", ran.err)
    again = command(*line.split(), two.folder, cwd=state.parent)
    assert (again.code, "GAP9 board over JTAG" in again.out) == (0, True), again.err


@applies("W606", "{flash}")
def test_the_build_whose_packets_are_expected(
    two: Build, elf: Path, state: Path, tmp_path: Path
) -> None:
    folder, line = shutil.copytree(two.folder, tmp_path / "copy"), tmp_path / "line.bin"
    (folder / "gap_sdk" / "build").mkdir()
    shutil.copy(elf, folder / "gap_sdk" / "build" / "myoedge_app")
    line.write_bytes(encoded(Start(0, 0, 0, Flags(0), "00" * 8, 8, 1000.0, 5, "reset")))
    told = command("monitor", line, "--build", folder, cwd=tmp_path).err
    (words,) = re.findall("try +myoedge (flash .*)", told)
    with at_the_line(Firmware(elf.read_bytes(), tmp_path)) as port:
        ran = command(*shlex.split(words), "--port", port, "--json", cwd=tmp_path)
    assert (ran.code, ran.json["says"]) == (0, marker_of(two)), ran.err


@pytest.mark.parametrize("to", ["mram", "octospi"])
def test_the_program_for_simulators_is_not_for_flash(two: Build, state: Path, to: str) -> None:
    ran = flash(two, two.folder / "firmware.elf", "--to", to)
    refused(ran, state, "E613")
    assert "run --on jtag" in ran.err


def test_a_board_of_which_too_little_is_known(two: Build, elf: Path, state: Path) -> None:
    refused(flash(two, elf, "--board", "biogap"), state, "E602")
    text = (boards_dir() / "gap9_evk" / "board.toml").read_text()
    own = elf.parent / "board.toml"
    own.write_text(text.replace('flasher = "gap_flasher-gap9_evk-mram.elf"', ""))
    refused(flash(two, elf, "--board", str(own), "--to", "mram"), state, "E602")


def test_tools_that_are_missing(
    two: Build, elf: Path, state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (elf.parent / "tcl").mkdir()  # in the current folder, where nothing is looked for
    renamed = tmp_path / "tools"
    (renamed / "tcl").mkdir(parents=True)
    for folder in ("", str(renamed)):
        monkeypatch.setenv("GAP_OPENOCD_TOOLS", folder)
        ran = flash(two, elf)
        assert (ran.code, "gap_utils/openocd_tools" in ran.err) == (5, True), ran.err
    monkeypatch.setenv("MYOEDGE_OPENOCD", "no-such-openocd")
    ran = flash(two, elf)
    assert (ran.code, "MYOEDGE_OPENOCD" in ran.err, "git clone" in ran.err) == (5, True, True)


def test_an_openocd_below_the_current_folder(
    two: Build, elf: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenOCD runs in a folder of its own, where a relative path leads nowhere."""
    for name in ("openocd", "openocd_tools"):
        (elf.parent / name).symlink_to(state.parent / name)
    monkeypatch.setenv("MYOEDGE_OPENOCD", "./openocd")
    monkeypatch.setenv("GAP_OPENOCD_TOOLS", "openocd_tools")
    ran = flash(two, elf)
    assert ran.code == 0, ran.err


def test_an_openocd_that_does_not_start(two: Build, elf: Path, state: Path, tmp_path: Path) -> None:
    (tmp_path / "openocd").write_text("#!/bin/sh\nexit 127\n")
    ran = flash(two, elf)
    assert (ran.code, "OpenOCD does not start" in ran.err) == (5, True), ran.err
    assert "ldd" in ran.err


def test_no_process_is_left(two: Build, elf: Path, state: Path) -> None:
    state.write_text(json.dumps({"trouble": "other chip"}))
    with pytest.raises(MyoedgeError):
        myoedge.flash(two, elf=elf, console=False)
    mine = [p for p in Path("/proc").glob("[0-9]*/cmdline") if _is_ours(p, state)]
    assert mine == []


@pytest.mark.parametrize("by", [signal.SIGHUP, signal.SIGKILL])
def test_openocd_ends_with_a_closed_terminal_and_a_killed_process(
    two: Build,
    state: Path,
    by: signal.Signals,
    tmp_path: Path,
    another_cache: Callable[..., Path],
) -> None:
    scratch = another_cache() / "scratch"
    state.write_text(json.dumps({"trouble": "hangs"}))
    process = started("run", two.folder, "--on", "jtag", cwd=tmp_path)
    while not state.with_suffix(".end").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(by)
    process.communicate()
    assert process.returncode == (130 if by == signal.SIGHUP else -by)
    gone_by = time.monotonic() + 20
    while any(_is_ours(p, state) for p in Path("/proc").glob("[0-9]*/cmdline")):
        assert time.monotonic() < gone_by, "OpenOCD holds the probe"
        time.sleep(0.02)
    left = [*scratch.iterdir()]
    assert bool(left) == (by == signal.SIGKILL)
    for folder in left:
        os.utime(folder, (1e9, 1e9))
    tools.remove_abandoned()
    assert [*scratch.iterdir()] == []


def _is_ours(path: Path, state: Path) -> bool:
    try:
        return os.fsencode(state.parent / "openocd") in path.read_bytes()
    except OSError:
        return False


# ---- firmware.elf without an SDK


def test_firmware_over_jtag(two: Build, state: Path, tmp_path: Path) -> None:
    """Outputs and cycles of two samples; OpenOCD serves the files in a folder of its own."""
    rng = np.random.default_rng(4)
    samples = {
        port["name"]: rng.standard_normal((2, *port["shape"])).astype(np.float32)
        for port in two.report["inputs"]
    }
    wanted = myoedge.simulate(two, input=samples).measurement.inferences
    ran = myoedge.run(two, on="jtag", input=samples)
    assert (ran.exact, ran.report["exact"]["jtag"]) == (True, True)
    assert ran.report["cycles"]["source"] == "jtag"
    assert [x.cycles for x in ran.measurement.inferences] == [x.cycles for x in wanted]
    for found, given in zip(ran.measurement.inferences, wanted, strict=True):
        for y, z in zip(found.outputs, given.outputs, strict=True):
            np.testing.assert_array_equal(y, z)
    commands = ended(state)["commands"]
    assert commands.index("arm semihosting enable") < commands.index("resume")
    shown = command("run", two.folder, "--on", "jtag", cwd=tmp_path)
    assert (shown.code, "GAP9 board over JTAG" in shown.out) == (0, True), shown.err


@pytest.mark.slow
def test_weights_from_l3_over_jtag(weights_in_l3: Build, state: Path) -> None:
    checked = myoedge.validate(weights_in_l3, on=("host", "jtag"))
    assert (checked.difference, checked.exact["jtag"]) == (None, True)


def test_a_wrong_output_over_jtag(two: Build, state: Path) -> None:
    state.write_text(json.dumps({"trouble": "wrong byte"}))
    found = myoedge.validate(two, on="jtag").difference
    assert found is not None
    assert (found.backend, found.layer) == ("jtag", len(two.layer_names))
    assert not myoedge.run(two, on="jtag").exact


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        ("fails", "E711"),
        ("no files", "E710"),
        ("other chip", "E610"),
        ("bad cable", "E611"),
        ("no probe", "E601"),
    ],
)
def test_troubles_over_jtag(two: Build, state: Path, trouble: str, code: str) -> None:
    state.write_text(json.dumps({"trouble": trouble}))
    with pytest.raises(MyoedgeError) as raised:
        myoedge.run(two, on="jtag")
    assert raised.value.code == code


def test_firmware_that_runs_on(two: Build, state: Path) -> None:
    state.write_text(json.dumps({"trouble": "hangs"}))
    board = find_board("gap9_evk")
    inputs = two.files([[*golden_sample(two).values()]])
    with pytest.raises(MyoedgeError, match="the firmware did not finish") as raised:
        run_over_jtag(board, two.folder / "firmware.elf", inputs, run_s=0.2)
    assert raised.value.code == "E502"


def test_no_board_over_jtag(two: Build) -> None:
    with pytest.raises(MyoedgeError) as raised:
        runners.run_over_jtag(two, [])
    assert raised.value.code == "E601"
