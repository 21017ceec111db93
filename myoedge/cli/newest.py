# SPDX-License-Identifier: Apache-2.0
"""Default build of verbs that were given none."""

from __future__ import annotations

from pathlib import Path

from myoedge.cli.shell import Terminal
from myoedge.errors import MyoedgeError


def chosen_build(terminal: Terminal, folder: str | None) -> Path:
    """The folder given on the command line, else the newest build, which is printed."""
    if folder is not None:
        return Path(folder)
    folder_of_newest = newest()
    terminal.progress(f"  newest build: {folder_of_newest}")
    return folder_of_newest


def newest() -> Path:
    """The most recent build below ./build. Errors: E222 no build there."""
    from myoedge.system.folder import MANIFEST, is_build

    builds = [path.parent for path in Path("build").glob(f"*/{MANIFEST}") if is_build(path.parent)]
    if not builds:
        raise MyoedgeError(
            "E222", "no build is given, and none is below build/", tries=["myoedge build"]
        )
    return max(builds, key=lambda folder: ((folder / MANIFEST).stat().st_mtime_ns, folder.name))
