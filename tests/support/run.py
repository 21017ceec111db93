# SPDX-License-Identifier: Apache-2.0
"""What makes a run of the tests cheaper: temporary folders in memory, work that torch repeats."""

from __future__ import annotations

import functools
import os
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

IN_MEMORY = Path("/dev/shm")  # a file system of Linux
ROOM_BYTES = 2 << 30  # of the temporary folders of all processes, with room to spare


def memory_folder() -> Path | None:
    """Return a folder in memory with room for the temporary folders of a run, where programs can be
    started; None if there is none: a build writes 90 files, which take a disk ten times as long."""
    try:
        has_room = shutil.disk_usage(IN_MEMORY).free >= ROOM_BYTES
        can_start = not os.statvfs(IN_MEMORY).f_flag & os.ST_NOEXEC
    except OSError:
        return None
    return IN_MEMORY if has_room and can_start and os.access(IN_MEMORY, os.W_OK) else None


@contextmanager
def cheap_exports() -> Iterator[None]:
    """Context manager in which torch exports with less work, to the same programs.

    run_decompositions() looks up composite operators 26 to 52 times, a third of its time, in case
    libraries have added some meanwhile: here once. The stack trace of each node leaves out what is
    outside of forward(): of the 100 frames of a test, each was read from its file, a quarter of the
    time of an export.
    """
    from torch._export import utils
    from torch.utils import _traceback

    with pytest.MonkeyPatch.context() as patch:
        name = "_materialize_cpp_cia_ops"
        patch.setattr(utils, name, functools.cache(getattr(utils, name)))
        patch.setattr(_traceback, "_extract_symbolized_tb", _frames_of_forward)
        yield


def _frames_of_forward(symbolized: list[dict[str, Any]], skip: int) -> traceback.StackSummary:
    """Return the frames from the first forward() on, outermost first; all if there is none."""
    frames = symbolized[skip:][::-1]
    first = next((at for at, frame in enumerate(frames) if frame["name"] == "forward"), 0)
    found = traceback.StackSummary()
    for x in frames[first:]:
        found.append(traceback.FrameSummary(x["filename"], x["line"], x["name"], lookup_line=False))
    return found
