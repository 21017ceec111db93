# SPDX-License-Identifier: Apache-2.0
"""SWEEP.toml and its tasks: every combination of models, budgets, options and operating points."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from myoedge.building.config import BudgetTable, EngineName, LayerTable, Method, toml_text
from myoedge.building.config_rules import check_limits
from myoedge.errors import MyoedgeError
from myoedge.frontend.detect import ModelFormat, sniff
from myoedge.frontend.onnx.file import external_files
from myoedge.frontend.refusals import check_file
from myoedge.quantization.recordings.files import check_there
from myoedge.quantization.samples import RANDOM
from myoedge.reports.diff_verdict import TOLERATED
from myoedge.system.regular_files import read_regular, read_text
from myoedge.system.user_code import sources
from myoedge.targets import find_chip
from myoedge.version import __version__

SCHEMA = "myoedge.sweep/1"
NO_POINT = "-"  # the name of what runs on a chip without operating points
READING = ("window", "hop", "label", "array", "columns", "scale", "classes")  # of [calib]
STRICT = {"extra": "forbid"}
EXAMPLE = '[[model]]\npath = "model.pt2"\ncalib = "calib.npz"'


@dataclass(frozen=True, slots=True)
class SweepModel:
    """[[model]]: a model with its samples; paths are relative to SWEEP.toml.

    name   default: the file's name
    test   labelled samples used only for evaluation
    window, hop, label, array, columns, scale, classes   as in [calib] of myoedge.toml
    """

    __pydantic_config__: ClassVar[Any] = STRICT
    path: str
    calib: str | None = None
    test: str | None = None
    factory: str | None = None
    name: str | None = None
    window: int | None = None
    hop: int | None = None
    label: str | int | None = None
    array: str | None = None
    columns: list[str | int] | None = None
    scale: float | None = None
    classes: list[str] | None = None


@dataclass(frozen=True, slots=True)
class SweepBudget(BudgetTable):
    """[[budget]]: as [budget] of myoedge.toml; `name` defaults to the limits."""

    __pydantic_config__: ClassVar[Any] = STRICT
    name: str | None = None

    def __str__(self) -> str:
        """Return the limits as text: "l2 20KiB, sqnr 12.5"; "free" without limits."""
        limits = {f.name: getattr(self, f.name) for f in fields(BudgetTable)}
        texts = (f"{name} {value}" for name, value in limits.items() if value is not None)
        return self.name or ", ".join(texts) or "free"


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """[[options]]: settings of calibration; `quant` and `engine` as in myoedge.toml."""

    __pydantic_config__: ClassVar[Any] = STRICT
    name: str = "default"
    method: Method | None = None
    percentile: float | None = None
    samples: int | None = None
    quant: dict[str, LayerTable] = field(default_factory=dict)
    engine: dict[str, EngineName] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bounds:
    """[bounds]: tolerated losses against an earlier sweep, as fractions of the earlier value;
    sqnr_db in dB.

    accuracy   as a difference: 0.01 is one percentage point
    """

    __pydantic_config__: ClassVar[Any] = STRICT
    latency: float = TOLERATED["latency"]
    energy: float = TOLERATED["energy"]
    memory: float = TOLERATED["memory"]
    sqnr_db: float = TOLERATED["sqnr_db"]
    accuracy: float = TOLERATED["accuracy"]
    rmse: float = TOLERATED["rmse"]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A parsed SWEEP.toml.

    simulate   whether to run every firmware; otherwise cycles are modelled
    """

    __pydantic_config__: ClassVar[Any] = STRICT
    model: list[SweepModel]
    budget: list[SweepBudget] = field(default_factory=lambda: [SweepBudget()])
    options: list[SweepOptions] = field(default_factory=lambda: [SweepOptions()])
    operating_points: list[str] | None = None
    target: str = "gap9"
    simulate: bool = True
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def points(self) -> Sequence[str | None]:
        """Operating points; by default the chip's first, or (None,) for a chip without any.

        Errors: E201 no such target.
        """
        if self.operating_points is not None:
            return self.operating_points
        described = find_chip(self.target)
        return [described.point.name if described.point.clock_hz else None]


def read_sweep(path: Path) -> Sweep:
    """Read SWEEP.toml. Errors: E260 missing, not TOML, unknown key, wrong value, duplicate name."""
    from pydantic import TypeAdapter, ValidationError

    try:
        tables = tomllib.loads(read_text(path))
    except OSError as error:
        raise _wrong(path, {"cause": error.strerror}) from None
    except (ValueError, RecursionError) as error:
        raise _wrong(path, {"cause": str(error)}) from None
    try:
        sweep = TypeAdapter(Sweep).validate_json(json.dumps(tables), strict=True)
    except ValidationError as error:
        reasons = {".".join(map(str, e["loc"])) or "file": e["msg"] for e in error.errors()}
        raise _wrong(path, reasons) from None
    except TypeError as error:  # dates and times
        raise _wrong(path, {"cause": str(error)}) from None
    for cause in _problems(sweep):
        raise _wrong(path, cause)
    for budget in sweep.budget:
        check_limits(budget)
    return sweep


def _problems(sweep: Sweep) -> Iterator[dict[str, str]]:
    """Yield invalid values that types cannot exclude."""
    for rows in (sweep.model, sweep.points, sweep.budget, sweep.options):
        if not rows:
            yield {"cause": "an empty list: nothing would be built"}
    named = {
        "models": [*map(name_of, sweep.model)],
        "budgets": [*map(str, sweep.budget)],
        "options": [options.name for options in sweep.options],
        "operating points": [*filter(None, sweep.points)],
    }
    for what, names in named.items():
        if twice := [name for name in names if names.count(name) > 1]:
            yield {"cause": f"two {what} are named {twice[0]}"}
    for key, bound in asdict(sweep.bounds).items():
        if not 0 <= bound < math.inf:
            yield {f"bounds.{key}": "must be a number, 0 or more"}


def name_of(model: SweepModel) -> str:
    return model.name or Path(model.path).stem


def _wrong(path: Path, facts: Mapping[str, Any]) -> MyoedgeError:
    known = ", ".join(f.name for f in fields(Sweep))
    rows = {**facts, "knows": known, "needs": EXAMPLE}
    return MyoedgeError("E260", f"{path.name} describes no sweep", rows)


# --- tasks ----------------------------------------------------------------------------------------


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
    labels               model, budget, options, operating point: the name of the result
    model, calib, test   files
    chosen               arguments of build
    toml                 content of its myoedge.toml
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
        return " / ".join(self.labels.values())


def tasks(sweep: Sweep, base: Path, depends: str = "") -> tuple[Task, ...]:
    """Return one task per combination, in the order of SWEEP.toml.

    base      folder for relative paths
    depends   further text that determines results, such as versions
    Errors: E101, E102 a model, E210 samples that do not exist; E260 an unreadable file.
    """
    digests: dict[str, Source] = {}
    axes = itertools.product(sweep.model, sweep.budget, sweep.options, sweep.points)
    return tuple(_task(sweep, base, depends, digests, combination) for combination in axes)


def _task(
    sweep: Sweep,
    base: Path,
    depends: str,
    known: dict[str, Source],
    axes: tuple[SweepModel, SweepBudget, SweepOptions, str | None],
) -> Task:
    model, budget, options, point = axes
    labels = {
        "model": name_of(model),
        "budget": str(budget),
        "options": options.name,
        "operating_point": point or NO_POINT,
    }
    chosen = {
        "target": sweep.target,
        "operating_point": point,
        "factory": model.factory,
        "method": options.method,
        "percentile": options.percentile,
        "samples": options.samples,
    }
    limits = {f.name: getattr(budget, f.name) for f in fields(BudgetTable)}
    quant = {pattern: asdict(rule) for pattern, rule in options.quant.items()}
    reading = {key: getattr(model, key) for key in READING}
    toml = {"budget": limits, "quant": quant, "engine": options.engine, "calib": reading}
    calib = _samples(base, model.calib, known)
    chosen |= {"calib": RANDOM} if model.calib == RANDOM else {}
    found = _source(base, model.path, known, check_file)
    test = _samples(base, model.test, known)
    samples = [source and source.sha256 for source in (calib, test)]
    about = [found.sha256, *samples, chosen, toml, sweep.simulate, labels, depends]
    about += [*_beside(Path(found.path)), *sources(model.factory)]
    text = json.dumps([SCHEMA, __version__, about], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()
    return Task(key, labels, found, calib, test, chosen, toml, sweep.simulate)


def _samples(base: Path, path: str | None, known: dict[str, Source]) -> Source | None:
    """Return a file of samples; None without one."""
    return None if path in (None, RANDOM) else _source(base, str(path), known, check_there)


def _source(
    base: Path, path: str, known: dict[str, Source], check: Callable[[Path], None]
) -> Source:
    """Return a file with its digest, computed once. Errors: as `check`."""
    absolute = str((base / path).absolute())
    if absolute not in known:
        check(Path(absolute))
        known[absolute] = Source(absolute, hashlib.sha256(_bytes(Path(absolute), path)).hexdigest())
    return known[absolute]


def _beside(model: Path) -> Iterator[str]:
    """Yield the digests of an ONNX model's external data files."""
    if sniff(model) is ModelFormat.ONNX:
        for file in external_files(model):
            yield hashlib.sha256(_bytes(file, file.name)).hexdigest()


def _bytes(file: Path, shown: str) -> bytes:
    try:
        return read_regular(file)
    except OSError as error:
        raise MyoedgeError("E260", f"{shown} cannot be read", {"cause": error.strerror}) from None


def with_files(task: Task) -> Task:
    """Return the task with the bytes of its files, for a computer that may not have them."""

    def loaded(source: Source) -> Source:
        return replace(source, content=_bytes(Path(source.path), source.path))

    calib, test = (source and loaded(source) for source in (task.calib, task.test))
    return replace(task, model=loaded(task.model), calib=calib, test=test)


def toml_lines(tables: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a TOML file with these tables."""
    for name, table in tables.items():
        yield f"[{name}]"
        for key, value in table.items():
            if value is not None:
                yield f"{_value(key)} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, str):
        return toml_text(value)
    if not isinstance(value, Mapping):
        return json.dumps(value)
    pairs = (f"{_value(key)} = {_value(x)}" for key, x in value.items() if x is not None)
    return f"{{ {', '.join(pairs)} }}"
