# SPDX-License-Identifier: Apache-2.0
"""Errors about builds for Cortex-M: each remedy is tried here, with what caused the error."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from myoedge.targets import CHIPS
from tests.conftest import Ran
from tests.extensions.qemu.test_qemu import in_qemu

CORE = """id = "own"
name = "A board"
chip = "cortex-m4"
tried = false
[core]
clock_hz = 64_000_000
current_ma = 3.3
supply_v = 3.0
"""
OF_GAP9 = (
    ("simulate",),
    ("energy",),
    ("advise",),
    ("run",),
    *(("validate", "--on", name) for name in ("simulator", "gvsoc", "gvsoc-sdk", "board", "jtag")),
)


def target_in(folder: Path) -> str:
    return str(json.loads((folder / "manifest.json").read_text())["target"])


@in_qemu
@pytest.mark.parametrize("verb", OF_GAP9, ids=" ".join)
def test_remedies_of_verbs_of_another_chip_work_and_keep_the_build(
    verb: tuple[str, ...], small: Path, tmp_path: Path, run: Callable[..., Ran]
) -> None:
    """Also without GVSoC, an SDK or a board: no tool that is missing here would help."""
    folder = tmp_path / "build" / "model-cortex-m4"
    given = ("--calib", small / "calib.npz", "-o", folder, "--target", "cortex-m4")
    assert run("build", small / "model.pt2", *given).code == 0
    board = tmp_path / "BOARD.toml"
    board.write_text(CORE)
    refused = run(verb[0], folder, *verb[1:], "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "E240"), refused.err
    tries = refused.json["error"]["tries"]
    assert tries
    for remedy in tries:
        words = shlex.split(remedy.partition("  ")[0].replace("BOARD.toml", str(board)))
        assert words[0] == "myoedge"
        assert run(*words[1:]).code == 0, remedy
        assert target_in(folder) == "cortex-m4", remedy


@pytest.mark.parametrize("verb", [("simulate",), ("energy",), ("validate", "--on", "simulator")])
def test_a_build_for_another_target_gets_a_folder_of_its_own(
    verb: tuple[str, ...], small: Path, tmp_path: Path, run: Callable[..., Ran]
) -> None:
    folder = tmp_path / "model-host"
    given = ("--calib", small / "calib.npz", "-o", folder, "--target", "host")
    assert run("build", small / "model.pt2", *given).code == 0
    made = []
    for _ in range(2):  # the second time the folder of the first exists
        refused = run(verb[0], folder, *verb[1:], "--json")
        (remedy,) = refused.json["error"]["tries"]
        words = shlex.split(remedy)
        made.append(tmp_path / words[words.index("-o") + 1])
        assert run(*words[1:]).code == 0, remedy
    assert [target_in(x) for x in (folder, *made)] == ["host", "gap9", "gap9"]
    assert len(set(made)) == 2


@pytest.mark.parametrize(
    ("given", "proposed"),
    [("cortex-m7", "cortex-m4"), ("cortex-m55f", "cortex-m55"), ("GAP8", "gap9"), ("x", "gap9")],
)
def test_an_unknown_target_is_answered_with_the_nearest(
    given: str, proposed: str, small: Path, run: Callable[..., Ran]
) -> None:
    refused = run("build", small / "model.pt2", "--target", given, "--json").json["error"]
    assert (refused["code"], refused["tries"]) == ("E201", [f"--target {proposed}"])
    assert refused["facts"]["has"] == ", ".join(CHIPS)


def test_init_names_every_target(tmp_path: Path, run: Callable[..., Ran]) -> None:
    assert run("init").code == 0
    text = (tmp_path / "myoedge.toml").read_text()
    (line,) = (x for x in text.splitlines() if x.startswith("chip = "))
    assert re.findall('"(.+?)"', line) == [*CHIPS]
    assert tomllib.loads(text)["target"] == {"chip": "gap9"}


def test_remedies_of_flash_make_a_program_for_another_chip(
    small: Path, tmp_path: Path, run: Callable[..., Ran]
) -> None:
    """With the memories of an nRF52840, named where the remedy says; the file is where it says."""
    folder = tmp_path / "out"
    given = ("--calib", small / "calib.npz", "-o", folder, "--target", "cortex-m4")
    assert run("build", small / "model.pt2", *given).code == 0
    made, flashed, _ = run("flash", folder, "--json").json["error"]["tries"]
    (script,) = re.findall(r"\bsrc/\S+\.ld", made)
    path, memories = folder / script, {"VECTORS": 0, "FLASH": 0x400, "RAM": 0x20000000}
    sizes = {"VECTORS": 0x400, "FLASH": 0xFFC00, "RAM": 0x40000}
    text = path.read_text()
    for name, origin in memories.items():
        assert name in made
        words = f"ORIGIN = {origin:#x}, LENGTH = {sizes[name]:#x}"
        text, count = re.subn(rf"({name} .*: )ORIGIN = \w+, LENGTH = \w+", rf"\1{words}", text)
        assert count == 1, name
    path.write_text(text)
    command = shlex.split(made.partition("  ")[0])
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("no GCC for Arm")
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (elf,) = re.findall(r"\S+\.elf", flashed)
    found = ELFFile(io.BytesIO((folder / elf).read_bytes())).iter_segments("PT_LOAD")
    ends = [segment["p_paddr"] + segment["p_filesz"] for segment in found if segment["p_filesz"]]
    assert max(ends) <= 0x100000
