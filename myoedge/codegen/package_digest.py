# SPDX-License-Identifier: Apache-2.0
"""Digest of the code of this package, which tells versions apart that have one number."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from myoedge.system import cache as files


@cache
def sources() -> str:
    """Return a digest of the sources of this package, its C library and the simulator."""
    from myoedge.codegen.render import template_dir

    return "".join(map(digest_of, (Path(__file__).parents[1], template_dir())))


def digest_of(folder: Path) -> str:
    """Return a digest of the names and contents of all files below a folder."""
    below = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return files.digest(folder, sorted(below), ())
