# SPDX-License-Identifier: Apache-2.0
"""Files of the cache: whole or not there, and only the newest are kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from myoedge.errors import MyoedgeError
from myoedge.system import tools as tool

SEAL_BYTES = 32
LIBRARY_BYTES = 4 << 20  # the largest file: a library with zig's UBSan in it
SCRATCH_KEPT_S = 24 * 3600

_NO_ROOM = ("No space left", "NoSpaceLeft", "File size limit", "FileTooBig", "quota exceeded")


def taken(path: Path) -> bool:
    """Whether the cache has this file, whole; then it counts as used just now."""
    with suppress(FileNotFoundError):
        if _whole(path):
            os.utime(path)
            return True
    return False


def keep(fresh: Path, path: Path) -> None:
    """Moves a fresh file to its place, whole or not at all. Errors: E281 where the disk is full."""
    _seal(fresh)
    os.replace(fresh, path)


def _seal(file: Path) -> None:
    """Appends its own sha256, which linkers and loaders pass over: a file cut off shows."""
    try:
        with file.open("r+b") as opened:
            opened.write(hashlib.sha256(opened.read()).digest())
    except OSError as error:
        raise out_of_room(error.strerror or "") or error from None


def _whole(path: Path) -> bool:
    data = path.read_bytes()
    return hashlib.sha256(data[:-SEAL_BYTES]).digest() == data[-SEAL_BYTES:]


def digest(root: Path, files: Iterable[Path], build: Iterable[str]) -> str:
    """Of the names and texts of files below a folder, and of how they are built."""
    sha = hashlib.sha256("\n".join(build).encode())
    for file in files:
        data = file.read_bytes()
        sha.update(f"\n{file.relative_to(root).as_posix()} {len(data)}\n".encode())
        sha.update(data)
    return sha.hexdigest()


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


def prune(files: Iterable[Path], most: int) -> None:
    """Remove all but the newest `most` files, and what killed compilations left for a day."""
    dated = sorted((_age_s(path), path) for path in files)
    for _, path in dated[most:]:
        path.unlink(missing_ok=True)
    for folder in tool.cache_folder("scratch").iterdir():
        if _age_s(folder) > SCRATCH_KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)


def _age_s(path: Path) -> float:
    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime
    return 0.0  # somebody else was faster
