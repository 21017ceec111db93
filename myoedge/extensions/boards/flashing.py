# SPDX-License-Identifier: Apache-2.0
"""Flashing of a build's application: check, write, verify, start, identify."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from myoedge.backends.build import Build
from myoedge.backends.serial_port import SerialLine
from myoedge.catalogue import warning
from myoedge.errors import MyoedgeError, Notice
from myoedge.extensions.boards import openocd
from myoedge.extensions.boards.board import MARKER, SDK_FOLDER, check_identity, marker_of
from myoedge.extensions.boards.console import open_line
from myoedge.extensions.boards.flash_image import Placed, boot_image, file_system, flash_images
from myoedge.numerics.arrays import round_up
from myoedge.system import tools
from myoedge.system.elf import Program, read_program
from myoedge.system.notebook import Card, Shown
from myoedge.targets.boards import FLASHES, Board, Flash, Probe
from myoedge.targets.gap9.program import MAP

SDK_ELF = Path(SDK_FOLDER) / "build" / "myoedge_app"
SIMULATOR_SYMBOL = "me_fabric_controller"  # only in programs for simulators
ON_JTAG = "myoedge run --on jtag  loads it, serves its files and compares its outputs"
L3_FILE, MRAM_FILE, FILES_IN = "l3.bin", "mram.bin", "octospi"  # as in me_gap.c
MEMORIES = ((0x1C000000, 0x10000), (0x1C010000, 0x180000), (0x10000000, 0x20000))

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FlashRequest:
    """Target of flashing an application.

    board   the board
    to      memory for the program: "ram", "mram" or "octospi"
    table   flash with the partition table of l3.bin and mram.bin; None: "mram", or neither file
    """

    board: Board
    to: str = "ram"
    table: str | None = None


@dataclass(frozen=True, slots=True)
class FlashResult(Shown):
    """Result of flashing a board.

    board         name of the board
    to            memory of the program: "ram", "mram" or "octospi"
    bytes         size of the program
    files_bytes   size of the file system with l3.bin, or 0
    mram_bytes    size of the file system with mram.bin, or 0
    says          identity that the started program reports; None if not asked
    table         flash with the partition table, "mram" or "octospi"; None without files
    """

    board: str
    to: str
    bytes: int
    files_bytes: int
    says: str | None
    warnings: tuple[Notice, ...] = ()
    table: str | None = None
    mram_bytes: int = 0

    def _card(self) -> Card:
        facts = (
            ("bytes", self.bytes),
            ("bytes of l3.bin's file system", self.files_bytes or None),
            ("bytes of mram.bin's file system", self.mram_bytes or None),
            ("partition table in", self.table),
            ("identity", self.says),
            *(("warning", str(warning)) for warning in self.warnings),
        )
        return Card(f"{self.board}, written to {self.to}", facts)


def flash_build(
    build: Build,
    request: FlashRequest,
    elf: Path | None,
    find_serial_line: Callable[[], SerialLine] | None,
    progress: Progress,
    warn: Callable[[Notice], None],
) -> FlashResult:
    """Implement api.flash, which documents the arguments; the serial line is opened last."""
    board, to = request.board, request.to
    if board.probe is None:
        raise _unknown_flash_error(board, "probe")
    if to != "ram":
        _flash_by_name(board, to)
    path = elf or build.folder / SDK_ELF
    program = _read_program(path, build.folder / "gap_sdk")
    warnings = check_program(program, path, board, build)
    _check_memory(program, path, to)
    placed = _file_systems(build, program)
    table = _partition_table_flash(request, placed)
    image = boot_image(program.entry, program.segments)
    images = _flash_images(request, image, placed, table)
    warnings += _overwrite_warning(board, images)
    line = (
        None if find_serial_line is None or _is_simulator_program(program) else find_serial_line()
    )
    installation = openocd.find()
    for notice in warnings:
        warn(notice)
    progress(f"OpenOCD {installation.version}")
    with _run_openocd(installation, board, board.probe) as link:
        for memory, data in images.items():
            _write_flash(link, installation, board.probe, board.flash[memory], data, progress)
        if to == "ram":
            openocd.start_in_memory(link, board.probe, program.data, program.entry, progress)
        banner = None if line is None else _wait_for_banner(line, build, link, progress)
    size = program.loaded_bytes if to == "ram" else len(image)
    files_bytes, mram_bytes = (len(found or b"") for found in (placed.files, placed.weights))
    return FlashResult(board.id, to, size, files_bytes, banner, warnings, table, mram_bytes)


@contextmanager
def _run_openocd(
    installation: openocd.OpenOcd, board: Board, probe: Probe
) -> Iterator[openocd.Session]:
    """Context manager that runs OpenOCD, connected to the board's chip."""
    with (
        tools.scratch() as folder,
        openocd.session(installation, probe, folder) as link,
    ):
        openocd.check_chain(link, board, probe)
        yield link


def _partition_table_flash(request: FlashRequest, placed: Placed) -> str | None:
    """Return the flash to which a partition table is written; None without files.

    Errors: E204 no such flash, or a table requested without l3.bin and mram.bin.
    """
    has_files = placed != Placed()
    if request.table is None:
        return "mram" if has_files else None
    if request.table not in FLASHES:
        has = ", ".join(FLASHES)
        raise MyoedgeError("E204", f"there is no flash {request.table}", {"has": has})
    if not has_files:
        title = "a partition table is for l3.bin and mram.bin, which this build lacks"
        raise MyoedgeError("E204", title)
    return request.table


def _flash_images(
    request: FlashRequest, program: bytes, placed: Placed, table: str | None
) -> dict[str, bytes]:
    """Return the image of each flash to write, the octal flash first.

    Errors: E602 unknown flash, E613 larger than the flash, or than its area before the weights.
    """
    board, to = request.board, request.to
    in_flash = None if to == "ram" else program
    if table is not None:
        has_l3 = placed.files is not None
        sector_bytes = _flash_by_name(board, FILES_IN).sector_bytes if has_l3 else 1
        images = flash_images(in_flash, to, placed, table, sector_bytes)
        # Check that the weights begin with their partition of MRAM. Errors: E613
        if placed.weights and not images["mram"].startswith(placed.weights, MAP.weights.offset):
            needs = f"{len(images['mram']) - len(placed.weights):,} bytes"
            facts = {"needs": needs, "has": f"{MAP.weights.offset:,}, in front of the weights"}
            raise MyoedgeError("E613", "the program does not fit MRAM", facts, ["--to octospi"])
    else:
        images = {} if in_flash is None else {to: in_flash}
    for memory, image in images.items():
        _check_size(memory, _flash_by_name(board, memory), image, placed.files is not None)
    return {memory: images[memory] for memory in sorted(images, reverse=True)}


def _check_size(memory: str, flash: Flash, image: bytes, has_files: bool) -> None:
    if len(image) <= flash.bytes:
        return
    facts = {"needs": f"{len(image):,} bytes", "has": f"{flash.bytes:,}, {flash.part}"}
    if memory == FILES_IN and has_files:
        raise MyoedgeError("E613", "l3.bin does not fit the flash", facts)
    raise MyoedgeError("E613", "the program does not fit the flash", facts, ["--to octospi"])


def _overwrite_warning(board: Board, images: Mapping[str, bytes]) -> tuple[Notice, ...]:
    """Return a warning on the bytes that images overwrite in each flash; () without images."""
    if not images:
        return ()
    facts = {}
    for memory, image in images.items():
        flash = board.flash[memory]
        last = min(round_up(len(image), flash.sector_bytes), flash.bytes) - 1
        facts[memory] = f"bytes 0 to {last:,} of {flash.bytes:,}, {flash.part}"
    return (warning("W602", {"untried": not board.tried}, facts),)


def _flash_by_name(board: Board, memory: str) -> Flash:
    """Return a board's flash by name. Errors: E204 no such memory, E602 unknown flash."""
    if memory not in FLASHES:
        raise MyoedgeError("E204", f"there is no memory {memory}", {"has": "ram, mram, octospi"})
    flash = board.flash.get(memory)
    if flash is None or not flash.flasher:
        raise _unknown_flash_error(board, f"flasher for {memory}")
    return flash


def _unknown_flash_error(board: Board, missing: str) -> MyoedgeError:
    tries = ["add it in a copy of the board's file: --board ./my/board.toml"]
    return MyoedgeError("E602", f"{board.name} has no {missing} in its board.toml", tries=tries)


def _read_program(path: Path, project: Path) -> Program:
    """Read an application's ELF; `project` is the CMake project. Errors: E613 missing, E241."""
    if os.path.lexists(path):
        return read_program(path)
    source, made = shlex.quote(str(project)), shlex.quote(str(project / "build"))
    tries = [
        "source GAP9_SDK/configs/gap9_evk_audio.sh",
        f"cmake -S {source} -B {made} && cmake --build {made}",
        "--elf FILE",
    ]
    raise MyoedgeError("E613", "the application is missing", {"looked for": path}, tries)


def _contains_range(held: range, start: int, size: int) -> bool:
    return start <= held.start and held.stop <= start + size


def check_program(program: Program, path: Path, board: Board, build: Build) -> tuple[Notice, ...]:
    """Raise E613 if a program is not this build's application for this board; return warnings."""
    held = [range(at, at + len(data)) for at, data in program.segments]
    outside_memory = [
        hex(x.start) for x in held if not any(_contains_range(x, *m) for m in MEMORIES)
    ]
    if outside_memory:
        raise _wrong_program_error(
            path, board, build, {"outside memory": ", ".join(outside_memory)}
        )
    if program.entry % 2 or not any(program.entry in x for x in held):
        needs = "an even address of the program"
        raise _wrong_program_error(
            path, board, build, {"entry": f"{program.entry:#x}", "needs": needs}
        )
    if _is_simulator_program(program):
        values = {"program": path.name, "board": board.name, "on_jtag": ON_JTAG}
        return (warning("W601", values),)
    _check_marker(program, path, board, build)
    return ()


def _check_marker(program: Program, path: Path, board: Board, build: Build) -> None:
    """Check that a program is of this build and chip. Errors: E613."""
    marker = MARKER.search(b"\0".join(data for _, data in program.segments))
    if marker is None:
        raise _wrong_program_error(path, board, build, {"has": "no build marker"})
    application, chip = marker.group().decode(), marker.group(1).decode()
    for needs, has in (board.chip, chip), (marker_of(build), application):
        if needs != has:
            raise _wrong_program_error(path, board, build, {"needs": needs, "has": has})


def _is_simulator_program(program: Program) -> bool:
    return SIMULATOR_SYMBOL in program.symbols


def _check_memory(program: Program, path: Path, to: str) -> None:
    """Check that a program can run from memory `to`: "ram", "mram" or "octospi". Errors: E613."""
    if to == "ram" or not _is_simulator_program(program):
        return
    facts = {"needs": "files of its debugger", "has": "none where the ROM starts a program"}
    tries = [ON_JTAG, "the SDK's application: myoedge flash without --elf"]
    raise MyoedgeError("E613", f"{path.name}, the simulators' program, runs in RAM", facts, tries)


def _wrong_program_error(
    path: Path, board: Board, build: Build, facts: dict[str, str]
) -> MyoedgeError:
    made = shlex.quote(str((build.folder / SDK_ELF).parent))
    tries = [f"build gap_sdk/ again: cmake --build {made}"]
    title = f"{path.name} is not this build's application for {board.name}"
    return MyoedgeError("E613", title, facts, tries)


def _file_systems(build: Build, program: Program) -> Placed:
    """Return the file systems with l3.bin and mram.bin that an application reads."""
    if _is_simulator_program(program):
        return Placed()
    contents = {L3_FILE: build.l3_image, MRAM_FILE: build.mram_image}
    return Placed(*(file_system({n: data}) if data else None for n, data in contents.items()))


def _write_flash(
    link: openocd.Session,
    installation: openocd.OpenOcd,
    probe: Probe,
    flash: Flash,
    data: bytes,
    progress: Progress,
) -> None:
    """Write data to the start of a flash. Errors: E501 no flasher, otherwise as write_flash."""
    flasher = installation.tools / "gap_bins" / flash.flasher
    if not flasher.is_file():
        title = f"the flasher {flash.flasher} is missing"
        raise MyoedgeError("E501", title, {"looked in": flasher.parent}, [openocd.TOOLS])
    openocd.write_flash(link, probe, flash, flasher.read_bytes(), data, progress)


def _wait_for_banner(
    line: SerialLine, build: Build, link: openocd.Session, progress: Progress
) -> str:
    """Return the identity of the started program. Errors: E603 .. E608, with OpenOCD's output."""
    progress("identify")
    try:
        with open_line(line) as conversation:
            identity = conversation.identity()
    except MyoedgeError as error:
        found, printed = error.notice, link.running.says.strip()[-400:]
        facts = {**dict(found.facts), "OpenOCD says": printed or "nothing"}
        raise MyoedgeError(found.code, found.title, facts, found.tries) from None
    check_identity(identity, marker_of(build))
    return identity.marker
