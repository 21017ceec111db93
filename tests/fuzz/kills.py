# SPDX-License-Identifier: Apache-2.0
"""Builds that are killed at any moment: the next one writes the same bytes, and leaves nothing."""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from myoedge.system import tools
from tests.conftest import Forked, myoedge, save_exported
from tests.support.networks.small import Small

BUILD = ("build", "model.pt2", "--calib", "random", "--no-simulate", "-o", "out")
CACHES = ("programs", "libraries", "objects", "stages", "tiles")
LONGEST_S = 300.0


@functools.cache
def sound() -> tuple[Path, dict[str, str], tuple[float, float]]:
    """(folder with the model and a cache, digests of its build by name, seconds of a build that
    compiles everything and of one that compiles nothing)."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-kills-", dir=tools.cache_folder("scratch")))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    torch.manual_seed(0)
    save_exported(Small(), (torch.zeros(1, 2, 12),), folder / "model.pt2")
    (folder / "cache").mkdir()
    (folder / "cache" / "zig").symlink_to(tools.cache_folder("zig"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYOEDGE_CACHE", str(folder / "cache"))
        seconds = (_seconds(folder), _seconds(folder))
    return folder, digests(folder / "out"), seconds


def _seconds(folder: Path) -> float:
    began = time.perf_counter()
    assert myoedge(*BUILD, cwd=folder).code == 0
    return time.perf_counter() - began


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def run(seed: int, folder: Path) -> dict[str, Any]:
    """Outcome of a build that follows killed ones, some with parts of the cache removed."""
    draw = random.Random(seed)
    source, wanted, seconds = sound()
    os.environ["MYOEDGE_CACHE"] = str(source / "cache")
    shutil.copyfile(source / "model.pt2", folder / "model.pt2")
    if draw.random() < 0.5:
        shutil.copytree(source / "out", folder / "out")
    kills = draw.choice((1, 1, 2, 3))
    for _ in range(kills):
        for name in CACHES:
            if draw.random() < 0.15:
                shutil.rmtree(source / "cache" / name, ignore_errors=True)
        process = Forked(*BUILD, cwd=folder).process
        time.sleep(draw.uniform(0.0, 1.2 * draw.choice(seconds)))
        if draw.random() < 0.2:  # beside a process that runs
            shutil.rmtree(source / "cache" / draw.choice(CACHES), ignore_errors=True)
        process.kill()
        process.join()
        if (folder / "out").exists() and digests(folder / "out") != wanted:
            return {"outcome": "half a build", "detail": f"{kills} kills"}
    ran = Forked(*BUILD, cwd=folder).ran(LONGEST_S)
    left = sorted(path.name for path in folder.iterdir())
    if ran.code or left != ["model.pt2", "out"]:
        return {"outcome": "traceback" if ran.code == 70 else "left", "detail": ran.err[-800:]}
    found = digests(folder / "out")
    differs = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
    if differs:
        return {"outcome": "difference", "detail": ", ".join(differs)[:400]}
    return {"outcome": "same bytes"}
