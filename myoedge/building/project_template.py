# SPDX-License-Identifier: Apache-2.0
"""Files that `myoedge init` writes: myoedge.toml, and a script if there are no samples yet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from myoedge.building.config import FILE
from myoedge.building.found_settings import TEST, existing_samples, found_settings, sample_files
from myoedge.building.loading import WEIGHTS, Model, is_random
from myoedge.codegen.render import render
from myoedge.errors import MyoedgeError, command, printable
from myoedge.frontend.detect import sniff
from myoedge.quantization.recordings.files import files_of
from myoedge.quantization.recordings.sources import is_function
from myoedge.system.folder import explained, replace_files
from myoedge.system.toml_text import toml_text
from myoedge.targets import CHIPS

CALIB, CALIB_SCRIPT = "calib.npz", "make_calib.py"
FACTORY = "net:make_model"  # for a checkpoint, to be replaced by the user
UNKNOWN_SHAPE = "E205"  # error of load: a factory without example inputs, and no samples


def write_project_template(
    folder: Path, model: str | Path | None, factory: str | None, calib: str | Path | None
) -> tuple[Path, ...]:
    """Write myoedge.toml, and make_calib.py if the folder has neither that script nor samples;
    either all files are written or none.

    Errors: as load for a model; E210 samples that do not exist, E220 not writable, E223 a file
    exists.
    """
    data, given = _sample_paths(folder, calib)
    loaded = None if model is None else _load_model(Path(model), factory, given)
    tests = (toml_text(name) for name in sample_files(folder) if Path(name).stem == TEST)
    values = {
        "path": _toml_path("model.pt2" if model is None else _path_relative_to(folder, model)),
        "factory": _factory_value(model, factory),
        "data": _toml_path(data or CALIB),
        "test": next(tests, None),
        "found": found_settings(given, loaded),
        "chips": [*map(toml_text, CHIPS)],
        **_describe_inputs(loaded, given),
    }
    # the script only if there are neither samples nor a script
    is_needed = data is None and not os.path.lexists(folder / CALIB_SCRIPT)
    names = (FILE, CALIB_SCRIPT) if is_needed else (FILE,)
    files = {name: render(f"init/{name}.j2", values) for name in names}
    _write_new(folder, files)
    return tuple(folder / name for name in files)


def _sample_paths(folder: Path, calib: str | Path | None) -> tuple[str | None, str | Path | None]:
    """Return (value for [calib] data, path from the current folder) of the samples; (None, None)
    without samples."""
    if calib is None:
        data = existing_samples(folder)
        return data, None if data is None else str(folder / data)
    if not (is_function(calib) or is_random(calib)):
        files_of(Path(calib))
    return _path_relative_to(folder, calib), calib


def _factory_value(model: str | Path | None, factory: str | None) -> str | None:
    """Return the factory as a TOML value if the model file holds only weights; otherwise None."""
    is_weights = model is not None and sniff(Path(model)) in WEIGHTS
    named = factory or (FACTORY if is_weights else None)
    return None if named is None else toml_text(named)


def _describe_inputs(model: Model | None, given: str | Path | None) -> dict[str, object]:
    """Describe the inputs of a model, or else of the samples, or else usual inputs."""
    of_model = {} if model is None else _model_inputs(model)
    inputs = of_model or _read_sample_windows(given) or {"input": USUAL}
    shapes = {name: ", ".join(("samples", *map(str, x.shape))) for name, x in inputs.items()}
    return {
        "arrays": {name: x.made for name, x in inputs.items()},
        "described": ", ".join(f"{name} [{shape}]" for name, shape in shapes.items()),
    }


def _path_relative_to(folder: Path, given: str | Path) -> str:
    """Return a path relative to the folder of myoedge.toml; functions and "random" are
    unchanged."""
    if is_function(given) or is_random(given) or Path(given).is_absolute():
        return str(given)
    return os.path.relpath(given, folder)


def _toml_path(path: str) -> str:
    """Return a path as a TOML string. Errors: E220 a path that is not UTF-8."""
    if path != os.fsencode(path).decode("utf-8", "replace"):
        facts = {"cause": "it is not UTF-8, which a TOML file is"}
        tries = ["a file of another name"]
        raise MyoedgeError("E220", f"{FILE} cannot name {printable(path)}", facts, tries)
    return toml_text(path)


def _write_new(folder: Path, files: Mapping[str, str]) -> None:
    """Write files that must not exist yet. Errors: E220 not writable, E223 a file exists."""
    if os.path.exists(folder) and not folder.is_dir():
        facts = {"needs": "the folder of a project, to write myoedge.toml into"}
        tries = [command("init", "--from", folder)]
        raise MyoedgeError("E220", f"{folder} is no folder", facts, tries)
    there = [name for name in files if os.path.lexists(folder / name)]
    if there:
        facts = {"has": str(folder / there[0])}
        tries = [f"edit {folder / there[0]}, or move it away and run init again"]
        raise MyoedgeError("E223", f"{there[0]} exists already", facts, tries)
    tries = ["myoedge init <a writable folder>"]
    with explained(folder, *tries):
        folder.mkdir(parents=True, exist_ok=True)
    replace_files(folder, {name: text.encode() for name, text in files.items()}, tries)


@dataclass(frozen=True, slots=True)
class InputArray:
    """An input's array in the script that creates calibration data.

    shape    shape of one window
    limits   smallest and largest integer; None for floats
    """

    shape: tuple[int, ...]
    limits: tuple[int, int] | None = None

    @property
    def made(self) -> str:
        """Return a Python expression that creates synthetic samples."""
        if self.limits is None:
            return f"windows({', '.join(map(str, self.shape))})"
        low, high = self.limits
        return f"rng.integers({low}, {high + 1}, (COUNT, {', '.join(map(str, self.shape))}))"


USUAL = InputArray((8, 200))  # (channels, samples), if no model is given


def _read_sample_windows(given: str | Path | None) -> dict[str, InputArray]:
    """Read the input arrays of a file of windows; {} if the file cannot be read, which `quantize`
    will report."""
    from myoedge.quantization.recordings.sources import read

    if given is None or is_function(given) or is_random(given):
        return {}
    try:
        inputs = {name: x.shape[1:] for name, x in read(given).inputs.items()}
    except MyoedgeError:
        return {}
    has_windows = all(map(_is_window, inputs.values()))
    return {name: InputArray(shape) for name, shape in inputs.items()} if has_windows else {}


def _is_window(shape: tuple[int, ...]) -> bool:
    return len(shape) > 1  # [rows, channels] is a recording


def _load_model(model: Path, factory: str | None, calib: str | Path | None) -> Model | None:
    """Load a model; None if a checkpoint's network or its shape is unknown. Errors: as load."""
    from myoedge.building.loading import load_model

    if factory is None and sniff(model) in WEIGHTS:
        return None
    try:
        return load_model(model, factory, calib)
    except MyoedgeError as error:
        if error.code == UNKNOWN_SHAPE:
            return None
        raise


def _model_inputs(model: Model) -> dict[str, InputArray]:
    """Return the inputs of a model."""
    from myoedge.operators.embedding import id_limits
    from myoedge.quantization.samples import window

    graph = model.graph
    names = ["input"] if len(graph.inputs) == 1 else list(graph.inputs)
    return {
        shown: InputArray(window(graph.shape(name)), id_limits(graph, name))
        for shown, name in zip(names, graph.inputs, strict=True)
    }
