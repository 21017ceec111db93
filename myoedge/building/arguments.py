# SPDX-License-Identifier: Apache-2.0
"""Arguments of builds made on this computer, so that a build can be varied: kept in the cache, as a
build folder names no path of the computer that wrote it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError
from myoedge.system.cache import SEAL_BYTES, is_cached, prune, store
from myoedge.system.folder import MANIFEST, sha256
from myoedge.system.tools import cache_folder, scratch

if TYPE_CHECKING:
    from myoedge.backends.build import Build

CACHE = "builds"
OWN = ("output", "strict", "simulate", "say", "progress")  # of the one call alone


@dataclass(frozen=True)
class Arguments:
    """Arguments of api.build by name, and the folder in which they were given."""

    given: Mapping[str, Any] = field(default_factory=dict)
    folder: str = "."


def arguments_of(call: Mapping[str, Any]) -> Arguments:
    """Arguments that a call differs by from one without any, for another build of the same."""
    known = {name: x for name, x in call.items() if x is not None and x is not False}
    return Arguments({n: x for n, x in known.items() if n not in OWN}, os.getcwd())


def remember(folder: Path, arguments: Arguments) -> None:
    """Keeps the arguments of a build that was written, unless arrays are among them, others that
    gave the same files are known, or the cache cannot be written."""
    if _known(_path(folder)) is not None:
        return
    with suppress(TypeError, OSError, MyoedgeError), scratch() as temporary:
        fresh = temporary / "arguments"
        fresh.write_text(json.dumps({"given": _plain(arguments.given), "folder": arguments.folder}))
        path = _path(folder)
        store(fresh, path)
        prune(path.parent)


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: str(x) if isinstance(x, os.PathLike) else x for name, x in given.items()}


def recalled(build: Build) -> Arguments:
    """The arguments of a build. Errors: E262 they are not known, or their folder is gone."""
    if isinstance(build.arguments, Arguments):
        return build.arguments
    known = _known(_path(build.folder))
    if known is not None:
        return known
    title = f"{build.folder} was not built on this computer, or long ago"
    facts = {"needs": "the model and the samples it was built from"}
    tries = ["myoedge build, once more with the same arguments"]
    raise MyoedgeError("E262", title, facts, tries)


def _known(path: Path) -> Arguments | None:
    """Arguments that are kept, where the files that they name are still there."""
    if not is_cached(path):
        return None
    found = json.loads(path.read_bytes()[:-SEAL_BYTES])
    files = [".", *(found["given"][name] for name in ("model", "config") if name in found["given"])]
    is_there = all(os.path.exists(os.path.join(found["folder"], file)) for file in files)
    return Arguments(found["given"], found["folder"]) if is_there else None


def _path(folder: Path) -> Path:
    """By the manifest: it names the digests of all files of a build."""
    return cache_folder(CACHE) / f"{sha256((folder / MANIFEST).read_bytes())}.json"
