# SPDX-License-Identifier: Apache-2.0
"""What builds share is compiled once: the text of a file and of all its headers decides."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from myoedge.system import toolchain, tools, zig_clang
from myoedge.system.library import ObjectOptions, compile_objects

FILES = {
    "library/a.c": '#include "a.h"\nint a(void) { return A; }\n',
    "library/a.h": '#pragma once\n#  include  "b.h"\n#define A B\n',
    "b.h": '#pragma once\n#include "library/a.h"\n#define B 1\n',
    "other.h": "#define OTHER 1\n",
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own."""
    monkeypatch.setattr(tools, "_writable_root", lambda _: tmp_path / "cache")
    return tmp_path / "cache"


def made(folder: Path, *flags: str, **texts: str) -> tuple[Path, tools.CompletedProcess]:
    """The object of library/a.c in a folder of its own, some files with another text."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts.get(path.stem, text), encoding="utf-8")
    cc = toolchain.compiler()
    recipe = ObjectOptions(
        folder, cc, ("-O1", "-Wall", "-Werror", *flags), (folder, folder / "library")
    )
    objects, finished = compile_objects([folder / "library/a.c"], recipe)
    return objects[0], finished


def test_the_name_follows_text_headers_and_flags(tmp_path: Path, cache: Path) -> None:
    first, finished = made(tmp_path / "one")
    assert finished.returncode == 0
    assert made(tmp_path / "two")[0] == first
    assert made(tmp_path / "three", other="#define OTHER 2\n")[0] == first
    others = [
        made(tmp_path / "four", b="#pragma once\n#define B 2\n")[0],
        made(tmp_path / "five", a="int a(void) { return 3; }\n")[0],
        made(tmp_path / "six", "-DTWO")[0],
    ]
    assert len({first, *others}) == 4


def test_compiled_once(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path / "one")
    monkeypatch.setattr(
        toolchain, "compile_sources", lambda *_, **__: pytest.fail("compiled again")
    )
    made(tmp_path / "two")


def test_an_object_that_was_cut_off_is_made_anew(tmp_path: Path, cache: Path) -> None:
    path, _ = made(tmp_path / "one")
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    made(tmp_path / "one")
    assert path.read_bytes() == whole


def test_what_the_compiler_rejects_is_said_and_not_kept(tmp_path: Path, cache: Path) -> None:
    path, finished = made(tmp_path / "one", a="int a(void) { int unused; return 0; }\n")
    assert finished.returncode != 0
    assert "unused" in finished.stderr
    assert not path.exists()


# --- clang without zig's driver -------------------------------------------------------------------


HEADER = "#define ME_NAME __FILE__\nstatic inline int twice(int x) { return 2 * x; }\n"
SOURCE = """\
#include "own.h"
#include <stdint.h>
int32_t own(int32_t x);
int32_t own(int32_t x)
{
    return (int32_t)sizeof(ME_NAME) + twice(x);
}
const char *own_name(void);
const char *own_name(void)
{
    return ME_NAME;
}
"""
CC = toolchain.compiler("zig")
FLAGS = {
    "host": ("-fPIC", *toolchain.DEFAULT_OPTIONS.flags(CC)),
    "sanitized": ("-fPIC", *toolchain.CompileOptions(sanitize=("undefined",)).flags(CC)),
    "chip": toolchain.firmware_flags(CC, ("ME_GAP9",)),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "include").mkdir()
    (tmp_path / "include/own.h").write_text(HEADER)
    (tmp_path / "own.c").write_text(SOURCE)
    return tmp_path / "own.c"


def sections(path: Path) -> dict[str, bytes | int]:
    """Name -> code, or the size of constants and debug information, whose texts `zig cc` sorts by a
    link of the one object."""
    found = [*ELFFile(io.BytesIO(path.read_bytes())).iter_sections()]
    code = {x.name: x.data() for x in found if x.name.startswith(".text")}
    kinds = (".rodata", ".debug_info", ".debug_line")
    sizes = {x.name: x.data_size for x in found if x.name.startswith(kinds)}
    return {**code, **sizes}


def compiled(source: Path, flags: tuple[str, ...], name: str, *, directly: bool) -> Path:
    output, given = source.parent / name, ([source.parent / "include"], source.parent)
    if directly:
        finished = toolchain.compile_object(source, output, CC, flags, *given)
    else:
        include, root = given
        finished = toolchain.compile_sources(
            [source], output, CC, ("-c", *flags), include, root=root
        )
    assert finished.returncode == 0, finished.stderr
    return output


@pytest.mark.parametrize("target", FLAGS)
def test_objects_are_those_of_zig_cc(
    target: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flags come from one dry run; folders of this machine are not in the object."""
    started: list[str] = []

    def counting(command: list[str], **options: object) -> tools.CompletedProcess:
        started.append(command[1])
        return tools.run(command, **options)  # type: ignore[arg-type]

    zig_clang._frontend_arguments.cache_clear()
    monkeypatch.setattr(zig_clang, "run", counting)
    mine, again = (compiled(source, FLAGS[target], x, directly=True) for x in ("a.o", "b.o"))
    assert started == ["cc", "-cc1", "-cc1"]
    assert mine.read_bytes() == again.read_bytes()
    assert str(source.parent).encode() not in mine.read_bytes()
    usual = sections(compiled(source, FLAGS[target], "c.o", directly=False))
    assert any(isinstance(x, bytes) and x for x in usual.values())
    assert sections(mine) == usual


@pytest.mark.parametrize(
    "printed", ["", ' "zig" "-cc1" "-o" "x"\n', ' "zig" "ld"\n "zig" "-cc1"\n']
)
def test_a_dry_run_of_another_form_leaves_the_object_to_zig_cc(
    printed: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zig_clang._frontend_arguments.cache_clear()
    monkeypatch.setattr(zig_clang, "run", lambda *a, **o: tools.CompletedProcess(0, "", printed))
    try:
        output = compiled(source, FLAGS["chip"], "a.o", directly=True)
    finally:
        zig_clang._frontend_arguments.cache_clear()
    monkeypatch.undo()
    usual = compiled(source, FLAGS["chip"], "c.o", directly=False)
    assert output.read_bytes() == usual.read_bytes()


def test_zig_cc_tells_why_a_file_is_rejected(source: Path) -> None:
    source.write_text("int own(void) { return unknown; }\n")
    given = (FLAGS["host"], [], source.parent)
    finished = toolchain.compile_object(source, source.with_suffix(".o"), CC, *given)
    assert finished.returncode != 0
    assert "own.c:1:24" in finished.stderr
    assert "unknown" in finished.stderr
