# SPDX-License-Identifier: Apache-2.0
"""Object files of shared sources, compiled once for the same text."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from myoedge.system import cache, toolchain, tools

MAX_OBJECTS = 2048
INCLUDED = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ObjectOptions:
    """Options of a compilation to objects.

    root     folder that source names in the object are relative to
    flags    all flags that affect the machine code
    include  folders of headers
    """

    root: Path
    cc: toolchain.Compiler
    flags: Sequence[str]
    include: Sequence[Path]


def compile_objects(
    sources: Sequence[Path], options: ObjectOptions
) -> tuple[list[Path], tools.CompletedProcess]:
    """(objects, result of the first failed compilation, or of none)."""
    build = (sys.platform, platform.machine(), options.cc.version, *options.flags)
    folder, objects = tools.cache_folder("objects"), []
    for source in sources:
        digest = cache.digest(options.root, _with_headers(source, options), build)
        objects.append((source, folder / f"{digest}.o"))
    missing = [(source, path) for source, path in objects if not cache.is_cached(path)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = [*pool.map(lambda pair: _compile(pair[0], pair[1], options), missing)]
    if missing:
        cache.prune(folder.glob("*.o"), MAX_OBJECTS)
    rejected = (finished for finished in results if finished.returncode != 0)
    return [path for _, path in objects], next(rejected, tools.CompletedProcess(0, "", ""))


def _with_headers(source: Path, options: ObjectOptions) -> list[Path]:
    """A source and all our own headers that it includes, directly or through headers."""
    files, pending = [], [source]
    while pending:
        file = pending.pop()
        if file in files:
            continue
        files.append(file)
        names = INCLUDED.findall(file.read_text(encoding="utf-8"))
        for name in names:
            places = (folder / name for folder in (file.parent, *options.include))
            pending.extend([p.resolve() for p in places if p.is_file()][:1])
    return files


def _compile(source: Path, path: Path, options: ObjectOptions) -> tools.CompletedProcess:
    with tools.scratch() as folder:
        fresh = folder / "fresh.o"
        finished = toolchain.compile_object(
            source,
            fresh,
            root=options.root,
            cc=options.cc,
            flags=options.flags,
            include=options.include,
        )
        if finished.returncode == 0:
            cache.store(fresh, path)
        return finished
