# SPDX-License-Identifier: Apache-2.0
"""ELF files: segments, code, symbols, source lines."""

from __future__ import annotations

import bisect
import functools
import io
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError
from myoedge.system.regular_files import open_regular

if TYPE_CHECKING:
    from elftools.dwarf.dwarfinfo import DWARFInfo
    from elftools.dwarf.lineprogram import LineProgram
    from elftools.elf.elffile import ELFFile
    from elftools.elf.segments import Segment

RISCV = "EM_RISCV"
_EXECUTABLE, _COMPRESSED = 4, 0x800  # SHF_EXECINSTR, SHF_COMPRESSED
MAX_FILE_BYTES = 256 << 20  # far larger than any program
# Limits against damaged files, whose size fields may be arbitrary.
_MAX_SEGMENTS = 256
_MAX_LOADED_BYTES = 64 << 20
_MAX_NAME_BYTES = 4096
_MAX_LINE_BYTES = 1 << 20  # bytes of all line programs
_SYMBOL = struct.Struct("<IIIBBH")  # name, value, size, type, visibility, section
_OBJECT, _FUNCTION = 1, 2  # STT_OBJECT, STT_FUNC
_DWARF64 = 0xFFFFFFFF  # escape code of the length field
# Exceptions that pyelftools raises on damaged files.
_DAMAGED = (
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError),
    *(struct.error, RecursionError, MemoryError, OSError),
)

Functions = tuple[tuple[int, int, str], ...]  # (start, end, name)


@dataclass(frozen=True)
class Program:
    """A bare-metal program read from an ELF file.

    data        bytes of the file
    entry       entry address
    segments    (address, bytes) to load
    symbols     name -> address
    functions   (start, end, name), sorted by address
    code        (address, bytes) of every executable section
    """

    data: bytes
    entry: int
    segments: tuple[tuple[int, bytes], ...]
    symbols: Mapping[str, int]
    functions: Functions
    code: tuple[tuple[int, bytes], ...]
    objects: tuple[tuple[int, int], ...] = ()

    @property
    def loaded_bytes(self) -> int:
        return sum(len(data) for _, data in self.segments)

    def function_at(self, pc: int) -> str:
        """Return the name of the function at an address; "" if there is none."""
        at = bisect.bisect_right(self.functions, (pc, 1 << 40, "")) - 1
        if at < 0:
            return ""
        first, end, name = self.functions[at]
        return name if first <= pc < max(end, first + 1) else ""

    def object_at(self, address: int) -> tuple[int, int] | None:
        """Return the start and the end of the variable or table at an address; None if there is
        none."""
        at = bisect.bisect_right(self.objects, (address, 1 << 40)) - 1
        if at < 0 or not self.objects[at][0] <= address < self.objects[at][1]:
            return None
        return self.objects[at]

    def line_at(self, pc: int) -> str:
        """Return "file:line" of an address; "" without debug information."""
        starts, lines = self._lines
        at = bisect.bisect_right(starts, pc) - 1
        return lines[at] if at >= 0 else ""

    @functools.cached_property
    def _lines(self) -> tuple[list[int], list[str]]:
        # The last row for an address applies, except an end of sequence.
        rows = sorted(_source_lines(self.data), key=lambda row: (row[0], row[1] != ""))
        return [address for address, _ in rows], [line for _, line in rows]


def read_program(path: Path) -> Program:
    """Read a program from a regular file. Errors: E241 not readable, too large, else as
    read_elf."""
    try:
        with open_regular(path) as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        facts = {"reason": error.strerror}
        raise MyoedgeError("E241", f"{path} cannot be read", facts) from None
    if len(data) > MAX_FILE_BYTES:
        facts = {"at most": f"{MAX_FILE_BYTES:,} bytes"}
        raise MyoedgeError("E241", f"{path} is too large", facts)
    return read_elf(data, path.name)


def read_elf(data: bytes, name: str = "the program", machine: str = RISCV) -> Program:
    """Parse a program from the bytes of an ELF file. Errors: E241 no 32-bit program for the
    machine."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(io.BytesIO(data))
        if elf["e_machine"] != machine or elf.elfclass != 32 or not elf.little_endian:
            raise _not_usable(name, f"{elf['e_machine']}, {elf.elfclass} bits")
        return _parse_program(elf, data, name)
    except MyoedgeError:
        raise
    except (ELFError, *_DAMAGED) as error:
        raise _not_usable(name, f"{type(error).__name__}: {error}"[:200]) from None


def instructions(code: bytes, address: int = 0) -> Iterator[tuple[int, int, int]]:
    """Yield (address, size in bytes, encoding) of consecutive instructions."""
    at = 0
    while at + 2 <= len(code):
        size = 4 if code[at] & 3 == 3 else 2
        yield address + at, size, int.from_bytes(code[at : at + size], "little")
        at += size


def _loadable_segments(elf: ELFFile) -> list[Segment]:
    return [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD" and s["p_filesz"]]


def _parse_program(elf: ELFFile, data: bytes, name: str) -> Program:
    """Parse an ELF's sections, segments and symbols. Errors: E241 nothing to load, or too large."""
    executable = (s for s in elf.iter_sections() if s["sh_flags"] & _EXECUTABLE)
    code = [section for section in executable if section["sh_type"] != "SHT_NOBITS"]
    _check_sizes(elf, code, name, len(data))
    segments = tuple((s["p_paddr"], s.data()) for s in _loadable_segments(elf))
    if not segments:
        raise _not_usable(name, "nothing to load")
    symbols, functions, objects = _symbols(elf)
    contents = tuple((s["sh_addr"], _section_bytes(s)) for s in code if s["sh_size"])
    return Program(data, elf["e_entry"], segments, symbols, functions, contents, objects)


def _not_usable(name: str, has: str) -> MyoedgeError:
    facts = {"needs": "a 32-bit little-endian RISC-V ELF file", "has": has}
    tries = ["myoedge build MODEL --calib CALIB -o FOLDER   # writes FOLDER/firmware.elf"]
    return MyoedgeError("E241", f"{name} is no program for this chip", facts, tries)


def _check_sizes(elf: Any, code_sections: Sequence[Any], name: str, size: int) -> None:
    if elf.num_segments() > _MAX_SEGMENTS:
        raise _not_usable(name, f"{elf.num_segments():,} segments")
    ends = [segment["p_offset"] + segment["p_filesz"] for segment in elf.iter_segments()]
    if max(ends, default=0) > size:
        raise _not_usable(name, f"{size:,} bytes, its headers need {max(ends):,}: truncated")
    loaded = sum(segment["p_filesz"] for segment in elf.iter_segments())
    code = sum(section["sh_size"] for section in code_sections)
    if loaded > _MAX_LOADED_BYTES or code > _MAX_LOADED_BYTES:
        raise _not_usable(name, f"{loaded:,} bytes to load, {code:,} of code, in {size:,}")


def _section_bytes(section: Any) -> bytes:
    """Return the bytes of a section in the file.

    Errors: ValueError for a compressed section, or one without bytes: both may claim any size.
    """
    if section["sh_flags"] & _COMPRESSED or section["sh_type"] == "SHT_NOBITS":
        raise ValueError(f"section {section.name} is compressed or has no bytes")
    content: bytes = section.data()
    return content


def _symbols(elf: Any) -> tuple[dict[str, int], Functions, tuple[tuple[int, int], ...]]:
    table = elf.get_section_by_name(".symtab")
    if table is None:
        return {}, (), ()
    names, rows = _section_bytes(elf.get_section(table["sh_link"])), _section_bytes(table)
    symbols, functions, objects = {}, [], []
    complete = len(rows) // _SYMBOL.size * _SYMBOL.size
    for at, value, size, kind, _, section in _SYMBOL.iter_unpack(rows[:complete]):
        end = names.find(b"\0", at, at + _MAX_NAME_BYTES)
        if at < end and section:  # a defined symbol
            name = names[at:end].decode("utf-8", "replace")
            symbols[name] = value
            if kind & 15 == _FUNCTION:
                functions.append((value, value + size, name))
            elif kind & 15 == _OBJECT:
                objects.append((value, value + size))
    return symbols, tuple(sorted(functions)), tuple(sorted(objects))


def _source_lines(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield (address, "file:line") of every row of the line tables; stop if they are damaged."""
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(io.BytesIO(data))
        lines = elf.get_section_by_name(".debug_line")
        if lines is None or any(s["sh_flags"] & _COMPRESSED for s in elf.iter_sections()):
            return
        table, dwarf, remaining_bytes = _section_bytes(lines), elf.get_dwarf_info(), _MAX_LINE_BYTES
        for program in _line_programs(dwarf, table):
            remaining_bytes -= program.program_end_offset - program.program_start_offset
            if remaining_bytes < 0:
                return
            for state in filter(None, (entry.state for entry in program.get_entries())):
                yield state.address, "" if state.end_sequence else _line_text(program, state)
    except Exception:
        return


def _line_programs(dwarf: DWARFInfo, table: bytes) -> Iterator[LineProgram]:
    """Yield the valid line number programs of DWARF line tables, at most one per source file."""
    for unit in dwarf.iter_CUs():
        at = unit.get_top_DIE().attributes.get("DW_AT_stmt_list")
        if at is not None and _is_sound(io.BytesIO(table[at.value :])):
            yield from filter(None, [dwarf.line_program_for_CU(unit)])


def _is_sound(header: io.BytesIO) -> bool:
    """Return whether the header of a line table is long enough for the folder and file entries
    (DWARF 5) that it announces.

    pyelftools would allocate as many entries as a damaged file claims.
    """
    length, version = struct.unpack("<IH", header.read(6))
    if length == _DWARF64:
        return False
    if version < 5:
        return True
    (opcodes,) = struct.unpack("<11xB", header.read(12))
    header.seek(opcodes - 1, io.SEEK_CUR)
    for _ in ("folders", "files"):
        forms = [(_uleb(header), _uleb(header))[1] for _ in range(header.read(1)[0])]
        count = _uleb(header)
        if count and (not forms or not _FORMS.keys() >= set(forms)):
            return False
        for _ in range(count):
            for form in forms:
                _FORMS[form](header)
    return True


def _uleb(stream: io.BytesIO) -> int:
    value, shift = 0, 0
    while (byte := stream.read(1)[0]) & 0x80:
        value, shift = value | (byte & 0x7F) << shift, shift + 7
    return value | byte << shift


def _skipper(size: int) -> Callable[[io.BytesIO], object]:
    def skip(stream: io.BytesIO) -> None:
        if len(stream.read(size)) < size:
            raise EOFError

    return skip


# By number of the DWARF form: string, data, udata, string offsets, MD5.
_FORMS: dict[int, Callable[[io.BytesIO], object]] = {
    0x08: lambda stream: [*iter(lambda: stream.read(1)[0], 0)],
    0x0F: _uleb,
    **{form: _skipper(n) for form, n in {5: 2, 6: 4, 7: 8, 11: 1, 14: 4, 30: 16, 31: 4}.items()},
}


def _line_text(program: Any, state: Any) -> str:
    """Return "file:line" of a line table's row; only the file for line 0 (several lines)."""
    header, file = program.header, "?"
    # DWARF 5 numbers files from 0, earlier versions from 1.
    at = state.file if header["version"] >= 5 else state.file - 1
    if 0 <= at < len(header["file_entry"]):
        name = header["file_entry"][at].name
        file = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    return f"{file}:{state.line}" if state.line else file
