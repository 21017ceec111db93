# SPDX-License-Identifier: Apache-2.0
"""Cache of compiled files, limited in size; a file is either complete or absent."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeVar

from myoedge.errors import MyoedgeError
from myoedge.system import tools

SEAL_BYTES = 32
MAX_FILES, MAX_BYTES = 4096, 512 << 20  # limits of one folder of the cache
MOST_REMOVALS = 3  # evictions per compilation
FOLDERS = ("libraries", "objects", "programs", "scratch", "zig")  # used by compilations
BYTES_BY = "clang -cc1"  # another name where equal sources and flags become other bytes
LIBRARY_BYTES = 4 << 20  # largest file: a library with zig's UBSan

Made = TypeVar("Made")

_DISK_FULL = (
    "No space left",
    "NoSpaceLeft",
    "File size limit",
    "FileTooBig",
    "quota exceeded",
)


def is_cached(path: Path) -> bool:
    """Return whether the cache has this user's intact file at a path; if so, mark it as used."""
    return content(path) is not None


def content(path: Path) -> bytes | None:
    """Return the content of a cached file, and mark it as used; None unless it is intact and only
    the user can write it."""
    with suppress(FileNotFoundError, PermissionError):
        data = path.read_bytes()
        found, seal = data[:-SEAL_BYTES], data[-SEAL_BYTES:]
        if hashlib.sha256(found).digest() == seal and tools.is_own(path):
            os.utime(path)
            return found
    return None


def store(fresh: Path, path: Path) -> None:
    """Move a new file into the cache atomically, with its sha256 appended to detect truncation
    (linkers and loaders ignore it). Errors: E281 disk full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with fresh.open("r+b") as opened:
            opened.write(hashlib.sha256(opened.read()).digest())
            os.fchmod(opened.fileno(), os.fstat(opened.fileno()).st_mode & ~tools.BY_OTHERS)
    except OSError as error:
        raise disk_full_error(error.strerror or "") or error from None
    os.replace(fresh, path)


def despite_removal(make: Callable[[], Made]) -> Made:
    """Call `make` and return its result; call it again if another process removes the cache
    meanwhile.

    Errors: E220 if that happens every time; as `make`.
    """
    for _ in range(MOST_REMOVALS):
        with ExitStack() as opened:
            try:
                folders = opened.enter_context(tools.opened_folders(*FOLDERS))
            except FileNotFoundError:
                continue
            try:
                return make()
            except (OSError, MyoedgeError):
                if all(os.fstat(folder).st_nlink for folder in folders):
                    raise
    facts = {"cache": tools.cache_folder("")}
    tries = ("MYOEDGE_CACHE=<folder that nothing removes meanwhile>",)
    raise MyoedgeError("E220", "the cache is removed again and again", facts, tries)


def keep(data: bytes, path: Path) -> None:
    """Store bytes as a file in the cache. Errors: E281 disk full."""
    with tools.scratch() as folder:
        fresh = folder / path.name
        fresh.write_bytes(data)
        store(fresh, path)
    prune(path.parent)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def digest(root: Path, files: Iterable[Path], build: Iterable[str]) -> str:
    """Return a digest of the names and contents of files below a folder, and of build options."""
    contents = ((file.relative_to(root).as_posix(), file.read_bytes()) for file in files)
    return digest_of_contents(contents, build)


def digest_of_contents(contents: Iterable[tuple[str, bytes]], build: Iterable[str]) -> str:
    """Return a digest of (name, content) pairs and of build options."""
    sha = hashlib.sha256("\n".join((BYTES_BY, *build)).encode())
    for name, data in contents:
        sha.update(f"\n{name} {len(data)}\n".encode())
        sha.update(data)
    return sha.hexdigest()


def disk_full_error(message: str) -> MyoedgeError | None:
    """Return E281 if a compiler's message, or a test write, indicates a full disk; otherwise
    None."""
    if not any(text in message for text in _DISK_FULL):
        # On a full disk zig prints only "aborted", so a file of a library's size is written first.
        with suppress(OSError), tools.scratch() as folder:
            (folder / "probe").write_bytes(bytes(LIBRARY_BYTES))
            return None
    facts = {"cache": tools.cache_folder("libraries")}
    tries = ("free disk space there", "MYOEDGE_CACHE=<folder on another disk>")
    return MyoedgeError("E281", "no disk space left to compile", facts, tries)


def prune(folder: Path) -> None:
    """Remove the oldest files of a folder beyond MAX_FILES and MAX_BYTES, and scratch folders of
    processes that were killed."""
    folder.mkdir(parents=True, exist_ok=True)
    total_bytes = 0
    for number, (_, size_bytes, path) in enumerate(sorted(_entries_by_use(folder), reverse=True)):
        total_bytes += size_bytes
        if number >= MAX_FILES or total_bytes > MAX_BYTES:
            Path(path).unlink(missing_ok=True)
    tools.remove_abandoned()


def _entries_by_use(folder: Path) -> Iterator[tuple[float, int, str]]:
    """Yield (time of last use in s, size in bytes, path) of a folder's entries."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # another process removed it
                status = entry.stat()
                yield status.st_mtime, status.st_size, entry.path
