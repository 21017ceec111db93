# SPDX-License-Identifier: Apache-2.0
"""The program for the chip as a file: the same anywhere, nothing forbidden, nothing too large."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import myoedge
from myoedge.codegen.firmware import Firmware, check_instructions, instructions, link
from myoedge.codegen.render import template_dir
from myoedge.codegen.runtime import runtime
from myoedge.errors import MyoedgeError
from myoedge.system import toolchain
from tests.firmware.programs import riscv_gcc

EMPTY = """\
#include "firmware/cluster.h"
int main(void);
static void work(int32_t core, void *unused) { (void)core, (void)unused; }
int main(void) { me_cluster_run(work, 0); return 0; }
"""
PLANTED = """\
int main(void);
void suspect(void);
__attribute__((noinline)) void suspect(void)
{
    __asm__ volatile("%s");
}
int main(void) { suspect(); return 0; }
"""
# What each assembles to is in the manuals; the encodings are not taken from the table under test.
FORBIDDEN = {
    "pv.shuffle2.b a0, a1, a2": ".insn r 0x57, 1, 0x64, a0, a1, a2",
    "pv.shuffle2.h a0, a1, a2": ".insn r 0x57, 0, 0x64, a0, a1, a2",
    "pv.shuffle.sci.h a0, a1, 3": ".insn r 0x57, 6, 0x61, a0, a1, x1",
    "flw fa0, 4(a0)": ".word 0x00452507",
    "fsw fa0, 4(a0)": ".word 0x00a52227",
    "fadd.s fa0, fa1, fa2": ".word 0x00c5f553",
    "fmadd.s fa0, fa0, fa1, fa2": ".word 0x60b57543",
    "vfadd.s of halves": ".word 0x82c58533",
    "c.flw fa0, 0(a0)": ".half 0x6108",
    "c.fswsp fa0, 0(sp)": ".half 0xe02a",
    "fsrm a0": ".word 0x00251073",
    "fsrmi 1": ".word 0x0020d073",
    "csrs fcsr, a0": ".word 0x00352073",
}
ALLOWED = {
    "p.extractr a0, a1, a2": ".insn r 0x33, 0, 0x40, a0, a1, a2",
    "pv.shuffle.b a0, a1, a2": ".insn r 0x57, 1, 0x60, a0, a1, a2",
    "pv.sdotsp.b a0, a1, a2": ".insn r 0x57, 1, 0x5c, a0, a1, a2",
    "p.lw a0, 4(a1!)": ".insn i 0x0b, 2, a0, a1, 4",
    "csrr a0, mhartid": "csrr a0, mhartid",
    "c.lw a0, 0(a0)": ".half 0x4108",
}


def files(main: str) -> Mapping[str, str]:
    includes = sorted((template_dir() / "include").iterdir())
    return {**{p.name: p.read_text() for p in includes}, **runtime(), "main.c": main}


@pytest.fixture(scope="module")
def empty() -> Firmware:
    return link(files(EMPTY))


def test_same_bytes_from_another_folder_and_no_place_inside(
    empty: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYOEDGE_CACHE", str(tmp_path / "another cache"))
    again = link(files(EMPTY))
    assert again.elf == empty.elf
    for place in (str(tmp_path), sys.prefix, str(Path(myoedge.__file__).parents[1]), "/home/"):
        assert place.encode() not in empty.elf, place


def test_same_bytes_with_an_environment_behind_a_link(
    empty: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """zig resolves links in its own path: the folder in debug information was another name."""
    monkeypatch.setenv("MYOEDGE_CACHE", str(tmp_path / "cache"))
    zig = toolchain.compiler()
    link_to_zig = tmp_path / "environment"
    link_to_zig.symlink_to(Path(zig.command[0]).parent)
    command = (str(link_to_zig / Path(zig.command[0]).name), *zig.command[1:])
    behind_link = toolchain.Compiler(zig.name, command, zig.version)
    monkeypatch.setattr(toolchain, "_zig_command", lambda: behind_link)
    assert link(files(EMPTY)).elf == empty.elf


def test_a_program_is_linked_once_and_again_where_its_file_is_damaged(
    another_cache: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = another_cache("objects")
    first = link(files(EMPTY))
    (path,) = (cache / "programs").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert link(files(EMPTY)) == first
    monkeypatch.setattr(toolchain, "compile_firmware", lambda *_: pytest.fail("linked again"))
    assert link(files(EMPTY)) == first
    with pytest.raises(pytest.fail.Exception, match="linked again"):
        link(files(EMPTY), defines=("ME_OTHER",))
    with pytest.raises(pytest.fail.Exception, match="linked again"):
        link({**files(EMPTY), "more.h": ""})


def test_what_a_program_says_of_itself(empty: Firmware) -> None:
    assert empty.compiler.startswith("zig ")
    assert empty.program.symbols["_start"] == 0x1C010000
    assert 500 < sum(len(code) for _, code in empty.program.code) < 8000
    entry = empty.program.symbols["me_cluster_run"]
    assert empty.program.function_at(entry) == "me_cluster_run"
    assert empty.program.line_at(entry).startswith("cluster.c:")
    nowhere = 0x1C180000
    assert (empty.program.function_at(nowhere), empty.program.line_at(nowhere)) == ("", "")


def test_code_is_read_to_its_end(empty: Firmware) -> None:
    for address, code in empty.program.code:
        read = list(instructions(code, address))
        assert sum(size for _, size, _ in read) == len(code)
        assert {size for _, size, _ in read} == {2, 4}


@pytest.mark.parametrize("text", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_what_must_not_be_there_is_found(text: str) -> None:
    planted = link(files(PLANTED % text))
    with pytest.raises(MyoedgeError) as caught:
        check_instructions(planted)
    assert caught.value.code == "E930"
    assert "suspect, main.c:5" in str(caught.value)


def test_what_a_function_finds_out_for_itself_may_be_there() -> None:
    text = PLANTED.replace("suspect", "me_interleave_columns")
    check_instructions(link(files(text % FORBIDDEN["pv.shuffle2.b a0, a1, a2"])))
    with pytest.raises(MyoedgeError):
        check_instructions(link(files(text % FORBIDDEN["pv.shuffle2.h a0, a1, a2"])))


def test_what_may_be_there_passes() -> None:
    check_instructions(link(files(PLANTED % "; ".join(ALLOWED.values()))))


@pytest.mark.parametrize(("region", "section"), [("L2", ".noinit"), ("L1", ".l1")])
def test_a_program_that_is_too_large_says_by_how_much(region: str, section: str) -> None:
    has = {"L2": 0x180000, "L1": 0x20000}[region]
    place = f'__attribute__((section("{section}"), used, retain))'
    with pytest.raises(MyoedgeError) as caught:
        link(files(f"{EMPTY}{place} char large[{has}];\n"))
    assert caught.value.code == "E303"
    facts = dict(caught.value.notice.facts)
    assert facts["has"] == f"{has:,} B"
    assert int(facts["needs"].split()[0].replace(",", "")) > has
    assert region in str(caught.value)


def test_c_that_does_not_compile_is_a_bug() -> None:
    with pytest.raises(MyoedgeError) as caught:
        link(files("int main(void) { return nothing; }\n"))
    assert caught.value.code == "E912"
    assert "nothing" in str(caught.value)


@pytest.mark.skipif(riscv_gcc() is None, reason="riscv64-unknown-elf-gcc is not installed")
def test_a_stock_compiler_makes_it_too() -> None:
    made = link(files(EMPTY), cc="riscv64-unknown-elf-gcc")
    check_instructions(made)
    assert made.program.symbols["_start"] == 0x1C010000
    assert not toolchain.compiler("riscv64-unknown-elf-gcc").is_zig


def test_no_function_is_both_inline_and_not() -> None:
    """gcc warns of it, and warnings are errors in a build's Makefile."""
    both = re.compile(r"\binline\b[^\n(]*\(\(noinline|noinline\)\)[^\n;]*\binline\b")
    places = (template_dir(), Path(myoedge.__file__).parent / "extensions")
    files = (p for place in places for p in place.rglob("*.[ch]"))
    sources = [p for p in files if both.search(p.read_text())]
    assert sources == []
