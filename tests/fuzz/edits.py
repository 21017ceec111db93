# SPDX-License-Identifier: Apache-2.0
"""Build folders whose JSON somebody has edited: E222, or as good as before."""

from __future__ import annotations

import atexit
import functools
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.conftest import Ran, myoedge, save_exported
from tests.fuzz.files import bent, flipped, moved, numbered, outcome
from tests.support.networks.causal import causal
from tests.support.networks.small import Small

NAMES = ("manifest.json", "graph.json", "report.json", "plan.json", "stream.json")
VERBS = (
    ("report", "out"),
    ("validate", "out"),
    ("inspect", "out"),
    ("inspect", "out", "--memory"),
    ("report", "whole", "--against", "out"),
    ("report", "out", "--against", "whole"),
    ("simulate", "out", "--trace", "trace.json"),
    ("energy", "out"),
)
ALLOWED = ("E222", "E280")


@functools.cache
def builds() -> Path:
    """Folder of a build of samples and of a stream, for as long as this process lives."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-builds-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    torch.manual_seed(0)
    save_exported(Small(), (torch.zeros(1, 2, 12),), folder / "whole.pt2")
    model, c = causal(np.random.default_rng(1), 3, 64)
    save_exported(model, (torch.zeros(1, c, 64),), folder / "stream.pt2")
    (folder / "myoedge.toml").write_text("[stream]\naxis = 2\nframes = 2\n")
    for name, options in (("whole", ()), ("stream", ("--stream",))):
        build = ("build", f"{name}.pt2", "--calib", "random", "--no-simulate", "-o", name, *options)
        assert myoedge(*build, cwd=folder).code == 0
    return folder


def run(seed: int, folder: Path) -> dict[str, Any]:
    """Outcome of an edit: refused, harmless, or what is wrong."""
    draw = random.Random(seed)
    of = draw.choice(("whole", "whole", "stream"))
    for name, source in (("out", of), ("whole", "whole")):
        shutil.copytree(builds() / source, folder / name)
    found = edit(folder / "out", draw)
    for verb in (draw.choice(VERBS), draw.choice(VERBS[:3])):
        ended = _judged(myoedge(*verb, cwd=folder))
        if ended["outcome"] not in ("harmless", "refused"):
            return found | ended | {"verb": " ".join(verb)}
        found |= ended
    return found


def edit(folder: Path, draw: random.Random) -> dict[str, Any]:
    """Edits one of a build's files; says which, and how."""
    path = folder / draw.choice([name for name in NAMES if (folder / name).exists()])
    change = draw.choice((bent, bent, bent, flipped, numbered, moved))
    path.write_bytes(change(path.read_bytes(), draw))
    return {"file": path.name, "damage": change.__name__}


def _judged(ran: Ran) -> dict[str, Any]:
    found = outcome(ran)
    if found["outcome"] == "read":
        return {"outcome": "harmless"}
    if found["outcome"] == "refused" and found["code"] not in ALLOWED:
        return {**found, "outcome": "another code", "detail": ran.err[-800:]}
    return found
