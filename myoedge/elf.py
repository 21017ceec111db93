# SPDX-License-Identifier: Apache-2.0
"""Programs as ELF files: what is loaded, code, symbols, source lines."""

from __future__ import annotations

import bisect
import functools
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from myoedge.errors import MyoedgeError

_RISCV = "EM_RISCV"
_EXECUTABLE = 4  # SHF_EXECINSTR


@dataclass(frozen=True)
class Program:
    """A bare-metal program.

    segments   (address, bytes) to load
    symbols    address by name
    functions  (first address, behind the last, name), by address
    code       (address, bytes) of every executable section
    """

    data: bytes
    entry: int
    segments: tuple[tuple[int, bytes], ...]
    symbols: Mapping[str, int]
    functions: tuple[tuple[int, int, str], ...]
    code: tuple[tuple[int, bytes], ...]

    def function_at(self, pc: int) -> str:
        """The function an address lies in, "" if in none that has a name."""
        at = bisect.bisect_right(self.functions, (pc, 1 << 40, "")) - 1
        if at < 0:
            return ""
        first, end, name = self.functions[at]
        return name if first <= pc < max(end, first + 1) else ""

    def line_at(self, pc: int) -> str:
        """ "file:line" of an address, "" where the program does not say."""
        starts, lines = self._lines
        at = bisect.bisect_right(starts, pc) - 1
        return lines[at] if at >= 0 else ""

    @functools.cached_property
    def _lines(self) -> tuple[list[int], list[str]]:
        # of several rows for an address the last one holds; the end of another sequence never does
        found = sorted(_source_lines(self.data), key=lambda row: (row[0], row[1] != ""))
        return [address for address, _ in found], [line for _, line in found]


def read_elf(data: bytes, name: str = "the program") -> Program:
    """A program from the bytes of an ELF file. Errors: E241 no 32-bit RISC-V program."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(io.BytesIO(data))
        if elf["e_machine"] != _RISCV or elf.elfclass != 32 or not elf.little_endian:
            raise _not_usable(name, f"{elf['e_machine']}, {elf.elfclass} bits")
        segments = tuple(_segments(elf))
        if not segments:
            raise _not_usable(name, "nothing to load")
        symbols, functions = _symbols(elf)
        return Program(data, elf["e_entry"], segments, symbols, functions, tuple(_code(elf)))
    except MyoedgeError:
        raise
    # pyelftools meets damaged files with whatever its parsers happen to raise
    except (
        ELFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        OverflowError,
        AssertionError,
        UnicodeError,
        RecursionError,
        MemoryError,
        OSError,
    ) as error:
        raise _not_usable(name, f"{type(error).__name__}: {error}"[:200]) from None


def _not_usable(name: str, has: str) -> MyoedgeError:
    return MyoedgeError(
        "E241",
        f"{name} is no program for this chip",
        {"needs": "a 32-bit little-endian RISC-V ELF file", "has": has},
    )


def _segments(elf: Any) -> Iterator[tuple[int, bytes]]:
    for segment in elf.iter_segments():
        if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]:
            yield segment["p_paddr"], segment.data()


def _code(elf: Any) -> Iterator[tuple[int, bytes]]:
    for section in elf.iter_sections():
        if section["sh_flags"] & _EXECUTABLE and section["sh_size"]:
            yield section["sh_addr"], section.data()


def _symbols(elf: Any) -> tuple[dict[str, int], tuple[tuple[int, int, str], ...]]:
    table = elf.get_section_by_name(".symtab")
    if table is None:
        return {}, ()
    defined = (s for s in table.iter_symbols() if s.name and s["st_shndx"] != "SHN_UNDEF")
    symbols = {str(s.name): int(s["st_value"]) for s in defined}
    functions = sorted(
        (s["st_value"], s["st_value"] + s["st_size"], s.name)
        for s in table.iter_symbols()
        if s.name and s["st_info"]["type"] == "STT_FUNC"
    )
    return symbols, tuple(functions)


def _source_lines(data: bytes) -> Iterator[tuple[int, str]]:
    """(address, "file:line") of every row of the line tables; none where they are damaged."""
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(io.BytesIO(data))
        if elf.has_dwarf_info():
            dwarf = elf.get_dwarf_info()
            for unit in dwarf.iter_CUs():
                yield from _unit_lines(dwarf.line_program_for_CU(unit))
    except Exception:
        return


def _unit_lines(program: Any) -> Iterator[tuple[int, str]]:
    if program is None:
        return
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        yield state.address, "" if state.end_sequence else _place(program, state)


def _place(program: Any, state: Any) -> str:
    """file:line; the file alone where the compiler has merged code of several lines (line 0)."""
    file = _file(program, state.file)
    return f"{file}:{state.line}" if state.line else file


def _file(program: Any, number: int) -> str:
    header = program.header
    files = header["file_entry"]
    # DWARF 5 counts files from 0, earlier versions from 1
    at = number if header["version"] >= 5 else number - 1
    if not 0 <= at < len(files):
        return "?"
    name = files[at].name
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
