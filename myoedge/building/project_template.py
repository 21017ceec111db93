# SPDX-License-Identifier: Apache-2.0
"""The two files that `myoedge init` writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from myoedge.building.config import FILE
from myoedge.codegen.render import render
from myoedge.errors import MyoedgeError, command
from myoedge.system.folder import explained

CALIB_SCRIPT = "make_calib.py"


def write_project_template(folder: Path, model: str | Path | None) -> tuple[Path, ...]:
    """Writes both files, or none. Errors: E223 where one exists, those of load for a model."""
    shapes = {} if model is None else _shapes(model)
    seen = str(model or "model.pt2")
    if model is not None and not Path(model).is_absolute():
        seen = os.path.relpath(model, folder)  # as myoedge.toml in that folder means it
    quoted = '"' + seen.replace("\\", "\\\\").replace('"', '\\"') + '"'  # a TOML basic string
    names = ", ".join(f"{name}={name}" for name in shapes or ["input"])
    values = {
        "path": quoted,
        "arrays": _described(shapes),
        "lines": _made(shapes),
        "names": names,
    }
    files = {name: render(f"init/{name}.j2", values) for name in (FILE, CALIB_SCRIPT)}
    if os.path.exists(folder) and not folder.is_dir():
        facts = {"needs": "the folder of a project, to write myoedge.toml into"}
        tries = [command("init", "--from", folder)]
        raise MyoedgeError("E220", f"{folder} is no folder", facts, tries)
    there = [name for name in files if os.path.exists(folder / name)]
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
