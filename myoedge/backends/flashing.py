# SPDX-License-Identifier: Apache-2.0
"""The application of a build to a board: looked at, written, verified, started, asked who it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from myoedge.backends import openocd
from myoedge.backends.board import check_identity
from myoedge.backends.build import Build
from myoedge.backends.console import Line, open_line
from myoedge.backends.flash_image import boot_image, write_boot, write_files
from myoedge.errors import MyoedgeError, Notice, notice
from myoedge.system import tools as tool
from myoedge.system.elf import Program, read_elf
from myoedge.targets.boards import FLASHES, Board, Flash, Probe

SDK_ELF = Path("gap_sdk") / "build" / "myoedge_app"
BARE_METAL = "me_fabric_controller"  # a symbol of the program for simulators
MARKER = re.compile(rb"myoedge gap-sdk (\w+) ([0-9a-f]{64})")
L3_FILE, FILES_IN = "l3.bin", "octospi"  # as app_gap_sdk/app.c opens it
MEMORIES = ((0x1C000000, 0x10000), (0x1C010000, 0x180000), (0x10000000, 0x20000))

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Flashed:
    """What was done.

    to        "ram", "mram" or "octospi"
    bytes     of the program; files_bytes: of the file system with l3.bin, 0 without one
    says      what the started program says of itself; None where nobody asked
    """

    board: str
    to: str
    bytes: int
    files_bytes: int
    says: str | None
    warnings: tuple[Notice, ...] = ()


def flash_build(
    build: Build,
    board: Board,
    to: str,
    elf: Path | None,
    find_line: Callable[[], Line] | None,
    say: Say,
) -> Flashed:
    """api.flash; the arguments are explained there. The line is looked for behind the program."""
    if board.probe is None:
        raise _unknown(board, "a probe")
    flash = _flash(board, to)
    path = elf or build.folder / SDK_ELF
    program = _read(path)
    warnings = check_program(program, path, board, build)
    files = _files(build, program, board, to)
    line = None if find_line is None else find_line()
    found = openocd.find()
    say(f"OpenOCD {openocd.version(found.program) or 'of no version'}")
    with tool.scratch() as folder, openocd.session(found, board.probe) as talk:
        openocd.check_chain(talk, board, board.probe)
        write = partial(_write, talk, found, board.probe, folder / "image.bin", say)
        if files is not None:
            write(*files)
        if flash is None:
            openocd.start_in_memory(talk, board.probe, path.absolute(), program.entry, say)
            size = sum(len(data) for _, data in program.segments)
        else:
            size = write(flash, _image(program, flash))
        says = None if line is None or flash is not None else _banner(line, build, say)
    return Flashed(board.id, to, size, 0 if files is None else len(files[1]), says, warnings)


def _flash(board: Board, to: str) -> Flash | None:
    """None for memory. Errors: E204 no such place, E602 nothing known of it."""
    if to == "ram":
        return None
    if to not in FLASHES:
        raise MyoedgeError("E204", f"there is no memory {to}", {"has": "ram, mram, octospi"})
    flash = board.flash.get(to)
    if flash is None or not flash.flasher:
        raise _unknown(board, f"a flasher for {to}")
    return flash


def _unknown(board: Board, what: str) -> MyoedgeError:
    tries = ["fill it in, in a copy of the board's file: --board ./my/board.toml"]
    return MyoedgeError("E602", f"nothing is known of {what} of {board.name}", tries=tries)


def _read(path: Path) -> Program:
    try:
        return read_elf(path.read_bytes(), path.name)
    except OSError as error:
        tries = [
            "build it with the SDK: cmake -S DIR/gap_sdk -B DIR/gap_sdk/build, and --build",
            "--elf FILE",
        ]
        facts = {"looked for": path, "cause": error.strerror}
        raise MyoedgeError("E613", "the application is not there", facts, tries) from None


def check_program(program: Program, path: Path, board: Board, build: Build) -> tuple[Notice, ...]:
    """That it is the application of this build, for this board. Errors: E613 it is not."""
    outside = [hex(at) for at, data in program.segments if not _inside(at, len(data))]
    if outside:
        raise _not_for(path, board, {"lies at": ", ".join(outside)})
    if BARE_METAL in program.symbols:
        return (
            notice("W601", f"{path.name} is the program for simulators", {"board": board.name}),
        )
    found = MARKER.search(b"\0".join(data for _, data in program.segments))
    if found is None:
        raise _not_for(path, board, {"has": "no mark of a build"})
    if found.group(1).decode() != board.chip:
        raise _not_for(path, board, {"needs": board.chip, "has": found.group(1).decode()})
    if found.group().decode() != build.application:
        raise _not_for(path, board, {"needs": build.application, "has": found.group().decode()})
    return ()


def _inside(address: int, size: int) -> bool:
    return any(at <= address and address + size <= at + room for at, room in MEMORIES)


def _not_for(path: Path, board: Board, facts: dict[str, str]) -> MyoedgeError:
    tries = ["build gap_sdk/ again: cmake --build DIR/gap_sdk/build"]
    title = f"{path.name} is not this build's application for {board.name}"
    return MyoedgeError("E613", title, facts, tries)


def _image(program: Program, flash: Flash) -> bytes:
    image = write_boot(boot_image(program.entry, program.segments))
    if len(image) > flash.bytes:
        facts = {"needs": f"{len(image):,} bytes", "has": f"{flash.bytes:,}, {flash.part}"}
        raise MyoedgeError("E613", "the program does not fit the flash", facts, ["--to octospi"])
    return image


def _files(build: Build, program: Program, board: Board, to: str) -> tuple[Flash, bytes] | None:
    """Where the application looks for its files, and their image; None for one that has none.

    The image begins with the flash's first byte, as flash.bin_0 of the vendor's tools does.
    Errors: E602 nothing known of the flash, E613 no room.
    """
    if not build.l3_image or BARE_METAL in program.symbols:
        return None
    if to == FILES_IN:
        title = f"l3.bin lies where the program would, at the first byte of {to}"
        raise MyoedgeError("E613", title, tries=["--to mram", "--to ram"])
    flash, image = _flash(board, FILES_IN), write_files({L3_FILE: build.l3_image})
    if flash is None or len(image) > flash.bytes:
        has = "nothing" if flash is None else f"{flash.bytes:,}, {flash.part}"
        facts = {"needs": f"{len(image):,} bytes", "has": has}
        raise MyoedgeError("E613", "l3.bin does not fit the flash", facts)
    return flash, image


def _write(
    talk: openocd.Session,
    found: openocd.OpenOcd,
    probe: Probe,
    path: Path,
    say: Say,
    flash: Flash,
    data: bytes,
) -> int:
    """Bytes from the flash's first one on, by way of a file at `path`; how many these are."""
    flasher = found.tools / "gap_bins" / flash.flasher
    if not flasher.is_file():
        title = f"the flasher {flash.flasher} is missing"
        raise MyoedgeError("E501", title, {"looked in": flasher.parent}, [openocd.TOOLS])
    path.write_bytes(data)
    openocd.write_flash(talk, probe, flash, flasher, probe.flasher_entry, path, say)
    return len(data)


def _banner(line: Line, build: Build, say: Say) -> str:
    say("ask who it is")
    with open_line(line) as talk:
        found = talk.identity()
    check_identity(found, build.application)
    return found.marker
