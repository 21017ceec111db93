# SPDX-License-Identifier: Apache-2.0
"""Files of samples in a project's folder."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path

from myoedge.quantization.recordings.files import kinds

RECORDINGS = "recordings"
TEST = "test"  # stem of a test set's file name
TEXTS = (".txt", ".tsv")  # these extensions may be no samples


def existing_samples(folder: Path) -> str | None:
    """Return the samples in a project's folder as a value for [calib] data: a file calib.*, the
    folder recordings, or all files if they have one format; None without samples."""
    known = [name for name in sample_files(folder) if Path(name).stem != TEST]
    if own := [name for name in known if Path(name).stem == "calib"]:
        return own[0]
    if os.path.isdir(folder / RECORDINGS):
        return RECORDINGS
    known = [name for name in known if Path(name).suffix.lower() not in TEXTS]
    return known[0] if len(known) == 1 else _pattern(known, sample_files(folder))


def _pattern(known: Sequence[str], others: Sequence[str]) -> str | None:
    """Return the glob pattern of the files if they have one format; None for several formats, or if
    the pattern would include a test set."""
    endings = {Path(name).suffix for name in known}
    pattern = f"*{min(endings, default='')}"
    is_whole = len(endings) == 1 and {*known} == {*fnmatch.filter(others, pattern)}
    return pattern if is_whole else None


def sample_files(folder: Path) -> list[str]:
    """Return the names of the files of samples in a folder, sorted."""
    paths = folder.glob("[!.]*") if os.path.isdir(folder) else ()
    names = sorted(path.name for path in paths if path.is_file())
    return [name for name in names if Path(name).suffix.lower() in kinds()]
