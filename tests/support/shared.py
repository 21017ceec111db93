# SPDX-License-Identifier: Apache-2.0
"""Folders that all processes of a test run share: the first that needs one makes it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

Folders = pytest.TempPathFactory


def made_once(folders: Folders, name: str, make: Callable[[Path], object]) -> Path:
    """Return the folder that `make` fills, which tests only read or copy.

    name   of what is made, among all that a test run shares
    """
    base = folders.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, made = root / f"shared-{name}", root / f"shared-{name}.made"
    with (root / f"shared-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            made.touch()
    return folder
