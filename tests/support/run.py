# SPDX-License-Identifier: Apache-2.0
"""What makes a run of the tests cheaper: temporary folders in memory, work that torch repeats."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
def operators_listed_once() -> Iterator[None]:
    """Context manager in which torch looks up its composite operators once: run_decompositions()
    does so 26 to 52 times, a third of its time, in case libraries have added some meanwhile."""
    from torch._export import utils

    with pytest.MonkeyPatch.context() as patch:
        name = "_materialize_cpp_cia_ops"
        patch.setattr(utils, name, functools.cache(getattr(utils, name)))
        yield
