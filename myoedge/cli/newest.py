# SPDX-License-Identifier: Apache-2.0
"""The build a verb means when none is named."""

from __future__ import annotations

from pathlib import Path

from myoedge.errors import MyoedgeError


def newest() -> Path:
    """The build below ./build that was written last. Errors: E222 where there is none."""
    from myoedge.folder import MANIFEST, is_build

    found = [path.parent for path in Path("build").glob(f"*/{MANIFEST}") if is_build(path.parent)]
    if not found:
        raise MyoedgeError(
            "E222", "no build is named, and there is none below build/", tries=["myoedge build"]
        )
    return max(found, key=lambda folder: ((folder / MANIFEST).stat().st_mtime_ns, folder.name))
