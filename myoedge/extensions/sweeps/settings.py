# SPDX-License-Identifier: Apache-2.0
"""SWEEP.toml: the settings of a sweep."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from myoedge.building.config_rules import check_limits
from myoedge.building.config_tables import BudgetTable, EngineName, LayerTable, Method
from myoedge.building.optional_levels import memory_choices
from myoedge.errors import MyoedgeError
from myoedge.reports.facts import TOLERATED
from myoedge.system.control_characters import with_controls
from myoedge.system.regular_files import read_text
from myoedge.targets import DEFAULT, find_chip

STRICT = {"extra": "forbid"}
UNSET = "-"  # name of a value that the sweep leaves to build
READING = ("window", "hop", "label", "array", "columns", "scale", "classes")  # keys of [calib]
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
    """[[budget]]: keys as in [budget] of myoedge.toml; `name` defaults to a text of the limits."""

    __pydantic_config__: ClassVar[Any] = STRICT
    name: str | None = None

    def __str__(self) -> str:
        """Return the limits as text: "l2 20KiB, sqnr 12.5"; "free" without limits."""
        limits = {f.name: getattr(self, f.name) for f in fields(BudgetTable)}
        texts = (f"{name} {value}" for name, value in limits.items() if value is not None)
        return self.name or ", ".join(texts) or "free"


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """[[options]]: settings of calibration; `quant`, `engine` as in myoedge.toml, `weights` as of
    build."""

    __pydantic_config__: ClassVar[Any] = STRICT
    name: str = "default"
    method: Method | None = None
    percentile: float | None = None
    samples: int | None = None
    weights: Literal["auto", "fast"] | None = None
    quant: dict[str, LayerTable] = field(default_factory=dict)
    engine: dict[str, EngineName] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bounds:
    """[bounds]: tolerated losses against an earlier sweep, as fractions of the earlier value;
    sqnr_db in dB.

    accuracy   as a difference: 0.01 is one percentage point
    parts      beside the chip, as a difference
    """

    __pydantic_config__: ClassVar[Any] = STRICT
    latency: float = TOLERATED["latency"]
    energy: float = TOLERATED["energy"]
    memory: float = TOLERATED["memory"]
    sqnr_db: float = TOLERATED["sqnr_db"]
    accuracy: float = TOLERATED["accuracy"]
    rmse: float = TOLERATED["rmse"]
    parts: float = TOLERATED["parts"]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A parsed SWEEP.toml.

    memory     values of --memory: "mram=off", "mram=auto"
    external   values of [budget] external
    simulate   whether to run every firmware; otherwise cycles are modelled. None: if the target is
               simulated
    """

    __pydantic_config__: ClassVar[Any] = STRICT
    model: list[SweepModel]
    budget: list[SweepBudget] = field(default_factory=lambda: [SweepBudget()])
    options: list[SweepOptions] = field(default_factory=lambda: [SweepOptions()])
    operating_points: list[str] | None = None
    memory: list[str] | None = None
    external: list[Literal["none", "flash", "ram"]] | None = None
    target: str = DEFAULT.name
    simulate: bool | None = None
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

    @property
    def simulates(self) -> bool:
        """Whether every firmware is run. Errors: E201 no such target, E204 a target that is not
        simulated."""
        is_able = bool(find_chip(self.target).platforms)
        if self.simulate and not is_able:
            title, tries = f"target {self.target} is not simulated", ["simulate = false"]
            raise MyoedgeError("E204", title, tries=tries)
        return is_able if self.simulate is None else self.simulate


def read_sweep(path: Path) -> Sweep:
    """Read SWEEP.toml. Errors: E260 missing, not TOML, unknown key, wrong value, duplicate name."""
    from pydantic import TypeAdapter, ValidationError

    try:
        tables = tomllib.loads(read_text(path))
    except OSError as error:
        raise _sweep_settings_error(path, {"cause": error.strerror}) from None
    except (ValueError, RecursionError) as error:
        raise _sweep_settings_error(path, {"cause": str(error)}) from None
    if key := next(with_controls(tables), None):
        raise _sweep_settings_error(path, {key: "it has control characters"})
    try:
        sweep = TypeAdapter(Sweep).validate_json(json.dumps(tables), strict=True)
    except ValidationError as error:
        reasons = {".".join(map(str, e["loc"])) or "file": e["msg"] for e in error.errors()}
        raise _sweep_settings_error(path, reasons) from None
    except TypeError as error:  # dates and times
        raise _sweep_settings_error(path, {"cause": str(error)}) from None
    for cause in _invalid_values(sweep):
        raise _sweep_settings_error(path, cause)
    for budget in sweep.budget:
        check_limits(budget)
    return sweep


def _invalid_values(sweep: Sweep) -> Iterator[dict[str, str]]:
    """Yield invalid values that types cannot exclude."""
    yield from _invalid_axes(sweep)
    choices = memory_choices(find_chip(sweep.target))
    for memory in {*(sweep.memory or ())} - {*choices}:
        yield {"memory": f"{memory} is none of {', '.join(choices) or 'no choices'}"}
    if sweep.external and {None} != {budget.external for budget in sweep.budget}:
        yield {"external": "is given for all results, and in [[budget]]"}
    for key, bound in asdict(sweep.bounds).items():
        if not 0 <= bound < math.inf:
            yield {f"bounds.{key}": "must be a number, 0 or more"}


def _invalid_axes(sweep: Sweep) -> Iterator[dict[str, str]]:
    """Yield axes without values, and names that two of their values share."""
    for axis in AXES:
        names = [*map(axis.name_of, axis.values(sweep))]
        if not names:
            yield {axis.key or axis.label: "an empty list: nothing would be built"}
        if twice := [name for name in names if names.count(name) > 1]:
            yield {axis.key or axis.label: f"two {axis.plural} are named {twice[0]}"}


@dataclass(frozen=True, slots=True)
class SweepAxis:
    """A list of SWEEP.toml, of which every result has one value.

    label       its column in results
    plural      name of its values in messages
    values      sweep -> its values
    name        value -> its name; None: the value is its name
    arguments   value -> arguments of build
    tables      value -> tables of myoedge.toml
    key         its key of SWEEP.toml, if that is not the label
    """

    label: str
    plural: str
    values: Callable[[Sweep], Sequence[Any]]
    name: Callable[[Any], str] | None = None
    arguments: Callable[[Any], Mapping[str, Any]] = lambda _: {}
    tables: Callable[[Any], Mapping[str, Mapping[str, Any]]] = lambda _: {}
    key: str = ""

    def name_of(self, value: Any) -> str:
        return (value or UNSET) if self.name is None else self.name(value)


def _keys(value: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


AXES = (
    SweepAxis(
        "model",
        "models",
        lambda sweep: sweep.model,
        lambda model: model.name or Path(model.path).stem,
        lambda model: {"factory": model.factory},
        lambda model: {"calib": _keys(model, READING)},
    ),
    SweepAxis(
        "budget",
        "budgets",
        lambda sweep: sweep.budget,
        str,
        tables=lambda budget: {"budget": _keys(budget, [x.name for x in fields(BudgetTable)])},
    ),
    SweepAxis(
        "options",
        "options",
        lambda sweep: sweep.options,
        lambda options: options.name,
        lambda options: _keys(options, ("method", "percentile", "samples", "weights")),
        lambda options: {
            "quant": {pattern: asdict(rule) for pattern, rule in options.quant.items()},
            "engine": options.engine,
        },
    ),
    SweepAxis(
        "operating_point",
        "operating points",
        lambda sweep: sweep.points,
        arguments=lambda point: {"operating_point": point},
        key="operating_points",
    ),
    SweepAxis(
        "memory",
        "choices of memory",
        lambda sweep: [None] if sweep.memory is None else sweep.memory,
        arguments=lambda memory: {"memory": memory},
    ),
    SweepAxis(
        "external",
        "choices of external parts",
        lambda sweep: [None] if sweep.external is None else sweep.external,
        tables=lambda parts: {"budget": {"external": parts}} if parts else {},
    ),
)
LABELS = tuple(axis.label for axis in AXES)


def name_of(labels: Mapping[str, Any]) -> str:
    """Return the name of a result: the names of its values on the axes, without unset ones."""
    names = (str(labels.get(label, UNSET)) for label in LABELS)
    return " / ".join(name for name in names if name != UNSET)


def _sweep_settings_error(path: Path, facts: Mapping[str, Any]) -> MyoedgeError:
    known = ", ".join(f.name for f in fields(Sweep))
    rows = {**facts, "knows": known, "needs": EXAMPLE}
    return MyoedgeError("E260", f"{path.name} describes no sweep", rows)
