# SPDX-License-Identifier: Apache-2.0
"""Files that builds share -> objects: compiled once for the same text."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from myoedge.system import cache as cached
from myoedge.system import toolchain
from myoedge.system import tools as tool

OBJECTS_KEPT = 2048
INCLUDED = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How sources become objects.

    root     folder that names in the object are relative to
    flags    every flag that decides the machine code
    include  where headers are looked for
    """

    root: Path
    cc: toolchain.Compiler
    flags: Sequence[str]
    include: Sequence[Path]


def make_objects(sources: Sequence[Path], recipe: Recipe) -> tuple[list[Path], tool.Finished]:
    """(objects, what the compiler said of the first source that it rejects, or of none)."""
    wanted = [(source, _place(source, recipe)) for source in sources]
    missing = [(source, place) for source, place in wanted if not cached.taken(place)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = [*pool.map(lambda pair: _made(pair[0], pair[1], recipe), missing)]
    if missing:
        cached.prune(tool.cache_folder("objects").glob("*.o"), OBJECTS_KEPT)
    rejected = (finished for finished in results if finished.returncode != 0)
    return [place for _, place in wanted], next(rejected, tool.Finished(0, "", ""))


def _place(source: Path, recipe: Recipe) -> Path:
    build = (sys.platform, platform.machine(), recipe.cc.version, *recipe.flags)
    digest = cached.digest(recipe.root, _read(source, recipe), build)
    return tool.cache_folder("objects") / f"{digest}.o"


def _read(source: Path, recipe: Recipe) -> list[Path]:
    """A source and all headers of our own that it includes, over others too."""
    found, todo = [], [source]
    while todo:
        file = todo.pop()
        if file in found:
            continue
        found.append(file)
        names = INCLUDED.findall(file.read_text(encoding="utf-8"))
        for name in names:
            places = (folder / name for folder in (file.parent, *recipe.include))
            todo.extend([p.resolve() for p in places if p.is_file()][:1])
    return found


def _made(source: Path, place: Path, recipe: Recipe) -> tool.Finished:
    with tool.scratch() as folder:
        fresh = folder / "fresh.o"
        finished = toolchain.compile_object(
            source,
            fresh,
            root=recipe.root,
            cc=recipe.cc,
            flags=recipe.flags,
            include=recipe.include,
        )
        if finished.returncode == 0:
            cached.keep(fresh, place)
        return finished
