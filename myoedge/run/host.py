# SPDX-License-Identifier: Apache-2.0
"""The host rung: generated C as a shared library in this process, with the integers of the chip."""

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

import numpy as np
from numpy.typing import DTypeLike

from myoedge import tool
from myoedge.errors import MyoedgeError
from myoedge.ir import Array, Shape

Spec = tuple[Shape, DTypeLike]

ENTRY = "me_run"
LIBRARIES_KEPT = 64
LIBRARY_BYTES = 4 << 20  # the largest: one with zig's UBSan in it
SCRATCH_KEPT_S = 24 * 3600
PROGRAMS = ("main.c", "selftest.c")

_SIGNATURE = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_void_p)
)
_TRACE = ctypes.CFUNCTYPE(None, ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32)
_NO_ROOM = ("No space left", "NoSpaceLeft", "File size limit", "FileTooBig", "quota exceeded")

# By handle of the loader: a library opened twice is loaded once and has one arena.
_LOCKS: dict[int, threading.Lock] = {}


@dataclass(frozen=True, slots=True)
class Library:
    """A loaded library; `lock` serialises its calls, as the C works in one static arena."""

    path: Path
    handle: ctypes.CDLL = field(repr=False)
    lock: threading.Lock = field(repr=False)


def build_library(
    src_dir: Path, *, cc: str = "zig", sanitize: Sequence[str] = (), defines: Sequence[str] = ()
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
    flags = tool.compile_flags(found, sanitize, defines=defines)
    library = tool.cache_folder("libraries") / f"{_digest(src_dir, files, (*target, *flags))}.so"
    with suppress(FileNotFoundError):
        os.utime(library)  # the newest are kept
        return library
    _compile_into(library, src_dir, files, found, sanitize, defines)
    prune(library.parent, LIBRARIES_KEPT)
    return library


def _source_files(src_dir: Path) -> list[Path]:
    files = [f for f in sorted(src_dir.rglob("*.[ch]")) if f.name not in PROGRAMS]
    if not any(file.suffix == ".c" for file in files):
        raise MyoedgeError("E280", f"no C files in {src_dir}")
    return files


def _digest(src_dir: Path, files: Iterable[Path], build: Iterable[str]) -> str:
    sha = hashlib.sha256("\n".join(build).encode())
    for file in files:
        data = file.read_bytes()
        sha.update(f"\n{file.relative_to(src_dir).as_posix()} {len(data)}\n".encode())
        sha.update(data)
    return sha.hexdigest()


def _compile_into(
    library: Path,
    src_dir: Path,
    files: list[Path],
    cc: tool.Compiler,
    sanitize: Sequence[str],
    defines: Sequence[str],
) -> None:
    sources = [file for file in files if file.suffix == ".c"]
    include = sorted({file.parent for file in files if file.suffix == ".h"})
    with tool.scratch() as folder:
        fresh = folder / "library.so"
        finished = tool.compile_library(
            sources, fresh, cc=cc, sanitize=sanitize, include=include, defines=defines
        )
        if finished.returncode != 0:
            raise _rejected(src_dir, cc, finished)
        # Whole or not at all, whoever else builds the same just now.
        os.replace(fresh, library)


def _rejected(src_dir: Path, cc: tool.Compiler, finished: tool.Finished) -> MyoedgeError:
    says = finished.stderr.strip()
    if any(text in says for text in _NO_ROOM) or not _has_room():
        tries = ("make room there", "MYOEDGE_CACHE=<folder on another disk>")
        facts = {"cache": tool.cache_folder("libraries")}
        return MyoedgeError("E281", "no room left to compile for the host", facts, tries)
    first = "\n".join(says.splitlines()[:20]) or f"exit code {finished.returncode}"
    facts_of_bug = {"folder": src_dir, "compiler": cc.version, "says": first}
    return MyoedgeError("E910", "the generated C does not compile", facts_of_bug)


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
    src_dir: Path, *, cc: str = "zig", sanitize: Sequence[str] = (), defines: Sequence[str] = ()
) -> Library:
    """build_library and open_library; a cached file that does not load is built anew, once."""
    path = build_library(src_dir, cc=cc, sanitize=sanitize, defines=defines)
    try:
        return open_library(path)
    except OSError:
        path.unlink(missing_ok=True)
        again = build_library(src_dir, cc=cc, sanitize=sanitize, defines=defines)
        return open_library(again)


def with_symbols(library: Library, symbols: Sequence[str]) -> Library:
    """The library itself. Raises AttributeError where it lacks one of the symbols."""
    for symbol in symbols:
        getattr(library.handle, symbol)
    return library


def run(
    library: Library,
    inputs: Sequence[Array],
    outputs: Sequence[Spec],
    *,
    takes: Sequence[Spec] | None = None,
) -> list[Array]:
    """Run the network: `int me_run(const void *const in[], void *const out[])`; see `call`."""
    return call(library, ENTRY, inputs, outputs, takes=takes)


def call(
    library: Library,
    symbol: str,
    inputs: Sequence[Array],
    outputs: Sequence[Spec],
    *,
    takes: Sequence[Spec] | None = None,
) -> list[Array]:
    """Call a function with the signature of me_run on copies as C wants them.

    outputs   shape and dtype of each result, which are new arrays
    takes     shape and dtype each input must have; a difference is a ValueError
    Raises E911 where the function does not return 0.
    """
    if takes is not None:
        _check(inputs, takes)
    given = [_plain(index, array) for index, array in enumerate(inputs)]
    results: list[Array] = [np.zeros(shape, dtype) for shape, dtype in outputs]
    invoke(library, symbol, [a.ctypes.data for a in given], [a.ctypes.data for a in results])
    return results


def run_traced(
    library: Library, inputs: Sequence[Array], outputs: Sequence[Spec]
) -> tuple[dict[int, bytes], list[Array]]:
    """Run a network compiled with ME_TRACE: (what each layer wrote, by its number; the outputs)."""
    seen: dict[int, bytes] = {}

    def note(layer: int, data: int, size_bytes: int) -> None:
        seen[layer] = ctypes.string_at(data, size_bytes)

    callback = _TRACE(note)
    hook = ctypes.c_void_p.in_dll(library.handle, "me_trace")
    hook.value = ctypes.cast(callback, ctypes.c_void_p).value
    try:
        return seen, run(library, inputs, outputs)
    finally:
        hook.value = None


def invoke(library: Library, symbol: str, inputs: Sequence[int], outputs: Sequence[int]) -> None:
    """Call a function with the signature of me_run on buffers by address, one call at a time."""
    try:
        function = _SIGNATURE((symbol, library.handle))
    except AttributeError:
        raise ValueError(f"the library has no function {symbol}") from None
    addresses = [(ctypes.c_void_p * len(group))(*group) for group in (inputs, outputs)]
    with library.lock:
        returned = function(*addresses)
    if returned != 0:
        raise MyoedgeError("E911", f"{symbol} of the generated C failed", {"returned": returned})


def _check(inputs: Sequence[Array], takes: Sequence[Spec]) -> None:
    if len(inputs) != len(takes):
        raise ValueError(f"{len(inputs)} inputs where {len(takes)} are needed")
    for index, (array, (shape, dtype)) in enumerate(zip(inputs, takes, strict=True)):
        has, needs = (array.shape, array.dtype), (tuple(shape), np.dtype(dtype))
        if has != needs:
            raise ValueError(f"input {index} is {has[1]}{has[0]}, needs {needs[1]}{needs[0]}")


def _plain(index: int, array: Array) -> Array:
    """The array as C reads it: contiguous, aligned, numbers in the byte order of the machine."""
    if array.dtype.kind not in "biuf" or not array.dtype.isnative:
        raise ValueError(f"input {index} has dtype {array.dtype}, which C cannot read")
    return np.require(array, requirements=["C", "A"])
