# SPDX-License-Identifier: Apache-2.0
"""Sources -> Firmware: the ELF that the chip and its simulators run."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge import tool
from myoedge.errors import MyoedgeError
from myoedge.library import out_of_room
from myoedge.target.gap9_errata import FORBIDDEN, Erratum

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

    from myoedge.emit.project import Sources

FOLDER = "firmware"  # of src/: what is for the chip alone
SCRIPT = f"{FOLDER}/link.ld"
DEFINES = ("ME_GAP9",)
EXECUTABLE = 4  # SHF_EXECINSTR
MEMORY_BYTES = {"L2": 0x180000, "L1": 0x20000}  # as link.ld has them


@dataclass(frozen=True)
class Firmware:
    """A linked program.

    compiler   what made it, with its version; "" for one that was given
    """

    elf: bytes
    compiler: str = ""

    @cached_property
    def symbols(self) -> Mapping[str, int]:
        """Values of all named symbols: addresses, and what the linker script sets."""
        defined = (s for s in self._symbols if s.name and s["st_shndx"] != "SHN_UNDEF")
        return {str(s.name): int(s["st_value"]) for s in defined}

    @property
    def code_bytes(self) -> int:
        """Size of the instructions, constants not included."""
        return sum(len(code) for _, code in self.code)

    @cached_property
    def code(self) -> tuple[tuple[int, bytes], ...]:
        """(address, bytes) of every executable section."""
        sections = self._opened.iter_sections()
        found = [s for s in sections if s["sh_flags"] & EXECUTABLE and s["sh_size"]]
        return tuple((s["sh_addr"], s.data()) for s in found)

    def function_at(self, address: int) -> str:
        """Name of the function that holds an address; "?" where none does."""
        for symbol in self._symbols:
            start, size = symbol["st_value"], symbol["st_size"]
            if symbol["st_info"]["type"] == "STT_FUNC" and start <= address < start + size:
                return str(symbol.name)
        return "?"

    def line_at(self, address: int) -> str:
        """ "file.c:12" of an address; "?" where nothing is known."""
        for start, end, where in self._lines:
            if start <= address < end:
                return where
        return "?"

    @cached_property
    def _symbols(self) -> tuple[Any, ...]:
        from elftools.elf.sections import SymbolTableSection

        table = self._opened.get_section_by_name(".symtab")
        return tuple(table.iter_symbols()) if isinstance(table, SymbolTableSection) else ()

    @cached_property
    def _opened(self) -> ELFFile:
        from elftools.elf.elffile import ELFFile

        return ELFFile(io.BytesIO(self.elf))

    @cached_property
    def _lines(self) -> tuple[tuple[int, int, str], ...]:
        if not self._opened.has_dwarf_info():
            return ()
        dwarf = self._opened.get_dwarf_info()
        programs = (dwarf.line_program_for_CU(unit) for unit in dwarf.iter_CUs())
        return tuple(row for p in programs if p is not None for row in _line_rows(p))


def _line_rows(program: Any) -> Iterator[tuple[int, int, str]]:
    """(start, end, "file:line") of a compilation unit's line table."""
    files, before = program["file_entry"], None
    first = 0 if program["version"] >= 5 else 1  # DWARF 5 counts files from 0
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if before is not None and state.address > before.address:
            name = files[before.file - first].name.decode("utf-8", "replace")
            yield before.address, state.address, f"{name}:{before.line}"
        before = None if state.end_sequence else state


def make_firmware(sources: Sources, *, cc: str = "zig") -> Firmware:
    """Compiled, linked, and free of what chip and simulators disagree on.

    The same bytes for the same sources and compiler. Errors: E303 larger than the chip's memory,
    E501 without a compiler, E912 where it rejects the C, E930 for a forbidden instruction.
    """
    files = {name: text for name, text in sources.files.items() if name != "selftest.c"}
    firmware = link(files, cc=cc)
    check_instructions(firmware)
    return firmware


def link(files: Mapping[str, str], *, cc: str = "zig", defines: tuple[str, ...] = ()) -> Firmware:
    """The program that these files are, SCRIPT among them. Errors: as make_firmware, and E281."""
    compiler = tool.compiler(cc)
    with tool.scratch() as folder:
        written = _written(folder, files)
        output = folder / "firmware.elf"
        finished = tool.compile_firmware(
            sorted(path for path in written if path.suffix in (".c", ".S")),
            output,
            cc=compiler,
            script=folder / SCRIPT,
            include=(folder, folder / FOLDER),
            defines=(*DEFINES, *defines),
        )
        if finished.returncode != 0:
            raise _rejected(compiler, finished.stderr.strip())
        return Firmware(output.read_bytes(), compiler.version)


def _written(folder: Path, files: Mapping[str, str]) -> list[Path]:
    paths = [folder / name for name in files]
    try:
        for path, text in zip(paths, files.values(), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise out_of_room(error.strerror or "") or error from None
    return paths


def _rejected(compiler: tool.Compiler, says: str) -> MyoedgeError:
    found = re.findall(r"region [`'](\w+)'.*?overflowed by (\d+) bytes", says)
    if not found and (full := out_of_room(says)):
        return full
    if not found:
        facts = {"compiler": compiler.version, "says": "\n".join(says.splitlines()[:20])}
        return MyoedgeError("E912", "the generated C does not compile for the chip", facts)
    over, region = max((int(size), name) for name, size in found)
    has = MEMORY_BYTES.get(region, 0)
    return MyoedgeError(
        "E303",
        f"the program does not fit the chip's {region} memory",
        {"needs": f"{has + over:,} B: code, weights, activations, buffers", "has": f"{has:,} B"},
        ["fewer channels, or a shorter window", "--target host, to see the rest of the report"],
    )


def instructions(code: bytes, address: int = 0) -> Iterator[tuple[int, int, int]]:
    """(address, size in bytes, encoding) of instructions that follow each other."""
    at = 0
    while at + 2 <= len(code):
        size = 4 if code[at] & 3 == 3 else 2
        yield address + at, size, int.from_bytes(code[at : at + size], "little")
        at += size


def check_instructions(firmware: Firmware) -> None:
    """Errors: E930 for the first instruction that chip and simulators are known to differ in."""
    for address, code in firmware.code:
        for at, size, word in instructions(code, address):
            if (erratum := _forbidden(size, word)) is not None:
                raise MyoedgeError(
                    "E930",
                    f"the program holds {erratum.name}",
                    {
                        "where": f"{firmware.function_at(at)}, {firmware.line_at(at)}",
                        "found": f"{word:0{2 * size}x} at {at:#x}",
                        "why": erratum.why,
                    },
                )


def _forbidden(size: int, word: int) -> Erratum | None:
    return next(
        (e for mask, match, e in _suspects(size, word & 0x7F) if word & mask == match), None
    )


@cache
def _suspects(size: int, lowest: int) -> tuple[tuple[int, int, Erratum], ...]:
    """(mask, match, erratum) of those that an instruction with these lowest 7 bits can be."""
    rows = [(e.mask, e.match, e) for e in FORBIDDEN if e.size_bytes == size]
    return tuple(row for row in rows if (lowest ^ row[1]) & row[0] & 0x7F == 0)
