# SPDX-License-Identifier: Apache-2.0
"""C sources -> a shared library in this process: compiled once, cached, loaded."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from myoedge import tool
from myoedge.errors import MyoedgeError

LIBRARIES_KEPT = 64
SEAL_BYTES = 32
LIBRARY_BYTES = 4 << 20  # the largest: one with zig's UBSan in it
SCRATCH_KEPT_S = 24 * 3600
PROGRAMS = ("main.c", "selftest.c")
KINDS = (".c", ".h", ".def")  # .def: tables that C files include
KERNELS = "library"  # the folder of what builds share
NOT_FOR_HOSTS = "firmware"  # the folder of what runs on the chip alone

_NO_ROOM = ("No space left", "NoSpaceLeft", "File size limit", "FileTooBig", "quota exceeded")

# By handle of the loader: a library opened twice is loaded once and has one arena.
_LOCKS: dict[int, threading.Lock] = {}


@dataclass(frozen=True, slots=True)
class Library:
    """A loaded library; `lock` serialises its calls, as the C works in one static arena."""

    path: Path
    handle: ctypes.CDLL = field(repr=False)
    lock: threading.Lock = field(repr=False)


@dataclass(frozen=True, slots=True)
class How:
    """How C is compiled whatever a caller asks for."""

    optimize: str = "-O2"
    warnings: Sequence[str] = tool.WARNINGS


AS_GENERATED = How()


def build_library(
    src_dir: Path,
    *,
    cc: str = "zig",
    sanitize: Sequence[str] = (),
    defines: Sequence[str] = (),
    how: How = AS_GENERATED,
) -> Path:
    """The shared library of the C under a folder, without its programs (main.c, selftest.c).

    Compiled once for the same sources, compiler and flags, then taken from the cache. Raises E280
    where there is no C, E281 where the disk is full, E501 without a compiler, E910 where the
    compiler rejects the C.
    """
    found = tool.compiler(cc)
    files = _source_files(src_dir)
    # The headers decide too, and a cache in a shared home serves machines of several kinds.
    target = (sys.platform, platform.machine(), found.version)
    flags = tool.compile_flags(found, sanitize, how.optimize, how.warnings, defines)
    library = tool.cache_folder("libraries") / f"{_digest(src_dir, files, (*target, *flags))}.so"
    with suppress(FileNotFoundError):
        if _whole(library):
            os.utime(library)  # the newest are kept
            return library
    with tool.scratch() as folder:
        fresh = folder / "library.so"
        kernels = _kernel_files(src_dir, files)
        sources = [file for file in files if file.suffix == ".c" and file not in kernels]
        include = sorted({file.parent for file in files if file.suffix == ".h"})
        finished = tool.compile_library(
            sources,
            fresh,
            cc=found,
            sanitize=sanitize,
            optimize=how.optimize,
            warnings=how.warnings,
            include=include,
            defines=defines,
            objects=[_object(src_dir, k, files, found, sanitize, how) for k in kernels],
        )
        if finished.returncode != 0:
            raise _rejected(src_dir, found, finished)
        _seal(fresh)
        # Whole or not at all, whoever else builds the same just now.
        os.replace(fresh, library)
    prune(library.parent, LIBRARIES_KEPT)
    return library


def _kernel_files(src_dir: Path, files: Iterable[Path]) -> list[Path]:
    below = (src_dir / KERNELS).resolve()
    return [f for f in files if f.suffix == ".c" and f.resolve().is_relative_to(below)]


def _object(
    src_dir: Path,
    kernel: Path,
    files: Iterable[Path],
    cc: tool.Compiler,
    sanitize: Sequence[str],
    how: How,
) -> Path:
    """A kernel as an object: compiled once for the same text, whatever network it is part of."""
    headers = [f for f in files if f.suffix == ".h" and f.name.startswith("me_")]
    flags = tool.compile_flags(cc, sanitize, how.optimize, how.warnings)
    target = (sys.platform, platform.machine(), cc.version)
    digest = _digest(src_dir, (kernel, *headers), (*target, *flags))
    found = tool.cache_folder("objects") / f"{digest}.o"
    if found.is_file() and _whole(found):
        return found
    with tool.scratch() as folder:
        fresh = folder / "kernel.o"
        include = sorted({file.parent for file in headers})
        finished = tool.compile_object(kernel, fresh, cc=cc, flags=flags, include=include)
        if finished.returncode != 0:
            raise _rejected(src_dir, cc, finished)
        _seal(fresh)
        os.replace(fresh, found)
    return found


def _seal(library: Path) -> None:
    """Appends its own sha256, which loaders pass over: one that was cut off would crash Python."""
    try:
        with library.open("r+b") as file:
            file.write(hashlib.sha256(file.read()).digest())
    except OSError as error:
        raise out_of_room(error.strerror or "") or error from None


def _whole(library: Path) -> bool:
    data = library.read_bytes()
    return hashlib.sha256(data[:-SEAL_BYTES]).digest() == data[-SEAL_BYTES:]


def _source_files(src_dir: Path) -> list[Path]:
    found = [f for f in src_dir.rglob("*") if f.suffix in KINDS and f.name not in PROGRAMS]
    files = [f for f in found if NOT_FOR_HOSTS not in f.relative_to(src_dir).parts]
    if not any(file.suffix == ".c" for file in files):
        raise MyoedgeError("E280", f"no C files in {src_dir}")
    return sorted(files)


def _digest(src_dir: Path, files: Iterable[Path], build: Iterable[str]) -> str:
    sha = hashlib.sha256("\n".join(build).encode())
    for file in files:
        data = file.read_bytes()
        sha.update(f"\n{file.relative_to(src_dir).as_posix()} {len(data)}\n".encode())
        sha.update(data)
    return sha.hexdigest()


def _rejected(src_dir: Path, cc: tool.Compiler, finished: tool.Finished) -> MyoedgeError:
    says = finished.stderr.strip()
    if full := out_of_room(says):
        return full
    first = "\n".join(says.splitlines()[:20]) or f"exit code {finished.returncode}"
    facts_of_bug = {"folder": src_dir, "compiler": cc.version, "says": first}
    return MyoedgeError("E910", "the C does not compile", facts_of_bug)


def out_of_room(says: str) -> MyoedgeError | None:
    """E281 where the cache is full, as the compiler says or as a try shows; else None."""
    if not any(text in says for text in _NO_ROOM) and _has_room():
        return None
    tries = ("make room there", "MYOEDGE_CACHE=<folder on another disk>")
    return MyoedgeError(
        "E281", "no room left to compile", {"cache": tool.cache_folder("libraries")}, tries
    )


def _has_room() -> bool:
    """Whether the cache takes a file of the size of a library; full, zig only says "aborted"."""
    try:
        with tool.scratch() as folder:
            (folder / "probe").write_bytes(bytes(LIBRARY_BYTES))
    except OSError:
        return False
    return True


def prune(libraries: Path, keep: int) -> None:
    """Remove all but the newest `keep` libraries, and what killed compilations left for a day."""
    dated = sorted((_age_s(path), path) for path in libraries.glob("*.so"))
    for _, path in dated[keep:]:
        path.unlink(missing_ok=True)
    for folder in tool.cache_folder("scratch").iterdir():
        if _age_s(folder) > SCRATCH_KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)


def _age_s(path: Path) -> float:
    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime
    return 0.0  # somebody else was faster


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
    how: How = AS_GENERATED,
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
