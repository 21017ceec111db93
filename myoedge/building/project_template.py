# SPDX-License-Identifier: Apache-2.0
"""The two files that `myoedge init` writes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from myoedge.building.config import FILE, toml_text
from myoedge.codegen.render import render
from myoedge.errors import MyoedgeError, command, printable
from myoedge.system.folder import explained, replace_files

CALIB_SCRIPT = "make_calib.py"


def write_project_template(folder: Path, model: str | Path | None) -> tuple[Path, ...]:
    """Writes both files, or none.

    Errors: E220 not writable, E223 where one exists; those of load for a model.
    """
    inputs = {"input": USUAL} if model is None else _inputs(model)
    seen = str(model or "model.pt2")
    if model is not None and not Path(model).is_absolute():
        seen = os.path.relpath(model, folder)  # as myoedge.toml in that folder means it
    if seen != os.fsencode(seen).decode("utf-8", "replace"):
        facts = {"cause": "it is not UTF-8, which a TOML file is"}
        tries = ["a model file of another name"]
        raise MyoedgeError("E220", f"{FILE} cannot name {printable(seen)}", facts, tries)
    described = ", ".join(f"{name} [{_samples(x.shape)}]" for name, x in inputs.items())
    arrays = {name: x.made for name, x in inputs.items()}
    values = {"path": toml_text(seen), "arrays": arrays, "described": described}
    files = {name: render(f"init/{name}.j2", values) for name in (FILE, CALIB_SCRIPT)}
    if os.path.exists(folder) and not folder.is_dir():
        facts = {"needs": "the folder of a project, to write myoedge.toml into"}
        tries = [command("init", "--from", folder)]
        raise MyoedgeError("E220", f"{folder} is no folder", facts, tries)
    there = [name for name in files if os.path.exists(folder / name)]
    if there:
        facts = {"has": str(folder / there[0])}
        raise MyoedgeError("E223", f"{there[0]} exists already", facts, ["another folder"])
    tries = ["myoedge init <a writable folder>"]
    with explained(folder, *tries):
        folder.mkdir(parents=True, exist_ok=True)
    replace_files(folder, {name: text.encode() for name, text in files.items()}, tries)
    return tuple(folder / name for name in files)


@dataclass(frozen=True, slots=True)
class InputArray:
    """Array of an input: the shape of a window; limits of integers, None for floats."""

    shape: tuple[int, ...]
    limits: tuple[int, int] | None = None

    @property
    def made(self) -> str:
        """Python that makes synthetic samples."""
        if self.limits is None:
            return f"windows({', '.join(map(str, self.shape))})"
        low, high = self.limits
        return f"rng.integers({low}, {high + 1}, (COUNT, {', '.join(map(str, self.shape))}))"


USUAL = InputArray((8, 200))  # channels and samples, where no model is named


def _inputs(model: str | Path) -> dict[str, InputArray]:
    from myoedge.building.loading import load_model
    from myoedge.operators.embedding.definition import id_limits
    from myoedge.quantization.samples import window

    graph = load_model(Path(model)).graph
    names = ["input"] if len(graph.inputs) == 1 else list(graph.inputs)
    return {
        shown: InputArray(window(graph.shape(name)), id_limits(graph, name))
        for shown, name in zip(names, graph.inputs, strict=True)
    }


def _samples(shape: tuple[int, ...]) -> str:
    return ", ".join(("samples", *map(str, shape)))
