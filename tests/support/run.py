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
AT_LENGTH = bool(os.environ.get("MYOEDGE_TESTS_AT_LENGTH"))  # set by make test-all
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


def optimization() -> str:
    """Return the option for C that a test compiles with sanitizers: in make test none, which
    compiles up to three times faster and leaves to them what optimising might change."""
    return "-O1" if AT_LENGTH else "-O0"


@contextmanager
def cheap_exports() -> Iterator[None]:
    """Context manager in which torch exports with less work, to the same programs.

    run_decompositions() looks up composite operators 26 to 52 times, a third of its time, in case
    libraries have added some meanwhile: here once. The stack trace of each node is made without
    frames that are left out of it later: those outside of forward(), of which a test has 100, and
    those of torch. Modules that nothing calls are not generated as code.
    """
    from torch._export import utils
    from torch.fx._lazy_graph_module import _use_lazy_graph_module
    from torch.utils import _traceback

    with pytest.MonkeyPatch.context() as patch, _use_lazy_graph_module(True):
        name = "_materialize_cpp_cia_ops"
        patch.setattr(utils, name, functools.cache(getattr(utils, name)))
        patch.setattr(_traceback, "_extract_symbolized_tb", _frames_of_networks)
        yield


def _frames_of_networks(symbolized: list[dict[str, Any]], skip: int) -> traceback.StackSummary:
    """Return the first forward() and the later frames that are not torch's, outermost first; all
    frames if there is no forward()."""
    from torch.fx.experimental.symbolic_shapes import uninteresting_files

    frames, left_out = symbolized[skip:][::-1], uninteresting_files()
    first = next((at for at, frame in enumerate(frames) if frame["name"] == "forward"), None)
    if first is not None:
        later = (frame for frame in frames[first + 1 :] if frame["filename"] not in left_out)
        frames = [frames[first], *later]
    found = traceback.StackSummary()
    for x in frames:
        found.append(traceback.FrameSummary(x["filename"], x["line"], x["name"], lookup_line=False))
    return found
