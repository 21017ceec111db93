# SPDX-License-Identifier: Apache-2.0
"""C sources compiled to objects and shared libraries: cached, and loaded into this process."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import re
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from myoedge.errors import MyoedgeError
from myoedge.system import cache, toolchain, tools
from myoedge.system.toolchain import CompileOptions, Compiler

INCLUDED = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
RUN = re.compile(r"^#define me_run (\w+)_run$", re.MULTILINE)
PROGRAMS = ("main.c", "selftest.c")
KINDS = (".c", ".h", ".def")  # .def: tables that C files include
KERNELS = "library"  # folder of kernels that builds share
NOT_FOR_HOSTS = "firmware"  # folder of files for the chip

# By loader handle: a library opened twice is loaded once and has one arena.
_LOCKS: dict[int, threading.RLock] = {}


@dataclass(frozen=True, slots=True)
class Library:
    """A loaded shared library.

    lock   lock to hold during calls, because the C uses one static arena; a thread with several
    dependent calls, such as for a stream, holds it around all of them
    prefix   prefix of the network's C functions: <prefix>_run
    """

    path: Path
    handle: ctypes.CDLL = field(repr=False)
    lock: threading.RLock = field(repr=False)
    prefix: str = "me"


def build_library(
    src_dir: Path, cc: str = "zig", options: CompileOptions = toolchain.DEFAULT_OPTIONS
) -> Path:
    """Compile the C below a folder, without its programs (main.c, selftest.c), to a shared library.

    Cached by sources, compiler and flags. Errors: E280 no C, E281 disk full, E501 no compiler, E910
    the compiler rejects the C.
    """
    compiler = toolchain.compiler(cc)
    below = (f for f in src_dir.rglob("*") if f.suffix in KINDS and f.name not in PROGRAMS)
    files = sorted(f for f in below if NOT_FOR_HOSTS not in f.relative_to(src_dir).parts)
    if not any(file.suffix == ".c" for file in files):
        raise MyoedgeError("E280", f"no C files in {src_dir}")
    # Headers count too; a cache in a shared home folder serves several kinds of machines.
    target = (sys.platform, platform.machine(), compiler.version)
    digest = cache.digest(src_dir, files, (*target, *options.flags(compiler)))
    library = tools.cache_folder("libraries") / f"{digest}.so"

    def made() -> Path:
        if not cache.is_cached(library):
            with tools.scratch() as folder:
                fresh = folder / "library.so"
                _compile_library(src_dir, files, fresh, compiler, options)
                cache.store(fresh, library)
            cache.prune(library.parent)
        return library

    return cache.despite_removal(made)


def _compile_library(
    src_dir: Path, files: Sequence[Path], output: Path, cc: Compiler, options: CompileOptions
) -> None:
    """Compile a shared library; kernels are compiled without `defines` to objects that builds
    share. Errors: E281, E910."""
    include = sorted({file.parent.resolve() for file in files if file.suffix == ".h"})
    kernels, others = _kernels_and_others(src_dir, files)
    flags = ("-fPIC", *replace(options, defines=()).flags(cc))
    shared = ObjectOptions(src_dir.resolve(), cc, flags, include)
    objects, finished = compile_objects([kernel.resolve() for kernel in kernels], shared)
    if finished.returncode == 0:
        finished = toolchain.compile_library(others, output, cc, options, include, objects)
    if finished.returncode != 0:
        says = finished.stderr.strip()
        first = "\n".join(says.splitlines()[:20]) or f"exit code {finished.returncode}"
        facts = {"folder": src_dir, "compiler": cc.version, "output": first}
        disk_full = cache.disk_full_error(says)
        raise disk_full or MyoedgeError("E910", "the C does not compile", facts)


def _kernels_and_others(src_dir: Path, files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return the C files of the kernels, and all other C files."""
    kernels: list[Path] = []
    others: list[Path] = []
    for file in files:
        if file.suffix == ".c":
            is_kernel = file.resolve().is_relative_to((src_dir / KERNELS).resolve())
            (kernels if is_kernel else others).append(file)
    return kernels, others


def open_library(path: Path) -> Library:
    """Load a shared library with local symbols.

    A path is loaded once per process; a later replacement of the file is not noticed.
    """
    handle = ctypes.CDLL(str(path.absolute()), mode=os.RTLD_LOCAL | os.RTLD_NOW)
    return Library(path, handle, _LOCKS.setdefault(handle._handle, threading.RLock()))


def load_library(
    src_dir: Path, cc: str = "zig", options: CompileOptions = toolchain.DEFAULT_OPTIONS
) -> Library:
    """Compile and load the C below a folder (build_library, open_library); a cached file that does
    not load is compiled again once."""
    path, prefix = build_library(src_dir, cc, options), c_prefix(src_dir)
    try:
        return replace(open_library(path), prefix=prefix)
    except OSError:
        path.unlink(missing_ok=True)
        return replace(open_library(build_library(src_dir, cc, options)), prefix=prefix)


def c_prefix(src_dir: Path) -> str:
    """Return the prefix of a network's C names from the network.h among its sources; "me" for
    sources without a prefix."""
    header = src_dir / "network.h"
    found = RUN.search(header.read_text(encoding="utf-8")) if header.is_file() else None
    return found[1] if found else "me"


# --- objects --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ObjectOptions:
    """Options of a compilation to objects.

    root     folder to which source names in the object are relative
    flags    all flags that affect the machine code
    include  folders of headers
    """

    root: Path
    cc: Compiler
    flags: Sequence[str]
    include: Sequence[Path]


def compile_objects(
    sources: Sequence[Path], options: ObjectOptions
) -> tuple[list[Path], tools.CompletedProcess]:
    """Compile sources to objects; return the objects, and the result of the first compilation that
    failed, or a successful result."""
    build = (sys.platform, platform.machine(), options.cc.version, *options.flags)
    folder, objects = tools.cache_folder("objects"), []
    included = functools.cache(lambda file: _direct_includes(file, options))
    for source in sources:
        digest = cache.digest(options.root, _source_and_headers(source, included), build)
        objects.append((source, folder / f"{digest}.o"))
    missing = [(source, path) for source, path in objects if not cache.is_cached(path)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = [*pool.map(lambda pair: _compile_object(pair[0], pair[1], options), missing)]
    if missing:
        cache.prune(folder)
    rejected = (finished for finished in results if finished.returncode != 0)
    return [path for _, path in objects], next(rejected, tools.CompletedProcess(0, "", ""))


def _source_and_headers(source: Path, included: Callable[[Path], list[Path]]) -> list[Path]:
    """Return a source and all headers of myoedge that it includes, directly or indirectly."""
    files, pending = [], [source]
    while pending:
        file = pending.pop()
        if file not in files:
            files.append(file)
            pending.extend(included(file))
    return files


def _direct_includes(file: Path, options: ObjectOptions) -> list[Path]:
    """Return the headers of myoedge that a file includes directly."""
    found = []
    for name in INCLUDED.findall(file.read_text(encoding="utf-8")):
        places = (os.path.normpath(folder / name) for folder in (file.parent, *options.include))
        found += [Path(place) for place in places if os.path.isfile(place)][:1]
    return found


def _compile_object(source: Path, path: Path, options: ObjectOptions) -> tools.CompletedProcess:
    with tools.scratch() as folder:
        fresh = folder / "fresh.o"
        flags, include = options.flags, options.include
        finished = toolchain.compile_object(source, fresh, options.cc, flags, include, options.root)
        if finished.returncode == 0:
            cache.store(fresh, path)
        return finished
