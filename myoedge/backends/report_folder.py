# SPDX-License-Identifier: Apache-2.0
"""Folder whose files are checked against its manifest, and whose reports verbs replace."""

from __future__ import annotations

import contextlib
import json
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from myoedge.catalogue import warning
from myoedge.codegen.render import sources
from myoedge.errors import MyoedgeError, Notice, command
from myoedge.system import cache
from myoedge.system.cache import sha256
from myoedge.system.folder import (
    MANIFEST,
    UNWRITABLE,
    explained,
    finish_replacing,
    replace_files,
    unreplaced,
)
from myoedge.system.regular_files import read_regular, read_text
from myoedge.system.tools import cache_folder
from myoedge.version import __version__

# Keys of report.json that commands read; the manifest cannot protect a replaced file.
REPORT_KEYS = frozenset(
    (
        *("schema", "digest", "model", "target", "quantization", "exact", "memory", "inputs"),
        *("outputs", "layers"),
    )
)

DAMAGED = "E222"
MADE_HERE = "generated"  # folder of the cache: digests of manifests

REPLACED = ("report.", "layers.csv")  # by validate, simulate and others

MAP_KEYS = frozenset(("buffers", "l1_buffers", "l1_planned_bytes", "constants", "l3_maps"))


@dataclass(frozen=True)
class ReportFolder:
    """A build's folder: its manifest, its files by digest, and its reports."""

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return self._read_json(MANIFEST)

    @property
    def manifest_digest(self) -> str:
        """SHA-256 of the manifest: copies of a build have the same."""
        return sha256((self.folder / MANIFEST).read_bytes())

    @property
    def report(self) -> dict[str, Any]:
        """Current report.json, which `validate` and other verbs replace."""
        with contextlib.suppress(OSError):  # the folder may be read-only
            finish_replacing(self.folder)
        report = self._read_json("report.json")
        if missing := REPORT_KEYS - report.keys():
            raise damaged(self.folder, ValueError(f"report.json has no {min(missing)}"))
        if report["digest"] != report_digest(report):
            raise damaged(self.folder, ValueError("report.json was changed after it was written"))
        if _report_digests(report) != _report_digests(self.manifest):
            raise damaged(self.folder, ValueError("report.json is about another model"))
        if None in (_report_digests(report) or ()):
            raise damaged(self.folder, ValueError("an older version built it"))
        self._check_manifest(self.manifest)  # fails if the report belongs to a newer build
        return report

    @property
    def mapped_report(self) -> dict[str, Any]:
        """Return report.json with its list of buffers. Errors: E222 if an older version wrote
        it."""
        report = self.report
        if missing := MAP_KEYS - report["memory"].keys():
            raise damaged(self.folder, ValueError(f"report.json has no memory.{min(missing)}"))
        return report

    def replace(self, files: Mapping[str, bytes]) -> None:
        """Replace reports in the folder. Errors: E222 if the folder has been rebuilt meanwhile."""
        with unreplaced(self.folder):
            self._check_manifest(self.manifest)
            replace_files(self.folder, files)

    def updated(self, files: Mapping[str, bytes]) -> Notice | None:
        """Write new reports into the folder; return warning W210 if they cannot be written.

        Errors: E222 as for `replace`.
        """
        try:
            self.replace(files)
        except MyoedgeError as error:
            if error.code not in UNWRITABLE:
                raise
            values = {"folder": self.folder, "copy": self._copy_command}
            return warning("W210", values, dict(error.notice.facts))
        return None

    @property
    def _copy_command(self) -> str:
        return f"{shlex.join(['cp', '-r', str(self.folder), 'copy'])}, and again with copy"

    def check_writable(self) -> None:
        """Raise E220 or E281 if the folder cannot be written."""
        with explained(self.folder, self._copy_command):
            tempfile.TemporaryFile(dir=self.folder).close()

    def check_written(self, files: Mapping[str, bytes]) -> None:
        """Raise E222 if another build has replaced these files in the folder.

        files   file name -> bytes
        """
        self._check_manifest(json.loads(files[MANIFEST]))

    def _check_manifest(self, known: Mapping[str, Any]) -> None:
        if self._read_json(MANIFEST) != known:
            raise damaged(self.folder, ValueError("another build has replaced it meanwhile"))

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of every file by name, from the manifest as first read, so that files of two
        builds are never mixed."""
        files = self.manifest.get("files")
        return files if isinstance(files, dict) else {}

    @property
    def layers(self) -> tuple[Mapping[str, Any], ...]:
        """Rows of the layers, as in layers.csv."""
        return tuple(self.report["layers"])

    def written(self, name: str) -> bytes:
        """Read a file of the build. Errors: E222 if it is missing or has changed since the
        build."""
        try:
            content = read_regular(self.folder / name)
        except OSError as error:
            raise damaged(self.folder, error, name) from None
        if sha256(content) != self.digests.get(name):
            raise damaged(self.folder, ValueError(f"{name} is not as build wrote it"))
        return content

    @cached_property
    def made_here(self) -> bool:
        """Whether this computer has generated the files that the manifest lists, or has compared
        them with what it generates: any other folder may come from anybody."""
        return cache.is_cached(_trust_file(self.manifest))

    @contextlib.contextmanager
    def meaningful(self, name: str) -> Iterator[None]:
        """Context manager that raises E222 if using a file with the right digest fails.

        Every exception counts, because a file from elsewhere, or of another version, may have any
        content. In a build by this code on this computer it is a bug, and stays what it is.
        """
        try:
            yield
        except Exception as error:
            if self._is_by_this_code or getattr(error, "code", "") == DAMAGED:
                raise
            raise damaged(self.folder, error, name, self.versions) from None

    @property
    def _is_by_this_code(self) -> bool:
        return cache.content(_trust_file(self.manifest)) == sources().encode()

    @property
    def versions(self) -> dict[str, str]:
        """The version that built the folder, and this one, as facts of errors; {} if they are
        one."""
        by, known = str(self.manifest.get("myoedge")), cache.content(_trust_file(self.manifest))
        if by == __version__ and known in (None, sources().encode()):
            return {}
        same = ", of other sources" if by == __version__ else ""
        return {"built by": f"myoedge {by}{same}", "this is": f"myoedge {__version__}"}

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            return dict(json.loads(read_text(self.folder / name)))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise damaged(self.folder, error, name) from None


def remember_made_here(manifest: Mapping[str, Any]) -> None:
    """Record that this computer generated the files of the build with this manifest; without room
    for the record they are generated and compared again."""
    with contextlib.suppress(MyoedgeError, OSError):
        cache.keep(sources().encode(), _trust_file(manifest))


def _trust_file(manifest: Mapping[str, Any]) -> Path:
    text = json.dumps(manifest, sort_keys=True)
    return cache_folder(MADE_HERE) / sha256(text.encode())


def report_digest(report: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a report without its entry "digest"; independent of indentation."""
    others = {key: value for key, value in report.items() if key != "digest"}
    return sha256(json.dumps(others, sort_keys=True).encode())


def _report_digests(document: Mapping[str, Any]) -> Any:
    """Return a report's digests of the float network and of its integers; None without a model."""
    model = document.get("model")
    if not isinstance(model, dict):
        return None
    return model.get("digest"), model.get("integer_digest")


def damaged(
    folder: Path, error: Exception, name: str = "", versions: Mapping[str, str] | None = None
) -> MyoedgeError:
    """Return error E222 for a damaged build folder.

    error      the exception that reading the folder raised
    name       file that could not be read
    versions   facts of a folder that another version built
    """
    title = error.notice.title if isinstance(error, MyoedgeError) else str(error)
    text = getattr(error, "strerror", None) or title or type(error).__name__
    text = f"no entry {text}" if isinstance(error, KeyError) else text
    cause = f"{name}: {text.splitlines()[0]}".removeprefix(": ")
    if isinstance(error, FileNotFoundError) and name:
        cause = f"{name} is gone"
    whole = f"{folder.name} is not a whole build folder"
    needs = "the files that this version of `myoedge build` wrote, unchanged"
    again = command("build", "MODEL", "--calib", "CALIB", "-o", folder)
    return MyoedgeError(DAMAGED, whole, {"needs": needs, "has": cause, **(versions or {})}, [again])
