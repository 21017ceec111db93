# SPDX-License-Identifier: Apache-2.0
"""External programs, run to completion or in the background; cache folders and scratch folders;
the command that installs an optional extra."""

from __future__ import annotations

import atexit
import fcntl
import functools
import os
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO

from myoedge.errors import MyoedgeError

NEW_S = 60.0  # younger scratch folders may not be locked yet
_LOCKED = "locked-"  # prefix of scratch folders


@dataclass(frozen=True, slots=True)
class CompletedProcess:
    """Result of a program that has ended.

    returncode       exit code, or minus the number of the signal that ended it
    stdout, stderr   its output
    """

    returncode: int
    stdout: str
    stderr: str


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> CompletedProcess:
    """Run a program to completion, without standard input.

    env   variables added to the environment
    Errors: E501 if it cannot be started, E502 if it takes longer than `timeout_s`.
    """
    process = _start_process(
        [str(part) for part in command], cwd, {**_environment(), **(env or {})}
    )
    with _guard_process(process.pid):
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            facts = {"limit": f"{timeout_s} s"}
            raise MyoedgeError("E502", f"{command[0]} did not finish", facts) from None
        except BaseException:
            _kill(process)
            raise
    return CompletedProcess(process.returncode, stdout, stderr)


@dataclass(frozen=True, slots=True)
class Background:
    """A program running in the background, whose output goes to a file."""

    process: subprocess.Popen[str]
    log: Path

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def says(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def background(command: Sequence[str | Path], *, cwd: Path) -> Iterator[Background]:
    """Context manager that runs a program in the background, and kills it at the end.

    Errors: E501 it cannot start.
    """
    with scratch() as folder, (folder / "log").open("w", encoding="utf-8") as log:
        arguments = [str(part) for part in command]
        process = _start_process(arguments, cwd, _environment(), output=log)
        with _guard_process(process.pid):
            try:
                yield Background(process, folder / "log")
            finally:
                _kill(process)


def _environment() -> dict[str, str]:
    """Return the environment of a program; TMPDIR is replaced if it is no folder, because compilers
    would fail."""
    given = os.environ.get("TMPDIR")
    if given is None or os.path.isdir(given):
        return {**os.environ}
    return {**os.environ, "TMPDIR": str(cache_folder("scratch"))}


def _start_process(
    command: list[str], cwd: Path, env: Mapping[str, str], output: IO[str] | None = None
) -> subprocess.Popen[str]:
    if not cwd.is_dir():
        raise NotADirectoryError(cwd)
    try:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.PIPE,
            stderr=output or subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # the children of a hung program end with it
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise MyoedgeError("E501", f"cannot start {command[0]}", {"reason": reason}) from error


@contextmanager
def _guard_process(process_group: int) -> Iterator[None]:
    """Context manager that starts a shell, which kills a process group if this process is killed.

    The shell waits for the end of a pipe whose other end only this process holds.
    """
    script = f"read -r _; kill -s KILL -- -{process_group}"
    guard = subprocess.Popen(
        ["/bin/sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # it survives a closed terminal
    )
    try:
        yield
    finally:
        guard.kill()
        guard.communicate()


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def cache_folder(name: str) -> Path:
    """Return a folder of the cache: below $MYOEDGE_CACHE, otherwise in the user's cache; if that is
    not writable, a temporary folder that is removed when the process ends."""
    folder = _writable_root(os.environ.get("MYOEDGE_CACHE", "")) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def opened_folders(*names: str) -> Iterator[list[int]]:
    """Context manager that opens cache folders and yields their descriptors; if another process
    deletes a folder meanwhile, os.fstat of its descriptor has st_nlink 0.

    Errors: FileNotFoundError if one is removed before it is opened.
    """
    with ExitStack() as opened:
        folders = []
        for name in names:
            folders.append(os.open(cache_folder(name), os.O_RDONLY | os.O_DIRECTORY))
            opened.callback(os.close, folders[-1])
        yield folders


@functools.cache
def _writable_root(folder: str) -> Path:
    import platformdirs

    root = Path(folder or platformdirs.user_cache_dir("myoedge", appauthor=False))
    root = root.absolute() if folder else root
    # Without $HOME and a passwd entry, the user's cache would be "~/...".
    with suppress(OSError):
        if root.is_absolute():
            root.mkdir(parents=True, exist_ok=True)
            root = root if is_own(root) else _own_folder(root)
            tempfile.TemporaryFile(dir=root).close()
            return root
    # An unpredictable name: in a shared folder, another user's code could be at a predictable one.
    temporary = tempfile.mkdtemp(prefix="myoedge-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return Path(temporary)


BY_OTHERS = 0o022  # write permission of group and others


def is_own(path: Path) -> bool:
    """Return whether a path is no link, belongs to this user, and only this user can write it.

    The cache requires this, because its contents are executed.
    """
    status = path.lstat()
    is_link = stat.S_ISLNK(status.st_mode)
    return status.st_uid == os.getuid() and not is_link and not status.st_mode & BY_OTHERS


def _own_folder(shared: Path) -> Path:
    """Return the user's private folder in a shared cache. Errors: PermissionError if it belongs to
    another user."""
    folder = shared / f"user-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if not is_own(folder):
        raise PermissionError(f"{folder} is not this user's")
    return folder


@contextmanager
def scratch() -> Iterator[Path]:
    """Context manager that makes an empty folder next to the cache, in which programs may be
    executed, and removes it at the end.

    It is locked as long as its process lives, so that `remove_abandoned` keeps it.
    """
    folder = tempfile.mkdtemp(prefix=_LOCKED, dir=cache_folder("scratch"))
    lock = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # without locks, the folder is never abandoned
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_abandoned() -> None:
    """Remove scratch folders whose process ended without removing them."""
    for folder in cache_folder("scratch").glob(f"{_LOCKED}*"):
        with suppress(OSError):  # removed or in use; a young folder may not be locked yet
            if time.time() - folder.stat().st_mtime > NEW_S:
                _remove_unlocked(folder)


def _remove_unlocked(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


# --- packages of an optional extra ----------------------------------------------------------------


def install_command(extra: str) -> str:
    """Return the pip command that installs the packages of an extra such as "recordings"; they are
    named individually, as myoedge itself may not be on an index."""
    from packaging.requirements import Requirement

    rows = map(Requirement, metadata.requires("myoedge") or ())
    needed = (row for row in rows if row.marker and row.marker.evaluate({"extra": extra}))
    return shlex.join(["pip", "install", *(f"{row.name}{row.specifier}" for row in needed)])
