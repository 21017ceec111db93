# SPDX-License-Identifier: Apache-2.0
"""Flashing a build's application: checked, written, verified, started, identified."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from myoedge.backends import openocd
from myoedge.backends.board import check_identity
from myoedge.backends.build import Build
from myoedge.backends.console import SerialLine, open_line
from myoedge.errors import MyoedgeError, Notice, notice
from myoedge.numerics.arrays import round_up
from myoedge.system import tools
from myoedge.system.elf import Program, read_elf
from myoedge.targets.boards import FLASHES, Board, Flash, Probe

SDK_ELF = Path("gap_sdk") / "build" / "myoedge_app"
SIMULATOR_SYMBOL = "me_fabric_controller"  # a symbol of the simulators' program
MARKER = re.compile(rb"myoedge gap-sdk (\w+) ([0-9a-f]{64})")
L3_FILE, FILES_IN = "l3.bin", "octospi"  # as app_gap_sdk/app.c opens it
MEMORIES = ((0x1C000000, 0x10000), (0x1C010000, 0x180000), (0x10000000, 0x20000))

# Layouts are decoded from images of the vendor's tools; every CRC is zlib.crc32. Head of a boot
# image: next image, segments, entry, 0, fields for execution in place, which is not used (device,
# address, page command, flash base, pages, L2 of the pages, pages there), sizes of two keys.
_HEAD = struct.Struct("<13I")
_XIP = (2, 0x20000000, 0, 0, 0, 0x1C18E000, 16)
_SEGMENT = struct.Struct("<4I")  # offset, address, size, crc32
_FILE = struct.Struct("<3I")  # offset, size, length of the name with its end
_READFS = struct.Struct("<3I")  # bytes of the header, 0, files
TABLE = 0x534  # behind the head and the room for keys: 1024 + 256 bytes

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FlashResult:
    """Result of flashing a board.

    to        "ram", "mram" or "octospi"
    bytes     of the program; files_bytes: of the file system with l3.bin, 0 without one
    says      identity that the started program reports; None where not asked
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
    find_serial_line: Callable[[], SerialLine] | None,
    progress: Progress,
) -> FlashResult:
    """Implements api.flash, which documents the arguments. The serial line is opened last."""
    if board.probe is None:
        raise _unknown(board, "probe")
    flash = _flash(board, to)
    path = elf or build.folder / SDK_ELF
    program = _read(path)
    warnings = check_program(program, path, board, build)
    files = _files(build, program, board, to)
    line = None if find_serial_line is None else find_serial_line()
    installation = openocd.find()
    progress(f"OpenOCD {openocd.version(installation.program) or 'of no version'}")
    with tools.scratch() as folder, openocd.session(installation, board.probe) as link:
        openocd.check_chain(link, board, board.probe)
        write = partial(_write, link, installation, board.probe, folder / "image.bin", progress)
        if files is not None:
            write(*files)
        if flash is None:
            openocd.start_in_memory(link, board.probe, path.absolute(), program.entry, progress)
            size = sum(len(data) for _, data in program.segments)
        else:
            size = write(flash, _fitting_image(program, flash))
        banner = None if line is None or flash is not None else _banner(line, build, progress)
    return FlashResult(board.id, to, size, 0 if files is None else len(files[1]), banner, warnings)


def _fitting_image(program: Program, flash: Flash) -> bytes:
    """Boot image of a program. Errors: E613 larger than the flash."""
    image = boot_image(program.entry, program.segments)
    if len(image) > flash.bytes:
        facts = {"needs": f"{len(image):,} bytes", "has": f"{flash.bytes:,}, {flash.part}"}
        title = "the program does not fit the flash"
        raise MyoedgeError("E613", title, facts, ["--to octospi"])
    return image


def _flash(board: Board, to: str) -> Flash | None:
    """The flash of that name; None for RAM. Errors: E204 no such memory, E602 unknown flash."""
    if to == "ram":
        return None
    if to not in FLASHES:
        raise MyoedgeError("E204", f"there is no memory {to}", {"has": "ram, mram, octospi"})
    flash = board.flash.get(to)
    if flash is None or not flash.flasher:
        raise _unknown(board, f"flasher for {to}")
    return flash


def _unknown(board: Board, missing: str) -> MyoedgeError:
    tries = ["add it in a copy of the board's file: --board ./my/board.toml"]
    return MyoedgeError("E602", f"{board.name} has no {missing} in its board.toml", tries=tries)


def _read(path: Path) -> Program:
    try:
        return read_elf(path.read_bytes(), path.name)
    except OSError as error:
        tries = [
            "build it with the SDK: cmake -S DIR/gap_sdk -B DIR/gap_sdk/build, and --build",
            "--elf FILE",
        ]
        facts = {"looked for": path, "cause": error.strerror}
        raise MyoedgeError("E613", "the application is missing", facts, tries) from None


def check_program(program: Program, path: Path, board: Board, build: Build) -> tuple[Notice, ...]:
    """Checks that a program is this build's application for this board. Errors: E613."""
    outside_memory = [
        hex(at)
        for at, data in program.segments
        if not any(start <= at and at + len(data) <= start + size for start, size in MEMORIES)
    ]
    if outside_memory:
        raise _not_for(path, board, {"outside memory": ", ".join(outside_memory)})
    if SIMULATOR_SYMBOL in program.symbols:
        return (notice("W601", f"{path.name} is the simulators' program", {"board": board.name}),)
    marker = MARKER.search(b"\0".join(data for _, data in program.segments))
    if marker is None:
        raise _not_for(path, board, {"has": "no build marker"})
    if marker.group(1).decode() != board.chip:
        raise _not_for(path, board, {"needs": board.chip, "has": marker.group(1).decode()})
    if marker.group().decode() != build.application:
        raise _not_for(path, board, {"needs": build.application, "has": marker.group().decode()})
    return ()


def _not_for(path: Path, board: Board, facts: dict[str, str]) -> MyoedgeError:
    tries = ["build gap_sdk/ again: cmake --build DIR/gap_sdk/build"]
    title = f"{path.name} is not this build's application for {board.name}"
    return MyoedgeError("E613", title, facts, tries)


def _files(build: Build, program: Program, board: Board, to: str) -> tuple[Flash, bytes] | None:
    """Flash and image of the file system with l3.bin; None for an application without files.

    The image begins with the flash's first byte, as flash.bin_0 of the vendor's tools does.
    Errors: E602 nothing known of the flash, E613 no room.
    """
    if not build.l3_image or SIMULATOR_SYMBOL in program.symbols:
        return None
    if to == FILES_IN:
        title = f"l3.bin and the program both begin at the first byte of {to}"
        raise MyoedgeError("E613", title, tries=["--to mram", "--to ram"])
    flash, image = _flash(board, FILES_IN), file_system({L3_FILE: build.l3_image})
    if flash is None or len(image) > flash.bytes:
        has = "nothing" if flash is None else f"{flash.bytes:,}, {flash.part}"
        facts = {"needs": f"{len(image):,} bytes", "has": has}
        raise MyoedgeError("E613", "l3.bin does not fit the flash", facts)
    return flash, image


def _write(
    link: openocd.Session,
    installation: openocd.OpenOcd,
    probe: Probe,
    path: Path,
    progress: Progress,
    flash: Flash,
    data: bytes,
) -> int:
    """Writes data to the start of a flash, by way of a file at `path`; returns its size."""
    flasher = installation.tools / "gap_bins" / flash.flasher
    if not flasher.is_file():
        title = f"the flasher {flash.flasher} is missing"
        raise MyoedgeError("E501", title, {"looked in": flasher.parent}, [openocd.TOOLS])
    path.write_bytes(data)
    openocd.write_flash(link, probe, flash, flasher, probe.flasher_entry, path, progress)
    return len(data)


def _banner(line: SerialLine, build: Build, progress: Progress) -> str:
    progress("identify")
    with open_line(line) as link:
        identity = link.identity()
    check_identity(identity, build.application)
    return identity.marker


# --- flash images ---------------------------------------------------------------------------------


def boot_image(entry: int, segments: Sequence[tuple[int, bytes]]) -> bytes:
    """A program as the ROM boots it; (address, bytes) begin at multiples of 16 behind the table."""
    start = round_up(TABLE + len(segments) * _SEGMENT.size, 16)
    rows, body = b"", b""
    for address, data in segments:
        rows += _SEGMENT.pack(start + len(body), address, len(data), zlib.crc32(data))
        body += data + bytes(-len(data) % 16)
    head = _HEAD.pack(0, len(segments), entry, 0, *_XIP, 0, 0)
    return (head.ljust(TABLE, b"\0") + rows).ljust(start, b"\0") + body


def file_system(files: Mapping[str, bytes]) -> bytes:
    """A read-only file system; files begin at multiples of 4, as in gap_sdk 4.12
    (utils/gapy/gen_readfs.py)."""
    names = [name.encode() + b"\0" for name in files]
    header = _READFS.size + sum(_FILE.size + len(name) for name in names)
    rows, at = b"", header
    places: list[int] = []
    for name, content in zip(names, files.values(), strict=True):
        at = round_up(at, 4)
        places.append(at)
        rows += _FILE.pack(at, len(content), len(name)) + name
        at += len(content)
    image = _READFS.pack(header, 0, len(files)) + rows
    for place, content in zip(places, files.values(), strict=True):
        image = image.ljust(place, b"\0") + content
    return image
