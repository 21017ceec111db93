# SPDX-License-Identifier: Apache-2.0
"""Tasks of a sweep: one per combination of models, budgets, options and operating points."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from myoedge.errors import MyoedgeError
from myoedge.extensions.sweeps.settings import AXES, LABELS, Sweep, name_of
from myoedge.frontend.detect import ModelFormat, sniff
from myoedge.frontend.file_refusals import check_file
from myoedge.frontend.onnx.file import external_files
from myoedge.quantization.recordings.files import check_there
from myoedge.quantization.samples import RANDOM
from myoedge.system.regular_files import read_regular
from myoedge.system.toml_text import toml_text
from myoedge.system.user_code import sources
from myoedge.version import __version__

SCHEMA = "myoedge.sweep/1"


@dataclass(frozen=True, slots=True)
class Source:
    """A file of a task.

    path      its path
    sha256    digest of its content
    content   its bytes, if another computer needs them
    """

    path: str
    sha256: str
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Task:
    """One build of a sweep, with its simulation.

    key                  digest of everything that determines the result
    labels               label of an axis -> name of the value
    model, calib, test   files of the model and of samples
    chosen               arguments of build
    toml                 tables of its myoedge.toml
    simulate             whether to run the firmware
    """

    key: str
    labels: Mapping[str, str]
    model: Source
    calib: Source | None
    test: Source | None
    chosen: Mapping[str, Any]
    toml: Mapping[str, Mapping[str, Any]]
    simulate: bool

    @property
    def name(self) -> str:
        return name_of(self.labels)


def tasks(sweep: Sweep, base: Path, depends: str = "") -> tuple[Task, ...]:
    """Return one task per combination, in the order of SWEEP.toml.

    base      folder for relative paths
    depends   further text that determines results, such as versions
    Errors: E101, E102 a model, E210 samples that do not exist; E260 an unreadable file.
    """
    digests: dict[str, Source] = {}
    axes = itertools.product(*(axis.values(sweep) for axis in AXES))
    return tuple(_make_task(sweep, base, depends, digests, combination) for combination in axes)


def _make_task(
    sweep: Sweep,
    base: Path,
    depends: str,
    known: dict[str, Source],
    values: Sequence[Any],
) -> Task:
    """Return the task of a combination; `values`: one of each axis."""
    labels = {axis.label: axis.name_of(x) for axis, x in zip(AXES, values, strict=True)}
    chosen: dict[str, Any] = {"target": sweep.target}
    toml = dict[str, dict[str, Any]]()
    for axis, value in zip(AXES, values, strict=True):
        chosen |= axis.arguments(value)
        for table, keys in axis.tables(value).items():
            toml.setdefault(table, {}).update(keys)
    model = values[LABELS.index("model")]
    calib = _sample_file(base, model.calib, known)
    chosen |= {"calib": RANDOM} if model.calib == RANDOM else {}
    found = _file_with_digest(base, model.path, known, check_file)
    test = _sample_file(base, model.test, known)
    samples = [source and source.sha256 for source in (calib, test)]
    about = [found.sha256, *samples, chosen, toml, sweep.simulates, labels, depends]
    if sniff(Path(found.path)) is ModelFormat.ONNX:
        files = external_files(Path(found.path))
        about += [hashlib.sha256(_read_bytes(file, file.name)).hexdigest() for file in files]
    about += sources(model.factory)
    text = json.dumps([SCHEMA, __version__, about], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()
    return Task(key, labels, found, calib, test, chosen, toml, sweep.simulates)


def _sample_file(base: Path, path: str | None, known: dict[str, Source]) -> Source | None:
    """Return a file of samples; None without one or for random samples."""
    return (
        None if path in (None, RANDOM) else _file_with_digest(base, str(path), known, check_there)
    )


def _file_with_digest(
    base: Path, path: str, known: dict[str, Source], check: Callable[[Path], None]
) -> Source:
    """Return a file with its digest, computed once and kept in `known`. Errors: as `check`."""
    absolute = str((base / path).absolute())
    if absolute not in known:
        check(Path(absolute))
        known[absolute] = Source(
            absolute, hashlib.sha256(_read_bytes(Path(absolute), path)).hexdigest()
        )
    return known[absolute]


def _read_bytes(file: Path, shown: str) -> bytes:
    try:
        return read_regular(file)
    except OSError as error:
        raise MyoedgeError("E260", f"{shown} cannot be read", {"cause": error.strerror}) from None


def with_files(task: Task) -> Task:
    """Return the task with the bytes of its files, for a computer that may not have them."""

    def loaded(source: Source) -> Source:
        return replace(source, content=_read_bytes(Path(source.path), source.path))

    calib, test = (source and loaded(source) for source in (task.calib, task.test))
    return replace(task, model=loaded(task.model), calib=calib, test=test)


def toml_lines(tables: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a TOML file with these tables."""
    for name, table in tables.items():
        yield f"[{name}]"
        for key, value in table.items():
            if value is not None:
                yield f"{_setting_key(key)} = {_setting_value(value)}"


def _setting_key(key: str) -> str:
    return key if key.isidentifier() and key.isascii() else toml_text(key)


def _setting_value(value: Any) -> str:
    if isinstance(value, str):
        return toml_text(value)
    if not isinstance(value, Mapping):
        return json.dumps(value)
    pairs = (
        f"{_setting_key(key)} = {_setting_value(x)}" for key, x in value.items() if x is not None
    )
    return f"{{ {', '.join(pairs)} }}"
