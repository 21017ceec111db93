# SPDX-License-Identifier: Apache-2.0
"""The library of a network as a zip file, for build systems that cannot use src/ as it is."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from myoedge.codegen.render import render
from myoedge.targets.program import LibraryArchive, ProgramTarget

GOLDEN, LICENSE = "golden.h", "LICENSE"
FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest of the format: equal contents give equal bytes


def library_zips(
    program: ProgramTarget | None, files: Mapping[str, str], values: Mapping[str, Any]
) -> dict[str, bytes]:
    """Return file name -> zip file, for the archives of a chip's programs.

    files    of src/
    values   of the templates
    """
    found = {}
    for archive in () if program is None else program.archives:
        texts = _library(archive, files, values["own"]) | _rendered(archive.templates, values)
        if GOLDEN in files:
            texts |= {archive.golden: files[GOLDEN], **_rendered(archive.example, values)}
        found[values["prefix"] + archive.name] = _zip(values["prefix"], texts)
    return found


def _library(archive: LibraryArchive, files: Mapping[str, str], own: list[str]) -> dict[str, str]:
    """Return the files of the library: the network's C, its kernels, and headers that these may
    include."""
    texts = {LICENSE: files[LICENSE]}
    for path, text in files.items():
        folder, kind = str(PurePath(path).parent), PurePath(path).suffix
        is_header = folder == "." and kind == ".h" and path != GOLDEN
        if folder == "library" or is_header or path in own:
            texts[f"{archive.sources}/{path}"] = text
    return texts


def _rendered(templates: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
    return {path: render(template, values) for path, template in templates.items()}


def _zip(folder: str, texts: Mapping[str, str]) -> bytes:
    """Return a zip file with one folder, as arduino-cli and the IDE require."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in sorted(texts.items()):
            archive.writestr(
                zipfile.ZipInfo(f"{folder}/{path}", FIRST_DATE), text, zipfile.ZIP_DEFLATED
            )
    return content.getvalue()
