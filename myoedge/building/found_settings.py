# SPDX-License-Identifier: Apache-2.0
"""Samples in a project's folder, and settings of [calib] and [stream] that `init` finds in
them."""

from __future__ import annotations

import fnmatch
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.building.loading import Model, is_random
from myoedge.building.sample_statistics import times_training
from myoedge.errors import MyoedgeError
from myoedge.quantization.recordings.files import files_of, kinds, read_file
from myoedge.quantization.recordings.reading import LABEL, LIKELY_LABELS, Content, Reading, folded
from myoedge.quantization.recordings.recorded import windowed
from myoedge.quantization.recordings.sources import is_function, read
from myoedge.quantization.samples import fit
from myoedge.system.toml_text import toml_text

UNITS = ("mV", "µV", "nV")  # in which networks are trained seldom
SINGLE_LETTERS = 1  # names of so many letters are rather axes of a sensor than labels
MOST_COLUMNS = 64
Value = str | float | list[str] | list[int]


def found_settings(given: str | Path | None, model: Model | None) -> dict[str, str]:
    """Return the settings that recordings and their model suggest, as TOML values: label, array,
    columns and scale of [calib], rate of [stream]; and "unit" for a scale that is not known.

    given   a file, folder or pattern; None and functions: nothing is found
    model   its first batch norm, or its example input, tells the scale; None: unknown
    Files that cannot be read give {}: the build reports them.
    """
    content = _read_first_file(given)
    if content is None or given is None:
        return {}
    inputs = () if model is None else tuple(model.graph.inputs)
    found = dict[str, Value](_settings_of_content(content, inputs))
    if model is not None and (scale := _find_scale(given, model, found)) is not None:
        found["scale"] = scale
    unit = content.unit if content.unit in UNITS and "scale" not in found else ""
    return {name: _toml_value(value) for name, value in found.items()} | (
        {"unit": unit} if unit else {}
    )


def _read_first_file(given: str | Path | None) -> Content | None:
    """Read the first file of samples; None if there is none, or if it cannot be read."""
    if given is None or is_function(given) or is_random(given):
        return None
    try:
        return read_file(files_of(Path(given))[0], Reading())
    except MyoedgeError:
        return None


def _settings_of_content(content: Content, inputs: Sequence[str]) -> Iterator[tuple[str, Value]]:
    """Yield settings of one file, for a network with these inputs; () if they are unknown."""
    label = content.label or _find_label_name(content, inputs)
    if label:
        yield "label", label
    signals = {name: x.size for name, x in content.arrays.items() if name not in (label, LABEL)}
    if len(signals) > 1 == len(inputs):
        yield "array", max(signals, key=signals.__getitem__)
    names = [name for name in content.columns if name != label]
    if 0 < len({*names}) == len(names) <= MOST_COLUMNS:
        yield "columns", [*map(int, names)] if all(map(str.isdecimal, names)) else names
    yield from _sampling_rates(content)


def _sampling_rates(content: Content) -> Iterator[tuple[str, Value]]:
    for rate in content.rates.values():
        value = float(rate) if rate.dtype.kind in "fiu" else 0.0
        if 0 < value < math.inf:
            yield "rate", value


def _toml_value(value: Value) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_item, value))}]"
    return toml_text(value) if isinstance(value, str) else f"{value:g}"


def _toml_item(value: str | int) -> str:
    return toml_text(value) if isinstance(value, str) else str(value)


def _find_label_name(content: Content, inputs: Sequence[str]) -> str:
    """Return the array or column of classes that is named as labels usually are; "" if none is."""
    first = next(iter(content.arrays.values()), np.zeros((0, len(content.columns))))
    columns = {name: first[:, i] for i, name in enumerate(content.columns)}
    for name, x in {**content.arrays, **columns}.items():
        is_named = folded(name) in (LABEL, *LIKELY_LABELS) or folded(name).endswith("stimulus")
        is_likely = is_named and len(name) > SINGLE_LETTERS and name not in inputs
        if is_likely:
            values = np.unique(x)
            is_whole = x.dtype.kind not in "fiu" or bool((values == np.rint(values)).all())
            if is_whole and len(values) < 0.5 * x.size:  # many of each
                return name
    return ""


def _find_scale(given: str | Path, model: Model, found: Mapping[str, Any]) -> float | None:
    """Return the factor to the unit of training if the samples have clearly another one."""
    columns = tuple(found["columns"]) if "columns" in found else None
    reading = Reading(label=found.get("label", LABEL), array=found.get("array"), columns=columns)
    try:
        data = windowed(read(given, reading), model.graph, reading)
        factor, _ = times_training(model, fit(replace(data, labels=None), model.graph))
    except MyoedgeError:
        return None
    return None if factor == 1.0 else 10.0 ** -round(math.log10(factor))


# --- samples in a folder --------------------------------------------------------------------------


RECORDINGS = "recordings"
TEST = "test"  # stem of a test set's file name
TEXTS = (".txt", ".tsv")  # these extensions may be no samples


def existing_samples(folder: Path) -> str | None:
    """Return the samples in a project's folder as a value for [calib] data: a file calib.*, the
    folder recordings, or all files if they have one format; None without samples."""
    known = [name for name in sample_files(folder) if Path(name).stem != TEST]
    if own := [name for name in known if Path(name).stem == "calib"]:
        return own[0]
    if os.path.isdir(folder / RECORDINGS):
        return RECORDINGS
    return _file_or_pattern(known, sample_files(folder))


def _file_or_pattern(names: Sequence[str], others: Sequence[str]) -> str | None:
    """Return the only file, or the glob pattern of the files if they have one format; None for
    several formats, or if the pattern would include a test set. Texts do not count."""
    known = [name for name in names if Path(name).suffix.lower() not in TEXTS]
    if len(known) == 1:
        return known[0]
    endings = {Path(name).suffix for name in known}
    pattern = f"*{min(endings, default='')}"
    is_whole = len(endings) == 1 and {*known} == {*fnmatch.filter(others, pattern)}
    return pattern if is_whole else None


def sample_files(folder: Path) -> list[str]:
    """Return the names of the files of samples in a folder, sorted."""
    paths = folder.glob("[!.]*") if os.path.isdir(folder) else ()
    names = sorted(path.name for path in paths if path.is_file())
    return [name for name in names if Path(name).suffix.lower() in kinds()]
