# SPDX-License-Identifier: Apache-2.0
"""Arguments of the builds made on this computer, stored in the cache so that builds can be repeated
with changes. They are not part of the build folder, which contains no paths of the computer.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from myoedge.errors import MyoedgeError, command, printable
from myoedge.operators.engine_choice import AUTO
from myoedge.system.cache import content, keep, sha256
from myoedge.system.folder import MANIFEST
from myoedge.system.tools import cache_folder

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CACHE = "builds"
OWN = ("output", "strict", "simulate", "say", "progress")  # arguments of one call only


@dataclass(frozen=True)
class Arguments:
    """Arguments with which a build can be repeated.

    given    arguments of api.build by name
    folder   working folder of the call
    """

    given: Mapping[str, Any] = field(default_factory=dict)
    folder: str = "."


class Repeatable(Protocol):
    """Protocol of a build whose arguments may be known.

    folder      its folder
    arguments   its Arguments, if it was made in this process
    """

    @property
    def folder(self) -> Path: ...

    @property
    def arguments(self) -> object: ...


def arguments_of(options: DataclassInstance) -> Arguments:
    """Return the options that were set, with which the build can be repeated."""
    values = {f.name: getattr(options, f.name) for f in fields(options) if f.name not in OWN}
    known = {name: x for name, x in values.items() if x is not None and x is not False}
    return Arguments(known, _current_folder())


def _current_folder() -> str:
    """Return the path of the current folder; "" if the folder has been removed."""
    with suppress(OSError):
        return os.getcwd()
    return ""


@contextmanager
def inside(folder: str) -> Iterator[None]:
    """Context manager that changes the working folder; "" changes nothing."""
    before = _current_folder()
    if folder:
        os.chdir(folder)
    try:
        yield
    finally:
        with suppress(OSError):  # the file may have been removed
            os.chdir(before)


def remember(folder: Path, arguments: Arguments) -> None:
    """Store the arguments of a build in the cache, unless they contain arrays or the cache is not
    writable."""
    if not arguments.folder:
        return
    with suppress(TypeError, OSError, MyoedgeError):
        values = {
            name: str(x) if isinstance(x, os.PathLike) else x for name, x in arguments.given.items()
        }
        kept = json.dumps({"given": values, "folder": arguments.folder})
        keep(kept.encode(), _arguments_file(folder))


def recalled(build: Repeatable) -> Arguments:
    """Return the stored arguments of a build, found by its folder, or by its files if the folder
    was moved.

    Errors: E262 they are unknown, or name files that no longer exist.
    """
    if isinstance(build.arguments, Arguments):
        return build.arguments
    if (known := _read_stored_arguments(build.folder)) is not None:
        return known
    title = f"{build.folder} was not built on this computer, or long ago"
    facts = {"needs": "the model and the samples it was built from"}
    tries = ["myoedge build, once more with the same arguments"]
    if (kept := next(_stored_candidates(build.folder), None)) is not None:
        title = f"a file that {build.folder} was built from is missing"
        facts = {"missing": ", ".join(_missing_paths(kept))}
        tries = ["move it back there", "myoedge build, once more with its new path"]
    raise MyoedgeError("E262", title, facts, tries)


def _read_stored_arguments(folder: Path) -> Arguments | None:
    """Return the stored arguments of the build in a folder; None if they are unknown, or if a file
    that they name no longer exists."""
    return next((known for known in _stored_candidates(folder) if not _missing_paths(known)), None)


def _stored_candidates(folder: Path) -> Iterator[Arguments]:
    """Yield the stored arguments of the build in a folder, then of equal builds elsewhere."""
    path = _arguments_file(folder)
    for file in (path, *sorted(path.parent.glob(f"{path.stem.partition('-')[0]}-*"))):
        if (kept := content(file)) is not None:
            found = json.loads(kept)
            yield Arguments(found["given"], found["folder"])


def rebuild_command(folder: Path, changes: Mapping[str, Any], output: Path) -> str:
    """Return the command that repeats the build in a folder with changed arguments, to be typed in
    the current folder; "myoedge build ... --option" if its arguments are unknown.

    output   folder of the new build
    """
    known = _read_stored_arguments(folder)
    if known is None:
        elsewhere = {} if output == folder else {"output": output}
        given = {name: x for name, x in {**elsewhere, **changes}.items() if x not in (None, False)}
        words = [word for name, value in given.items() for word in _format_option(name, value)]
        return printable(f"myoedge build ... {shlex.join(words)}")
    place = _format_argument(known.folder, _current_folder() or known.folder)
    moved = "" if place == os.curdir else printable(f"cd {shlex.quote(place)} && ")
    return moved + build_command(known, changes, output)


def folder_for(folder: Path, old: str, new: str) -> Path:
    """Return a folder that does not exist, for the build in `folder` made again for another chip:
    "model-OLD" becomes "model-NEW", and so does "model"."""
    name = f"{folder.resolve().name.removesuffix(f'-{old}')}-{new}"
    ends = chain([""], map("-{}".format, count(2)))
    places = (folder.resolve().parent / f"{name}{end}" for end in ends)
    return next(place for place in places if not os.path.lexists(place))


def _format_option(name: str, value: Any) -> list[str]:
    """Return an argument of build as words of the command line."""
    return [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]


def build_command(arguments: Arguments, changes: Mapping[str, Any], output: Path) -> str:
    """Return the command that repeats a build with changed arguments, to be typed in its folder.

    output   folder of the new build
    """
    given = {**arguments.given, **changes}
    model = [_format_argument(given["model"], arguments.folder)] if given.get("model") else []
    words = [*model, "-o", _format_argument(output.resolve(), arguments.folder)]
    for name, value in given.items():
        if name == "model" or value in (None, False) or (name, value) == ("engine", AUTO):
            continue
        words += _format_option(
            name, value if value is True else _format_argument(value, arguments.folder)
        )
    return command("build", *words)


def _format_argument(value: Any, folder: str) -> str:
    """Return an argument as typed on the command line; a path below `folder` becomes relative."""
    if isinstance(value, (str, os.PathLike)) and os.path.isabs(value):
        relative = os.path.relpath(value, os.path.realpath(folder))
        return os.fspath(value) if relative.startswith(os.pardir) else relative
    return str(getattr(value, "folder", value))


def _missing_paths(arguments: Arguments) -> list[str]:
    """Return the paths that arguments name and that no longer exist: the working folder, the model
    or the configuration."""
    given = arguments.given
    named = ["", *(given[name] for name in ("model", "config") if name in given)]
    paths = [os.path.normpath(os.path.join(arguments.folder, name)) for name in named]
    return [path for path in paths if not os.path.exists(path)]


def _arguments_file(folder: Path) -> Path:
    """Return the path of the stored arguments of a build, which contains digests of the manifest
    and of the folder's path."""
    place = sha256(os.fsencode(os.path.realpath(folder)))[:16]
    manifest = sha256((folder / MANIFEST).read_bytes())
    return cache_folder(CACHE) / f"{manifest}-{place}.json"
