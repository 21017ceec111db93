# SPDX-License-Identifier: Apache-2.0
"""Firmware: the ELF program that the chip and its simulators run, compiled from generated C."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from myoedge.errors import DoesNotFit, MyoedgeError
from myoedge.system import cache, toolchain, tools
from myoedge.system.elf import Program, instructions, read_elf
from myoedge.system.library import KERNELS, ObjectOptions, compile_objects
from myoedge.targets import DEFAULT_PROGRAM as PROGRAM
from myoedge.targets.program import Erratum, ProgramTarget

if TYPE_CHECKING:
    from myoedge.codegen.project import Sources

FOLDER = "firmware"  # subfolder of src/ for the chip only
SCRIPT = f"{FOLDER}/link.ld"
MAIN = "main.c"  # in FOLDER: generated for one network
SOURCES = (".c", ".S")
# Region of a linker script -> what a program has there, if that is not ALL
CONTENTS = {"FLASH": "code and weights", "RAM": "activations, variables, stack"}
ALL = "code, weights, activations, buffers"
FABRIC_CONTROLLER = ("host", "l3", "l3_drivers", "memory", "platform")  # files of FOLDER


@dataclass(frozen=True)
class Firmware:
    """A linked program.

    compiler   name and version of the compiler; "" for a program from elsewhere
    target     how it was made
    """

    elf: bytes
    compiler: str = ""
    target: ProgramTarget = PROGRAM

    @functools.cached_property
    def program(self) -> Program:
        """Parse firmware.elf: symbols, code and source lines."""
        return read_elf(self.elf, "the firmware", self.target.isa.machine)


class ProgramTooLarge(DoesNotFit):
    """E303: a program that exceeds a memory.

    free_bytes   bytes of that memory that the plan reserved for data but did not use
    target       how the program is made
    has_bytes    size of the memory; None: as the linker has it
    """

    def __init__(
        self,
        region: str,
        over_bytes: int,
        free_bytes: int = 0,
        target: ProgramTarget = PROGRAM,
        has_bytes: int | None = None,
    ) -> None:
        has = target.regions.get(region, 0) if has_bytes is None else has_bytes
        needs = f"{has + over_bytes:,} B: {CONTENTS.get(region, ALL)}"
        tries = (
            "fewer channels, or a shorter window",
            "--target host, to see the rest of the report",
        )
        title = f"the program does not fit the chip's {region} memory"
        super().__init__("E303", title, {"needs": needs, "has": f"{has:,} B"}, tries)
        self.region, self.over_bytes, self.free_bytes = region, over_bytes, free_bytes
        self.target = target


def make_firmware(sources: Sources, *, cc: str = "zig") -> Firmware:
    """Compile and link firmware, and check it for instructions on which chip and simulators differ.

    Equal sources and compilers give equal bytes. Errors: E303 larger than the chip's memory, E501
    no compiler, E912 the compiler rejects the C, E930 a forbidden instruction.
    """
    return _link_and_check(
        {name for name in sources.files if not _is_application_file(name)}, sources, cc
    )


def make_application(sources: Sources, name: str, *, cc: str = "zig") -> Firmware:
    """Compile, link and check the program whose files are in firmware/<name>; they replace files of
    firmware/ with the same names.

    Errors: as make_firmware.
    """
    own = {file for file in sources.files if file.startswith(f"{FOLDER}/{name}/")}
    replaced = {f"{FOLDER}/{Path(file).name}" for file in own}
    shared = {file for file in sources.files if not _is_application_file(file)}
    return _link_and_check(own | (shared - replaced), sources, cc)


def _is_application_file(name: str) -> bool:
    """Return whether a file of src/ is in the folder of an application."""
    return name.startswith(f"{FOLDER}/") and name.count("/") > 1


def _link_and_check(names: Set[str], sources: Sources, cc: str) -> Firmware:
    files = {name: sources.files[name] for name in names - {"selftest.c"}}
    firmware = link(files, cc=cc, target=sources.program or PROGRAM)
    check_instructions(firmware)
    return firmware


def link(
    files: Mapping[str, str],
    *,
    cc: str = "zig",
    defines: tuple[str, ...] = (),
    target: ProgramTarget = PROGRAM,
) -> Firmware:
    """Compile and link C and assembly files to a program; cached by files, compiler and flags.

    files     file name -> text, with the linker script SCRIPT
    defines   macros to define in addition to those of the target
    target    compiler flags and memories of the chip
    Errors: as make_firmware, and E281.
    """
    compiler = toolchain.compiler(cc)
    flags = toolchain.firmware_flags(compiler, (*target.defines, *defines), target.isa)
    files = {name: files[name] for name in sorted(files, key=_code_order)}
    contents = ((name, text.encode()) for name, text in files.items())
    digest = cache.digest_of_contents(contents, (compiler.version, *flags))
    path = tools.cache_folder("programs") / f"{digest}.elf"

    def made() -> bytes:
        if (found := cache.content(path)) is not None:
            return found
        with tools.scratch() as folder:
            linked = _link_program(folder, files, compiler, flags, target)
            elf = linked.read_bytes()
            cache.store(linked, path)
        cache.prune(path.parent)
        return elf

    return Firmware(cache.despite_removal(made), compiler.version, target)


def _link_program(
    folder: Path,
    files: Mapping[str, str],
    compiler: toolchain.Compiler,
    flags: tuple[str, ...],
    target: ProgramTarget,
) -> Path:
    """Compile and link the program in a folder; return the path of the ELF file."""
    written = _write_files(folder, files)
    include = (folder, folder / FOLDER)
    sources = [path for path in written if path.suffix in SOURCES]
    # kernels and runtime are common to all programs, and compiled once
    shared = [
        path
        for path in sources
        if path.relative_to(folder).parts[0] in (KERNELS, FOLDER) and path.name != MAIN
    ]
    objects, finished = compile_objects(shared, ObjectOptions(folder, compiler, flags, include))
    output = folder / "firmware.elf"
    if finished.returncode == 0:
        own = [path for path in sources if path not in shared]
        finished = toolchain.compile_firmware(
            own, output, folder / SCRIPT, compiler, flags, include, objects
        )
    if finished.returncode != 0:
        raise _compile_error(compiler, finished.stderr.strip(), target)
    return output


def _code_order(name: str) -> tuple[int, str]:
    """Return the sort key of a file by the order of code in memory: network and kernels, other
    cluster code, fabric controller code.

    The controller's code comes last, so that its length does not shift the cluster's cache lines.
    """
    path = Path(name)
    if path.parts[0] != FOLDER or path.name == MAIN:
        return 0, name
    is_controllers = path.stem in FABRIC_CONTROLLER or _is_application_file(name)
    return 2 if is_controllers else 1, name


def _write_files(folder: Path, files: Mapping[str, str]) -> list[Path]:
    texts = {folder / name: text for name, text in files.items()}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise cache.disk_full_error(error.strerror or "") or error from None
    return [*texts]


def _compile_error(compiler: toolchain.Compiler, says: str, target: ProgramTarget) -> MyoedgeError:
    overflows = re.findall(r"region [`'](\w+)'.*?overflowed by (\d+) bytes", says)
    if not overflows:
        facts = {"compiler": compiler.version, "says": "\n".join(says.splitlines()[:20])}
        title = "the generated C does not compile for the chip"
        return cache.disk_full_error(says) or MyoedgeError("E912", title, facts)
    over, region = max((int(size), name) for name, size in overflows)
    return ProgramTooLarge(region, over, target=target)


def check_instructions(firmware: Firmware) -> None:
    """Raise E930 for the first instruction on which chip and simulators are known to differ."""
    errata = firmware.target.forbidden
    if not errata:
        return
    program = firmware.program
    for address, code in program.code:
        for at, size, word in instructions(code, address):
            for mask, match, erratum in _erratum_patterns(errata, size, word & 0x7F):
                if word & mask != match or program.function_at(at) in erratum.asked_by:
                    continue
                facts = {
                    "where": f"{program.function_at(at) or '?'}, {program.line_at(at) or '?'}",
                    "found": f"{word:0{2 * size}x} at {at:#x}",
                    "why": erratum.why,
                }
                raise MyoedgeError("E930", f"the program holds {erratum.name}", facts)


@functools.cache
def _erratum_patterns(
    errata: tuple[Erratum, ...], size: int, lowest: int
) -> tuple[tuple[int, int, Erratum], ...]:
    """Return (mask, match, erratum) for the errata that may apply to instructions of this size with
    these lowest 7 bits."""
    rows = [(e.mask, e.match, e) for e in errata if e.size_bytes == size]
    return tuple(row for row in rows if (lowest ^ row[1]) & row[0] & 0x7F == 0)
