# SPDX-License-Identifier: Apache-2.0
"""What builds share is compiled once: the text of a file and of all its headers decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from myoedge.system import toolchain, tools
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
