# SPDX-License-Identifier: Apache-2.0
"""Output folders that appear whole or not at all, and files that are replaced in one step."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from myoedge.errors import MyoedgeError

MANIFEST = "manifest.json"
SCHEMA = "myoedge.manifest/1"
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
# What make, cmake, simulate, a killed simulate or validate and macOS leave in a build folder.
_REPLACED = r"report\.json|report\.html|layers\.csv|trace\.json"
_WRITTEN = ".reports."  # and a process: all of them lie beside those that they are to replace
_WRITTEN_LATER = re.compile(
    r"manifest\.json|trace\.json|gap_sdk/build/.*|src/((library/)?\w+\.o|libnetwork\.a|selftest|firmware\.elf)"
    rf"|\.({_REPLACED}|reports)\.[0-9]+|(.*/)?\.DS_Store"
)
_EXCHANGE, _AT_FDCWD = 2, -100  # linux/fs.h RENAME_EXCHANGE, fcntl.h


def to_json(value: Any) -> str:
    """Readable, strict JSON with a final newline."""
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Writes all files below `target`, which is replaced as a whole if it is an earlier build.

    Errors: E220 not writable, E221 in the way, E281 disk full. On any of them, and on an
    interruption, what was there before is still there.
    """
    with explained(target):
        target = Path(os.path.realpath(target))  # what a link stands for is replaced, not the link
        _check_replaceable(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        ours = rf"\.{re.escape(target.name)}\.myoedge-([0-9]{{1,10}})(?:-old)?"
        _drop_abandoned(target.parent, ours)
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


def check_output(target: Path) -> None:
    """Tells before the long part what `write_folder` would refuse. Errors: E220, E221."""
    with explained(target):
        _check_replaceable(Path(os.path.realpath(target)))


def _check_replaceable(target: Path) -> None:
    """Only an earlier build as it was written, or an empty folder, gives way."""
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise _in_the_way(target, "is a file")
    if not is_build(target) and any(target.iterdir()):
        raise _in_the_way(target, "is a folder with other things in it")
    if Path.cwd().is_relative_to(target):
        raise _in_the_way(target, "is the folder you are in, which would be gone afterwards")
    if strangers := _strangers(target):
        shown = ", ".join(strangers[:5]) + (", ..." if len(strangers) > 5 else "")
        raise _in_the_way(target, f"holds what build did not write: {shown}")
    if edited := _edited(target):
        raise _in_the_way(target, f"holds C that was edited since: {', '.join(edited[:5])}")


def _in_the_way(target: Path, what: str) -> MyoedgeError:
    facts = {"needs": "a new or empty folder, or an earlier build", "has": str(target)}
    tries = ["-o another folder"]
    return MyoedgeError("E221", f"{target.name or target} {what}", facts, tries)


def _strangers(folder: Path) -> list[str]:
    """Files that neither build nor what works on a build has written: a person's own."""
    known = manifest_files(folder)
    found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())
    return sorted(n for n in found if n not in known and not _WRITTEN_LATER.fullmatch(n))


def _edited(folder: Path) -> list[str]:
    """Generated C that is not as build wrote it any more: somebody's work."""
    ours = ((name, digest) for name, digest in manifest_files(folder).items() if name[:4] == "src/")
    return sorted(
        n for n, digest in ours if (folder / n).is_file() and _digest(folder / n) != digest
    )


def _digest(path: Path) -> str:
    return sha256(path.read_bytes())


def is_build(folder: Path) -> bool:
    """Whether a folder was written by build."""
    return _manifest(folder).get("schema") == SCHEMA


def manifest_files(folder: Path) -> dict[str, str]:
    """sha256 of every file by name, as the manifest says; empty without a manifest."""
    found = _manifest(folder).get("files")
    return found if isinstance(found, dict) else {}


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


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


def _drop_abandoned(folder: Path, ours: str) -> None:
    """Removes what processes that were killed left in a folder; `ours` matches their ids."""
    for path in folder.iterdir():
        found = re.fullmatch(ours, path.name)
        if found and not _alive(int(found[1])):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # or no number of a process at all
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
        raise MyoedgeError(
            "E220",
            f"{target} cannot be written",
            {"cause": error.strerror or str(error)},
            ["-o a folder that you may write to"],
        ) from None


def replace_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replaces single files of a build together: once all are written, no interruption leaves some
    as they were, and what a process that is killed then leaves undone, `finish_replacing` does.
    """
    with explained(folder):
        if is_build(folder):
            finish_replacing(folder)
            _drop_abandoned(folder, rf"\.(?:{_REPLACED})\.([0-9]{{1,10}})")
        pid = os.getpid()
        fresh = {folder / name: folder / f".{name}.{pid}" for name in files}
        written = folder / f"{_WRITTEN}{pid}"
        try:
            for path, temporary in fresh.items():
                temporary.write_bytes(files[path.name])
            written.touch()
            try:
                _take_places(fresh)
            except KeyboardInterrupt:
                _take_places(fresh)
                raise
        finally:
            for temporary in (*fresh.values(), written):
                temporary.unlink(missing_ok=True)


def finish_replacing(folder: Path) -> None:
    """Puts in place what processes have written whole and were killed before they had replaced."""
    for written in [*folder.glob(f"{_WRITTEN}*")]:
        pid = written.name.removeprefix(_WRITTEN)
        if not re.fullmatch(r"[0-9]{1,10}", pid) or _alive(int(pid)):
            continue
        names = (re.fullmatch(rf"\.({_REPLACED})\.{pid}", path.name) for path in folder.iterdir())
        _take_places({folder / found[1]: folder / found[0] for found in names if found})
        written.unlink(missing_ok=True)


def _take_places(fresh: Mapping[Path, Path]) -> None:
    for path, temporary in fresh.items():
        if temporary.exists():
            os.replace(temporary, path)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
