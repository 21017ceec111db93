# SPDX-License-Identifier: Apache-2.0
"""The build a verb means when none is named."""

from __future__ import annotations

from pathlib import Path

from myoedge.cli.shell import Voice
from myoedge.errors import MyoedgeError


def named_or_newest(voice: Voice, folder: str | None) -> Path:
    """The folder named on the command line, else the newest, and a line that says which."""
    if folder is not None:
        return Path(folder)
    found = newest()
    voice.say(f"  newest build: {found}")
    return found


def newest() -> Path:
    """The build below ./build that was written last. Errors: E222 where there is none."""
    from myoedge.system.folder import MANIFEST, is_build

    found = [path.parent for path in Path("build").glob(f"*/{MANIFEST}") if is_build(path.parent)]
    if not found:
        raise MyoedgeError(
            "E222", "no build is named, and there is none below build/", tries=["myoedge build"]
        )
    return max(found, key=lambda folder: ((folder / MANIFEST).stat().st_mtime_ns, folder.name))
