# SPDX-License-Identifier: Apache-2.0
"""The two files that `myoedge init` writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from myoedge.building.config import FILE
from myoedge.errors import MyoedgeError, command
from myoedge.system.folder import explained

CALIB_SCRIPT = "make_calib.py"

_TOML = """\
[model]
path = {path}
# factory = "net:make_model"     # for checkpoints and safetensors

[calib]
data = "calib.npz"               # {arrays}
# samples = 256                  # at most so many, evenly spread
# method = "percentile"          # "minmax" (default), "percentile", "mse"
# percentile = 99.99

[target]
chip = "gap9"

# [quant]
# "head.*" = {{ weights = "per_tensor" }}    # by module path

# [budget]                       # more than this is an error
# latency = "20 ms"              # simulated, at the operating point
# energy = "1 mJ"                # simulated too
# l2 = "900 KiB"                 # also l1 and l3
# sqnr = 25                      # dB, at least

# [conditioning]                 # filters in front of the network (scipy); docs/streaming.md
# rate_hz = 200
# band_hz = [20, 90]
# notch_hz = 50
# zscore_s = 0.5                 # a running z-score, with this time constant
# deviation = 8.0                # its initial deviation, in the unit of the input
# rectify = true

# [stream]                       # with --stream; docs/streaming.md
# rate = 200                     # samples a second: passes of as few frames as keep up
"""

_SCRIPT = """\
\"\"\"Makes calib.npz: real input windows, as the network sees them after your preprocessing.\"\"\"

import numpy as np

# Replace this by your recordings: some hundred windows of every class, from the training set.
recording = np.load("recording.npy")
{arrays}
# With label=, one class number a window, reports say how accurate float and int8 are.
np.savez("calib.npz", {names})
"""


def write_project_template(folder: Path, model: str | Path | None) -> tuple[Path, ...]:
    """Writes both files, or none. Errors: E223 where one exists, those of load for a model."""
    shapes = {} if model is None else _shapes(model)
    seen = str(model or "model.pt2")
    if model is not None and not Path(model).is_absolute():
        seen = os.path.relpath(model, folder)  # as myoedge.toml in that folder means it
    quoted = '"' + seen.replace("\\", "\\\\").replace('"', '\\"') + '"'  # a TOML basic string
    files = {
        FILE: _TOML.format(path=quoted, arrays=_described(shapes)),
        CALIB_SCRIPT: _SCRIPT.format(
            arrays=_made(shapes), names=", ".join(f"{n}={n}" for n in shapes or ["input"])
        ),
    }
    if folder.exists() and not folder.is_dir():
        facts = {"needs": "the folder of a project, to write myoedge.toml into"}
        tries = [command("init", "--from", folder)]
        raise MyoedgeError("E220", f"{folder} is no folder", facts, tries)
    there = [name for name in files if (folder / name).exists()]
    if there:
        facts = {"has": str(folder / there[0])}
        raise MyoedgeError("E223", f"{there[0]} exists already", facts, ["another folder"])
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)
    return tuple(folder / name for name in files)


Shapes = Mapping[str, tuple[int, ...]]


def _shapes(model: str | Path) -> dict[str, tuple[int, ...]]:
    from myoedge.building.loading import load_model
    from myoedge.quantization.samples import window

    graph = load_model(Path(model)).graph
    names = ["input"] if len(graph.inputs) == 1 else list(graph.inputs)
    shapes = {shown: graph.shape(name) for shown, name in zip(names, graph.inputs, strict=True)}
    return {name: window(shape) for name, shape in shapes.items()}


def _described(shapes: Shapes) -> str:
    known = shapes or {"input": ()}
    return ", ".join(
        f"{name} [samples, {', '.join(map(str, s)) or '...'}]" for name, s in known.items()
    )


def _made(shapes: Shapes) -> str:
    lines = []
    for name, shape in (shapes or {"input": ()}).items():
        sizes = ", ".join(map(str, shape)) or "..., channels, samples"
        lines.append(f"{name} = recording.astype(np.float32)  # as [samples, {sizes}]")
    return "\n".join(lines)
