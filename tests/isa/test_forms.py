# SPDX-License-Identifier: Apache-2.0
"""Kernels as .insn, as .word and by mnemonics: the same bytes, and .word for every assembler."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from myoedge.codegen.library import instances
from myoedge.codegen.render import template_dir
from myoedge.system import toolchain
from tests.isa import native

FOLDERS = [template_dir() / "library", *sorted(template_dir().glob("operators/[a-z]*"))]
ASSEMBLY = [file for folder in FOLDERS for file in sorted(folder.glob("*.S"))]
EVERY_INTRINSIC = Path(__file__).parents[1] / "firmware" / "programs" / "intrinsics.c"
INSTANCES = {
    path.parent / name: text
    for folder in FOLDERS
    for path in folder.glob("*_instances.def")
    for name, text in instances(path.read_text()).items()
}
KERNELS = [*(file for folder in FOLDERS for file in sorted(folder.glob("*.c"))), *sorted(INSTANCES)]
C = [EVERY_INTRINSIC, *(pytest.param(file, marks=pytest.mark.slow) for file in KERNELS)]
LINE_BYTES = 16  # of the instruction cache
# Of kernels in assembly, all known to binutils 2.28 (its manual: "Assembler Directives", "RISC-V
# Directives").
DIRECTIVES = {
    *("altmacro", "balign", "balignl", "balignw", "else", "elseif", "endif", "endm", "endr"),
    *("globl", "if", "ifb", "irp", "macro", "noaltmacro", "option", "section", "set", "size"),
    *("type", "2byte", "4byte", "word"),
}
OPTIONS = {"norelax", "norvc", "rvc", "push", "pop"}


def name(path: object) -> str:
    return path.name if isinstance(path, Path) else str(path)


def compiled(source: Path, output: Path, *flags: str) -> Path:
    """What the package's compiler makes of a kernel for the chip."""
    runtime = output.parent / "firmware"
    if not runtime.exists():
        runtime.symlink_to(template_dir() / "runtime")
    if (text := INSTANCES.get(source)) is not None:
        source = output.parent / source.name
        source.write_text(text)
    cc = toolchain.compiler()
    include = (*FOLDERS, template_dir() / "include", output.parent)
    made = (*toolchain.firmware_flags(cc, ("ME_GAP9",)), "-Qunused-arguments", *flags)
    done = toolchain.compile_sources([source], output, cc, made, include)
    assert done.returncode == 0, done.stderr
    return output


def code(path: Path) -> dict[str, bytes]:
    """Sections of an object that hold instructions."""
    elf = ELFFile(io.BytesIO(path.read_bytes()))
    sections = {section.name: bytes(section.data()) for section in elf.iter_sections()}
    return {name: data for name, data in sections.items() if name.startswith(".text") and data}


def written(source: Path, folder: Path, form: str) -> str:
    """Assembly of a kernel, macros of xpulp.inc among it."""
    only = ("-E",) if source.suffix == ".S" else ("-S", "-fno-integrated-as")
    text = compiled(source, folder / "text", *only, f"-DME_XPULP_{form}").read_text()
    return "\n".join(line for line in text.split("\n") if not line.startswith("#"))


def assembled(text: str, folder: Path) -> dict[str, bytes]:
    """Instructions of an assembly text, mnemonics of Xpulpv2 by an assembler of our own."""
    source = folder / "numbered.S"
    before = '#include "me_register_numbers.h"\n'
    before += "#define SET(N, R) .set .Lnumber_x##N, N; .set .Lnumber_##R, N;\n"
    source.write_text(f"{before}ME_REGISTER_NUMBERS(SET)\n{native.words(text)}")
    return code(compiled(source, folder / "numbered.o", "-c"))


@pytest.mark.parametrize("source", [*ASSEMBLY, *C], ids=name)
def test_three_forms_are_the_same_bytes(source: Path, tmp_path: Path) -> None:
    insn = code(compiled(source, tmp_path / "insn.o", "-c"))
    assert insn or source.suffix == ".c"
    for form in ("WORD", "NATIVE"):
        text = written(source, tmp_path, form)
        assert ".insn" not in text.replace(".insn i 0x03, 6", ""), "but for the runtime's p.elw"
        assert bool(native.MNEMONIC.search(text)) <= (form == "NATIVE")
        assert assembled(text, tmp_path) == insn
        if source.suffix == ".S" and form == "WORD":
            is_for_binutils_2_28(text, insn)


def is_for_binutils_2_28(text: str, sections: Mapping[str, bytes]) -> None:
    """Directives that its assembler knows, and sections of whole lines: it dies where it has to
    add eight bytes."""
    found = {*re.findall(r"^\s*(?:\w+:)?\s*\.([a-z0-9]\w*)(?=\s|$)", text, re.MULTILINE)}
    assert {"macro", "word", "balignl"} <= found <= DIRECTIVES
    assert {*re.findall(r"\.option\s+(\w+)", text)} <= OPTIONS
    assert {len(data) % LINE_BYTES for data in sections.values()} == {0}


def test_a_wrong_mnemonic_is_seen(tmp_path: Path) -> None:
    assert native.words("1: p.mac a0, a1, a2") == (
        "1: .word 0x42000033 | .Lnumber_a0 << 7 | .Lnumber_a1 << 15 | .Lnumber_a2 << 20"
    )
    with pytest.raises(KeyError):
        native.words("    p.macs a0, a1, a2")
