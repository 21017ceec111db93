# SPDX-License-Identifier: Apache-2.0
"""Safe reading of users' files: no blocking on pipes, no endless devices, no zip bombs."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path
from typing import BinaryIO

from myoedge.errors import MyoedgeError

MAX_UNPACKED_BYTES = 1 << 30  # unpacked bytes of a zip archive, without --max-bytes
MAX_BYTES = 4 << 30
MAX_TEXT_BYTES = 1 << 26  # bytes of a configuration or report


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file for reading. Errors: OSError, also for a pipe, a device or a folder."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a name with a zero byte
        raise OSError(0, str(error)) from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(0, "no regular file")
    return os.fdopen(number, "rb")


def read_regular(path: str | Path, limit_bytes: int = MAX_BYTES) -> bytes:
    """Read a regular file.

    Errors: OSError, also if the file exceeds the limit, even if its stated size is 0, as in /proc.
    """
    with open_regular(path) as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise OSError(0, f"more than {limit_bytes:,} bytes")
    return content


def read_text(path: str | Path) -> str:
    """Read UTF-8 text of at most MAX_TEXT_BYTES, with \\n at line ends. Errors: OSError,
    ValueError."""
    text = read_regular(path, MAX_TEXT_BYTES).decode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def in_steps(entry: zipfile.ZipInfo) -> bool:
    """Return whether a zip member can be unpacked step by step, up to its stated size; zipfile
    expands 4 KiB of bzip2 or LZMA at once, possibly to gigabytes."""
    return entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def check_unpacked(path: Path, file: BinaryIO, max_bytes: int) -> None:
    """Raise E247 for a compressed or overlapping zip archive that unpacks to more than both
    `max_bytes` and its own size."""
    size_bytes = os.fstat(file.fileno()).st_size
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked_bytes = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError):
        return  # reading the members reports the damage
    finally:
        file.seek(0)
    if unpacked_bytes > max(max_bytes, size_bytes):
        facts = {
            "needs": f"at most {max_bytes:,} bytes",
            "has": f"{unpacked_bytes:,} bytes, in a file of {size_bytes:,}",
        }
        tries = [f"build --max-bytes {-(-unpacked_bytes >> 20)}MiB, where you trust the file"]
        raise MyoedgeError("E247", f"{path.name} unpacks into too much", facts, tries)
