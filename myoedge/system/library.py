# SPDX-License-Identifier: Apache-2.0
"""C sources -> a shared library in this process: compiled once, cached, loaded."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from myoedge.errors import MyoedgeError
from myoedge.system import cache as cached
from myoedge.system import toolchain
from myoedge.system import tools as tool
from myoedge.system.objects import Recipe, make_objects

LIBRARIES_KEPT = 64
PROGRAMS = ("main.c", "selftest.c")
KINDS = (".c", ".h", ".def")  # .def: tables that C files include
KERNELS = "library"  # the folder of what builds share
NOT_FOR_HOSTS = "firmware"  # the folder of what runs on the chip alone

# By handle of the loader: a library opened twice is loaded once and has one arena.
_LOCKS: dict[int, threading.Lock] = {}


@dataclass(frozen=True, slots=True)
class Library:
    """A loaded library; `lock` serialises its calls, as the C works in one static arena."""

    path: Path
    handle: ctypes.CDLL = field(repr=False)
    lock: threading.Lock = field(repr=False)


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """How C is compiled whatever a caller asks for."""

    optimize: str = "-O2"
    warnings: Sequence[str] = toolchain.WARNINGS


AS_GENERATED = CompileOptions()


def build_library(
    src_dir: Path,
    *,
    cc: str = "zig",
    sanitize: Sequence[str] = (),
    defines: Sequence[str] = (),
    how: CompileOptions = AS_GENERATED,
) -> Path:
    """The shared library of the C under a folder, without its programs (main.c, selftest.c).

    Compiled once for the same sources, compiler and flags, then taken from the cache. Raises E280
    where there is no C, E281 where the disk is full, E501 without a compiler, E910 where the
    compiler rejects the C.
    """
    found = toolchain.compiler(cc)
    files = _source_files(src_dir)
    # The headers decide too, and a cache in a shared home serves machines of several kinds.
    target = (sys.platform, platform.machine(), found.version)
    flags = toolchain.compile_flags(found, sanitize, how.optimize, how.warnings, defines)
    digest = cached.digest(src_dir, files, (*target, *flags))
    library = tool.cache_folder("libraries") / f"{digest}.so"
    if cached.taken(library):
        return library
    with tool.scratch() as folder:
        fresh = folder / "library.so"
        finished = _compiled(src_dir, files, fresh, found, sanitize, defines, how)
        if finished.returncode != 0:
            raise _rejected(src_dir, found, finished)
        cached.keep(fresh, library)
    cached.prune(library.parent.glob("*.so"), LIBRARIES_KEPT)
    return library


def _compiled(
    src_dir: Path,
    files: Sequence[Path],
    fresh: Path,
    cc: toolchain.Compiler,
    sanitize: Sequence[str],
    defines: Sequence[str],
    how: CompileOptions,
) -> tool.Finished:
    """Kernels as objects, which know nothing of `defines`; then the rest, and all of it linked."""
    include = sorted({file.parent for file in files if file.suffix == ".h"})
    kernels = [file for file in files if _shared(src_dir, file)]
    flags = toolchain.compile_flags(cc, sanitize, how.optimize, how.warnings)
    recipe = Recipe(src_dir.resolve(), cc, ("-fPIC", *flags), include)
    objects, finished = make_objects([kernel.resolve() for kernel in kernels], recipe)
    if finished.returncode != 0:
        return finished
    return toolchain.compile_library(
        [file for file in files if file.suffix == ".c" and file not in kernels],
        fresh,
        cc=cc,
        sanitize=sanitize,
        optimize=how.optimize,
        warnings=how.warnings,
        include=include,
        defines=defines,
        objects=objects,
    )


def _shared(src_dir: Path, file: Path) -> bool:
    """Whether builds have a file in common: C of the folder of kernels."""
    below = (src_dir / KERNELS).resolve()
    return file.suffix == ".c" and file.resolve().is_relative_to(below)


def _source_files(src_dir: Path) -> list[Path]:
    found = [f for f in src_dir.rglob("*") if f.suffix in KINDS and f.name not in PROGRAMS]
    files = [f for f in found if NOT_FOR_HOSTS not in f.relative_to(src_dir).parts]
    if not any(file.suffix == ".c" for file in files):
        raise MyoedgeError("E280", f"no C files in {src_dir}")
    return sorted(files)


def _rejected(src_dir: Path, cc: toolchain.Compiler, finished: tool.Finished) -> MyoedgeError:
    says = finished.stderr.strip()
    if full := cached.out_of_room(says):
        return full
    first = "\n".join(says.splitlines()[:20]) or f"exit code {finished.returncode}"
    facts_of_bug = {"folder": src_dir, "compiler": cc.version, "says": first}
    return MyoedgeError("E910", "the C does not compile", facts_of_bug)


def open_library(path: Path) -> Library:
    """Load a shared library, its symbols out of sight of all others.

    A path is loaded once a process: a file that takes its place later is not seen.
    """
    handle = ctypes.CDLL(str(path.absolute()), mode=os.RTLD_LOCAL | os.RTLD_NOW)
    return Library(path, handle, _LOCKS.setdefault(handle._handle, threading.Lock()))


def load_library(
    src_dir: Path,
    *,
    cc: str = "zig",
    sanitize: Sequence[str] = (),
    defines: Sequence[str] = (),
    how: CompileOptions = AS_GENERATED,
) -> Library:
    """build_library and open_library; a cached file that does not load is built anew, once."""
    path = build_library(src_dir, cc=cc, sanitize=sanitize, defines=defines, how=how)
    try:
        return open_library(path)
    except OSError:
        path.unlink(missing_ok=True)
        again = build_library(src_dir, cc=cc, sanitize=sanitize, defines=defines, how=how)
        return open_library(again)


def with_symbols(library: Library, symbols: Sequence[str]) -> Library:
    """The library itself. Raises AttributeError where it lacks one of the symbols."""
    for symbol in symbols:
        getattr(library.handle, symbol)
    return library
