# SPDX-License-Identifier: Apache-2.0
"""Output folders that appear whole or not at all, and files that are replaced in one step."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from myoedge.errors import MyoedgeError

MANIFEST = "manifest.json"
SCHEMA = "myoedge.manifest/1"
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_EXCHANGE, _AT_FDCWD = 2, -100  # linux/fs.h RENAME_EXCHANGE, fcntl.h


def to_json(value: Any) -> str:
    """Readable, strict JSON with a final newline."""
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Writes all files below `target`, which is replaced as a whole if it is an earlier build.

    Errors: E220 not writable, E221 in the way, E281 disk full. On any of them, and on an
    interruption, what was there before is still there.
    """
    target = Path(os.path.abspath(target))
    _check_replaceable(target)
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _drop_abandoned(target)
        fresh = target.parent / f".{target.name}.myoedge-{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            _fill(fresh, files)
            _swap(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _check_replaceable(target: Path) -> None:
    """Only an earlier build or an empty folder gives way."""
    if not os.path.lexists(target):
        return
    if target.is_dir() and (is_build(target) or not any(target.iterdir())):
        return
    kind = "a folder with other things in it" if target.is_dir() else "a file"
    raise MyoedgeError(
        "E221",
        f"{target.name} is {kind}",
        {"needs": "a new or empty folder, or an earlier build", "has": str(target)},
        ["-o another folder"],
    )


def is_build(folder: Path) -> bool:
    """Whether a folder was written by build."""
    try:
        found = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("schema") == SCHEMA


def _swap(fresh: Path, target: Path) -> None:
    """Puts `fresh` in the place of `target`; what was there is then under the other name."""
    if not target.exists():
        os.rename(fresh, target)
    elif not _exchange(fresh, target):
        aside = fresh.with_name(fresh.name + "-old")
        os.rename(target, aside)
        os.rename(fresh, target)
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(a: Path, b: Path) -> bool:
    """Swaps two names in one step where the system can (Linux); nothing is missing at any time."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    names = (os.fsencode(a), os.fsencode(b))
    return int(rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE)) == 0


def _drop_abandoned(target: Path) -> None:
    """Removes what killed builds of the same folder left behind."""
    for path in target.parent.glob(f".{target.name}.myoedge-*"):
        pid = path.name.rsplit("-", 1)[-1].removesuffix("-old")
        if not pid.isdigit() or not _alive(int(pid)):
            shutil.rmtree(path, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def explained(target: Path) -> Iterator[None]:
    """Turns errors of the file system into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise MyoedgeError(
                "E281",
                f"no room to write {target.name}",
                {"cause": error.strerror},
                ["free some space"],
            ) from None
        if error.errno in _DENIED or error.errno in (
            errno.ENOTDIR,
            errno.EEXIST,
            errno.ENAMETOOLONG,
        ):
            raise MyoedgeError(
                "E220",
                f"{target} cannot be written",
                {"cause": error.strerror},
                ["-o a folder that you may write to"],
            ) from None
        raise


def replace_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replaces single files of a build: all are written first, then renamed one by one."""
    with explained(folder):
        fresh = {folder / name: folder / f".{name}.{os.getpid()}" for name in files}
        try:
            for path, temporary in fresh.items():
                temporary.write_bytes(files[path.name])
            for path, temporary in fresh.items():
                os.replace(temporary, path)
        finally:
            for temporary in fresh.values():
                temporary.unlink(missing_ok=True)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
