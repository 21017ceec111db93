# SPDX-License-Identifier: Apache-2.0
"""Output folders written atomically, and files of a folder replaced together."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from myoedge.errors import MyoedgeError
from myoedge.system.cache import sha256
from myoedge.system.hooks import hooks
from myoedge.system.regular_files import read_text

MANIFEST = "manifest.json"
SCHEMA = "myoedge.manifest/1"
ELSEWHERE = "a file in an existing, writable folder"
UNWRITABLE = ("E220", "E281")  # error codes of `explained`
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
# Files left in a build folder by make, cmake, simulate, a killed simulate or validate, and macOS.
_REPLACED = r"report\.json|report\.html|layers\.csv|trace\.json"
_COMPLETE_MARKER = ".reports."  # with a process id: all new files are complete
_OTHER_FILES = (
    r"manifest\.json|trace\.json|src/((library/)?\w+\.o|libnetwork\.a|selftest|\w+\.elf)"
    rf"|\.({_REPLACED}|reports)\.[0-9]+|(.*/)?\.DS_Store"
)
USERS = "user"  # folder of a project whose files a rebuild keeps
_held: ContextVar[frozenset[Path]] = ContextVar("_held", default=frozenset())  # locked folders
_EXCHANGE, _AT_FDCWD = 2, -100  # linux/fs.h RENAME_EXCHANGE, fcntl.h


def editable_folders() -> tuple[str, ...]:
    """Return the folders of a build whose files users may edit; a build never overwrites edits."""
    return ("src/", *(f"{hook.name}/" for hook in hooks("projects")))


def to_json(value: Any) -> str:
    """Return indented, strict JSON with a final newline."""
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write all files to the folder `target`, replacing an earlier build there as a whole.

    Errors: E220 not writable, E221 another file or folder is in the way, E281 disk full. After an
    error or an interruption, the old folder is unchanged.
    """
    with explained(target):
        target = Path(os.path.realpath(target))  # replaces the target of a link, not the link
        _check_replaceable(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        ours = rf"\.{re.escape(target.name)}\.myoedge-([0-9]{{1,10}})(?:-old)?"
        _remove_abandoned(target.parent, ours)
        fresh = _temporary_name(target)
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            fresh.mkdir()
            for name, content in files.items():
                path = fresh / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            for kept in (f"{hook.name}/{USERS}" for hook in hooks("projects")):
                if (target / kept).is_dir():
                    shutil.copytree(target / kept, fresh / kept, dirs_exist_ok=True)
            is_there = False
            while not is_there:
                with unreplaced(target):
                    is_there = _swap_folders(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _temporary_name(target: Path) -> Path:
    return target.parent / f".{target.name}.myoedge-{os.getpid()}"


def check_output(target: Path) -> None:
    """Raise the error (E220, E221, E281) that `write_folder` would raise, before the long work."""
    with explained(target):
        place = Path(os.path.realpath(target))
        _check_replaceable(place)
        ancestor = next(folder for folder in place.parents if os.path.isdir(folder))
        for name in (*place.relative_to(ancestor).parts, _temporary_name(place).name):
            with contextlib.suppress(FileNotFoundError):
                (ancestor / name).lstat()  # raises an error if the name is too long
        tempfile.TemporaryFile(dir=ancestor).close()


def _check_replaceable(target: Path) -> None:
    """Raise E221 unless a target is absent, an unchanged earlier build or an empty folder."""
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise _folder_error(target, "is a file")
    if not is_build(target) and any(target.iterdir()):
        raise _folder_error(target, "is a folder with other files")
    if Path.cwd().is_relative_to(target):
        raise _folder_error(target, "is the current folder")
    _refuse_foreign_files(target, manifest_files(target))


def _edited_sources(target: Path, files: Mapping[str, str]) -> Iterator[str]:
    """Yield the names of generated sources that the user has changed."""
    folders = editable_folders()
    kept = tuple(f"{folder}{USERS}/" for folder in folders)
    for name, digest in files.items():
        is_generated = name.startswith(folders) and not name.startswith(kept)
        is_there = is_generated and (target / name).is_file()
        if is_there and sha256((target / name).read_bytes()) != digest:
            yield name


def _refuse_foreign_files(target: Path, files: Mapping[str, str]) -> None:
    """Raise E221 if a folder has other files than these (name -> digest), or edited ones."""
    names = (p.relative_to(target).as_posix() for p in target.rglob("*") if not p.is_dir())
    projects = "|".join(re.escape(hook.name) for hook in hooks("projects"))
    other = re.compile(rf"{_OTHER_FILES}|({projects})/(build|BUILD|{USERS})/.*")
    foreign = sorted(n for n in names if n not in files and not other.fullmatch(n))
    if foreign:
        listed = ", ".join(foreign[:5]) + ", ..." * (len(foreign) > 5)
        raise _folder_error(target, f"holds files that build did not write: {listed}")
    if edited := sorted(_edited_sources(target, files)):
        raise _folder_error(target, f"holds edited files: {', '.join(edited[:5])}")


def _folder_error(target: Path, reason: str) -> MyoedgeError:
    facts = {"needs": "a new or empty folder, or an earlier build", "has": str(target)}
    tries = ["-o another folder"]
    return MyoedgeError("E221", f"{target.name or target} {reason}", facts, tries)


def is_build(folder: Path) -> bool:
    """Return whether a folder is a build."""
    return _manifest(folder).get("schema") == SCHEMA


def manifest_files(folder: Path) -> dict[str, str]:
    """Return file name -> sha256 from a build's manifest; {} without a manifest."""
    files = _manifest(folder).get("files")
    return files if isinstance(files, dict) else {}


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(read_text(folder / MANIFEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


@contextlib.contextmanager
def unreplaced(folder: Path) -> Iterator[None]:
    """Context manager during which no other process replaces a folder or its reports, and no other
    thread does; within one of the same folder it does nothing."""
    place = Path(os.path.realpath(folder))
    if place in _held.get():
        yield
        return
    opened = _lock_folder(folder)
    while opened is not None and not _is_still_at(folder, opened):  # another process replaced it
        os.close(opened)
        opened = _lock_folder(folder)
    token = _held.set(_held.get() | {place})
    try:
        yield
    finally:
        _held.reset(token)
        if opened is not None:
            os.close(opened)


def _lock_folder(folder: Path) -> int | None:
    """Return a descriptor of the folder, locked by this process; None if there is no folder."""
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    with contextlib.suppress(OSError):  # some file systems have no locks
        fcntl.flock(opened, fcntl.LOCK_EX)
    return opened


def _is_still_at(folder: Path, opened: int) -> bool:
    """Return whether a path still leads to the opened folder, or to nothing."""
    try:
        return os.path.samestat(os.stat(folder), os.fstat(opened))
    except OSError:
        return True


def _swap_folders(fresh: Path, target: Path) -> bool:
    """Move `fresh` to `target`; an old folder there is then named `fresh`, or is removed. Return
    False if another process has created one meanwhile, which is not locked."""
    if not target.exists():
        try:
            os.rename(fresh, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
    elif not _exchange(fresh, target):
        aside = fresh.with_name(fresh.name + "-old")
        os.rename(target, aside)
        os.rename(fresh, target)
        shutil.rmtree(aside, ignore_errors=True)
    return True


def _exchange(a: Path, b: Path) -> bool:
    """Exchange two names atomically if the system can (Linux); otherwise return False."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    return int(rename(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _EXCHANGE)) == 0


def _remove_abandoned(folder: Path, ours: str) -> None:
    """Remove files of killed processes from a folder; group 1 of `ours` is the process."""
    for path in folder.iterdir():
        match = re.fullmatch(ours, path.name)
        if match and not _is_running(int(match[1])):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    try:
        with contextlib.suppress(PermissionError):
            os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # no such process, or no process id
        return False
    return True


@contextlib.contextmanager
def explained(target: Path, *tries: str) -> Iterator[None]:
    """Context manager that converts file system errors to E220 and E281.

    target   file or folder that is written
    tries    remedies of E220; none: suggest another -o
    """
    try:
        yield
    except OSError as error:
        facts = {"cause": error.strerror or str(error)}
        if error.errno in _FULL:
            title = f"no disk space left to write {target.name or target}"
            raise MyoedgeError("E281", title, facts, ["free disk space"]) from None
        title = f"{target} cannot be written"
        raise MyoedgeError("E220", title, facts, tries or ["-o a writable folder"]) from None


def write_file(file: Path, data: bytes, tries: Iterable[str] = (ELSEWHERE,)) -> None:
    """Replace a file, or the target of a link, in one step; write directly to a device or pipe.

    tries   as for `explained`
    Errors: E220, E281.
    """
    if os.path.isfile(file) or not os.path.exists(file):
        place = file.resolve()
        replace_files(place.parent, {place.name: data}, tries)
        return
    with explained(file, *tries):
        file.write_bytes(data)


def check_file(file: Path) -> None:
    """Raise the error (E220, E281) that `write_file` would raise, before the long work."""
    with explained(file, ELSEWHERE):
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if file.is_file() or not file.exists():
            tempfile.TemporaryFile(dir=file.resolve().parent).close()


def replace_files(folder: Path, files: Mapping[str, bytes], tries: Iterable[str] = ()) -> None:
    """Replace files of a folder together: once all new files are written, an interruption still
    replaces all, and after a kill `finish_replacing` does, as the next replacement does at first.

    tries   as for `explained`
    """
    with explained(folder, *tries):
        with contextlib.suppress(PermissionError):  # of other users, in a folder for all
            finish_replacing(folder, files)
            _remove_abandoned(folder, rf"\.(?:{_replaced(folder, files)})\.([0-9]{{1,10}})")
        fresh = {folder / name: folder / f".{name}.{os.getpid()}" for name in files}
        written = folder / f"{_COMPLETE_MARKER}{os.getpid()}"
        try:
            for path, temporary in fresh.items():
                temporary.write_bytes(files[path.name])
            written.touch()
            try:
                _replace_all(fresh)
            except KeyboardInterrupt:
                _replace_all(fresh)
                raise
        finally:
            for temporary in (*fresh.values(), written):
                temporary.unlink(missing_ok=True)


def _replaced(folder: Path, files: Iterable[str]) -> str:
    """Return a regular expression of the names that replacements in a folder have."""
    return "|".join([*([_REPLACED] * is_build(folder)), *map(re.escape, files)])


def finish_replacing(folder: Path, files: Iterable[str] = ()) -> None:
    """Complete the replacements of a build's reports, and of `files`, by killed processes that had
    already written all new files."""
    ours = _replaced(folder, files)
    for written in [*folder.glob(f"{_COMPLETE_MARKER}*")]:
        pid = written.name.removeprefix(_COMPLETE_MARKER)
        if not re.fullmatch(r"[0-9]{1,10}", pid) or _is_running(int(pid)):
            continue
        names = (re.fullmatch(rf"\.({ours})\.{pid}", path.name) for path in folder.iterdir())
        _replace_all({folder / match[1]: folder / match[0] for match in names if match})
        written.unlink(missing_ok=True)


def _replace_all(fresh: Mapping[Path, Path]) -> None:
    for path, temporary in fresh.items():
        if temporary.exists():
            os.replace(temporary, path)
