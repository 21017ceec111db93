# SPDX-License-Identifier: Apache-2.0
"""Files that are no program for this chip: told with exit code 2, without a traceback or a wait."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from myoedge.errors import MyoedgeError
from myoedge.simulator import simulate
from myoedge.system import elf
from myoedge.system.elf import read_elf
from tests.conftest import Ran
from tests.isa.program import DATA, ENTRY, L2_END, leave, make_elf

Run = Callable[..., Ran]
# (name, type, flags, bytes, size it claims or None, link, size of an entry)
Section = tuple[str, int, int, bytes, int | None, int, int]

CODE = struct.pack(f"<{len(leave())}I", *leave())
GOOD = make_elf([(ENTRY, CODE), (DATA, b"data")], ENTRY)
GIB = 1 << 30
PHNUM, SHOFF, ENTRY_AT, FIRST = 44, 32, 24, 52  # places in the header; the first segment's
PADDR, FILESZ = FIRST + 12, FIRST + 16


def changed(at: int, format: str, value: int) -> bytes:
    made = bytearray(GOOD)
    struct.pack_into(format, made, at, value)
    return bytes(made)


def of_64_bits(machine: int) -> bytes:
    """An executable of 64 bits with one segment."""
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, ENTRY, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 120, ENTRY, ENTRY, 4, 4, 4) + CODE


FILES = {
    "empty": b"",
    "text": b"int main(void) { return 0; }\n" * 10,
    "magic alone": b"\x7fELF",
    "zeros": bytes(4096),
    "riscv64": of_64_bits(243),
    "x86-64": of_64_bits(62),
    "x86": changed(18, "<H", 3),
    "arm": changed(18, "<H", 40),
    "big endian": changed(5, "B", 2),
    "header cut off": GOOD[:40],
    "segments cut off": GOOD[:70],
    "code cut off": GOOD[:120],
    "data cut off": GOOD[:-1],
    "no segments": make_elf([], ENTRY),
    "nothing to load": make_elf([(ENTRY, b"")], ENTRY),
    "over the end of L2": make_elf([(ENTRY, CODE), (L2_END - 4, b"12345")], ENTRY),
    "before L2": make_elf([(0x1BFFFFFE, CODE)], 0x1C000000),
    "nowhere": make_elf([(0x80000000, CODE)], 0x80000000),
    "at the end of all addresses": make_elf([(ENTRY, CODE), (0xFFFFFFFE, b"1234")], ENTRY),
    "odd entry": make_elf([(ENTRY, CODE)], ENTRY + 1),
    "entry in L1": make_elf([(0x10000000, CODE)], 0x10000000),
    "entry 0": make_elf([(ENTRY, CODE)], 0),
    "1 GiB of segment": changed(FILESZ, "<I", GIB),
    "4 GiB of segment": changed(FILESZ, "<I", 0xFFFFFFFF),
    "65535 segments": changed(PHNUM, "<H", 0xFFFF),
    "sections far away": changed(SHOFF, "<I", 0xFFFFFF00),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_program(name: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.elf").write_bytes(FILES[name])
    said = run("simulate", "--elf", "p.elf")
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith(("error[E241]", "error[E242]"))
    assert "Traceback" not in said.err
    assert "myoedge explain E24" in said.err


@pytest.mark.parametrize("where", [".", "missing.elf", "missing/p.elf", "/dev/null", "x" * 300])
def test_a_path_that_leads_to_no_program(where: str, run: Run) -> None:
    said = run("simulate", "--elf", where)
    assert said.code == 2
    assert "error[E241]" in said.err
    assert "Traceback" not in said.err


def test_a_file_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    """Whoever runs this: nobody can read the memory of a process from its start."""
    where = Path("/proc/self/mem")
    if not where.exists():
        pytest.skip("no such file on this system")
    said = run("simulate", "--elf", where)
    assert said.code == 2
    assert "cannot be read" in said.err


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "."])
def test_what_is_no_regular_file(run: Run, tmp_path: Path, name: str) -> None:
    """A pipe without a writer would be waited for, a device read without an end."""
    os.mkfifo(tmp_path / "pipe")
    said = run("simulate", "--elf", name)
    assert said.code == 2
    assert "no regular file" in said.err


def test_a_file_of_too_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elf, "MAX_FILE_BYTES", len(GOOD))
    (tmp_path / "app").write_bytes(GOOD)
    assert elf.read_program(tmp_path / "app").data == GOOD
    (tmp_path / "app").write_bytes(GOOD + b"\0")
    with pytest.raises(MyoedgeError, match="too large") as caught:
        elf.read_program(tmp_path / "app")
    assert caught.value.code == "E241"


def test_the_file_that_the_others_are_made_of_is_a_program() -> None:
    assert simulate(GOOD).exit_code == 0


# ---- files that claim more than they hold, and what reads them


def with_sections(sections: list[Section]) -> bytes:
    """The program with sections and a table of them."""
    names = b"\0"
    rows, body = bytes(40), bytearray(GOOD)
    last: Section = (".names", 3, 0, b"", None, 0, 0)
    table = [*sections, last]
    for name, *_ in table:
        names += name.encode() + b"\0"
    at = 1
    for name, kind, flags, content, size, link, entry in table:
        content = names if name == ".names" else content
        claimed = len(content) if size is None else size
        rows += struct.pack("<10I", at, kind, flags, 0, len(body), claimed, link, 0, 1, entry)
        at += len(name) + 1
        body += content
    struct.pack_into("<I", body, SHOFF, len(body))
    struct.pack_into("<HH", body, 48, len(table) + 1, len(table))
    return bytes(body) + rows


def symbol(name: int, value: int, section: int = 1) -> bytes:
    return struct.pack("<IIIBBH", name, value, 4, 2, 0, section)


def test_symbols_are_those_that_have_a_name_and_a_place() -> None:
    table = bytes(16) + symbol(1, ENTRY) + symbol(6, DATA) + symbol(1, 1, 0) + symbol(9999, 2)
    names = b"\0main\0" + b"x" * 100_000 + b"\0"
    data = with_sections(
        [(".symtab", 2, 0, table, None, 2, 16), (".strtab", 3, 0, names, None, 0, 0)]
    )
    program = read_elf(data)
    assert dict(program.symbols) == {"main": ENTRY}
    assert program.function_at(ENTRY + 3) == "main"


def test_many_symbols_whose_names_never_end() -> None:
    """Each name would be as long as the rest of the file."""
    table, names = symbol(1, ENTRY) * 50_000, b"x" * 1_000_000
    data = with_sections(
        [(".symtab", 2, 0, table, None, 2, 16), (".strtab", 3, 0, names, None, 0, 0)]
    )
    assert read_elf(data).symbols == {}


def test_code_that_takes_no_room_in_the_file() -> None:
    assert read_elf(with_sections([(".text", 8, 6, b"", 0xFFFFFFF0, 0, 0)])).code == ()


@pytest.mark.parametrize("kind", [8, 2])  # SHT_NOBITS, and SHT_SYMTAB that is compressed
def test_sections_that_claim_what_is_not_in_the_file(kind: int) -> None:
    """Zeros of a section without bytes, and what zlib makes of a compressed one, have any size."""
    packed = struct.pack("<3I", 1, 1 << 26, 1) + zlib.compress(bytes(1 << 26))  # Elf32_Chdr
    flags, content, size = (0, b"", 0xFFFFFFF0) if kind == 8 else (0x800, packed, None)
    strings: Section = (".strtab", 3, 0, b"\0main\0", None, 0, 0)
    text: Section = (".text", 1, flags | 6, content, size, 0, 0)
    table: Section = (".symtab", kind, flags, content, size, 2, 16)
    for sections in ([table, strings], [text] if kind == 2 else [table, strings]):
        with pytest.raises(MyoedgeError, match="no program") as caught:
            read_elf(with_sections(sections))
        assert caught.value.code == "E241"
    lines: Section = (".debug_line", 8 if kind == 8 else 1, flags, content, size, 0, 0)
    assert read_elf(with_sections([lines])).line_at(ENTRY) == ""


def test_segments_that_lie_over_each_other() -> None:
    """Each of them is the whole file."""
    size = 4_000_000
    row = struct.pack("<8I", 1, 0, ENTRY, ENTRY, size, size, 7, 4)
    for count, has in ((200, "bytes to load"), (60_000, "60,000 segments")):
        data = changed(PHNUM, "<H", count)[:52] + row * count
        with pytest.raises(MyoedgeError, match=has) as caught:
            read_elf(data.ljust(size, b"\0"))
        assert caught.value.code == "E241"


def uleb(value: int) -> bytes:
    more = value >> 7
    return bytes([value & 0x7F | (0x80 if more else 0)]) + (uleb(more) if more else b"")


def with_lines(folders: bytes, files: bytes, rows: bytes) -> bytes:
    """DWARF 5 with one unit; folders, files: a list of each, with its formats and its length."""
    settings = bytes([1, 1, 1, 0xFB, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])
    header = settings + folders + files
    line = struct.pack("<HBBI", 5, 4, 0, len(header)) + header + rows
    unit = struct.pack("<HBBIBI", 5, 1, 4, 0, 1, 0)
    abbreviations = bytes([1, 0x11, 0, 0x10, 0x17, 0, 0, 0])  # a unit has a line table
    return with_sections(
        [
            (".debug_abbrev", 1, 0, abbreviations, None, 0, 0),
            (".debug_info", 1, 0, struct.pack("<I", len(unit)) + unit, None, 0, 0),
            (".debug_line", 1, 0, struct.pack("<I", len(line)) + line, None, 0, 0),
        ]
    )


NAME_AS_TEXT = bytes([1, 1, 8])  # one format: a path, as a string
FOLDERS, NOTHING = NAME_AS_TEXT + uleb(1) + b".\0", bytes([0])
ONE_ROW = bytes([0, 5, 2]) + struct.pack("<I", ENTRY) + bytes([3, 6, 1, 2, 8, 0, 1, 1])


def test_lines_of_dwarf_5() -> None:
    program = read_elf(with_lines(FOLDERS, NAME_AS_TEXT + uleb(2) + b"a.c\0b.c\0", ONE_ROW))
    assert program.line_at(ENTRY) == "b.c:7"
    assert program.line_at(ENTRY + 8) == ""


@pytest.mark.parametrize(
    "files",
    [
        NOTHING + uleb(1 << 40),
        bytes([1, 1, 0x19]) + uleb(1 << 40),  # of a form that takes no room
        NAME_AS_TEXT + uleb(1 << 40) + b"a.c\0",
        uleb(1 << 200),
        b"",
    ],
)
def test_more_files_than_there_is_room_for(files: bytes) -> None:
    program = read_elf(with_lines(FOLDERS, files, ONE_ROW))
    assert program.line_at(ENTRY) == ""


def test_line_tables_that_are_too_long_are_left_out() -> None:
    rows = ONE_ROW + b"\x20" * (2 << 20)
    program = read_elf(with_lines(FOLDERS, NAME_AS_TEXT + uleb(1) + b"a.c\0", rows))
    assert program.line_at(ENTRY) == ""
