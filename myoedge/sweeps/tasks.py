# SPDX-License-Identifier: Apache-2.0
"""Sweep -> tasks, each with a key that says everything its result depends on."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from myoedge.building.config import BudgetTable
from myoedge.errors import MyoedgeError
from myoedge.frontend.unusable import check_file
from myoedge.quantization.samples import RANDOM, check_there
from myoedge.sweeps.settings import Sweep, SweepBudget, SweepModel, SweepOptions, name_of
from myoedge.version import __version__

SCHEMA = "myoedge.sweep/1"
NO_POINT = "-"  # the name of what runs on a chip without operating points
Axes = tuple[SweepModel, SweepBudget, SweepOptions, str | None]
Check = Callable[[Path], None]  # that a file is there


@dataclass(frozen=True, slots=True)
class Source:
    """A file, and its bytes where it has to travel."""

    path: str
    sha256: str
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Task:
    """One build, and one run of it.

    labels   model, budget, options, operating point: the name of the result
    chosen   arguments of build     toml   what stands in its myoedge.toml
    """

    key: str
    labels: Mapping[str, str]
    model: Source
    calib: Source | None
    chosen: Mapping[str, Any]
    toml: Mapping[str, Mapping[str, Any]]
    simulate: bool

    @property
    def name(self) -> str:
        return " / ".join(self.labels.values())


def tasks(sweep: Sweep, base: Path, depends: str = "") -> tuple[Task, ...]:
    """Every combination, in the file's order.

    base      the folder that paths start in
    depends   what results depend on besides the file
    Errors: E101, E102 a model, E210 samples that are not there; E260 what cannot be read.
    """
    digests: dict[str, Source] = {}
    axes = itertools.product(sweep.model, sweep.budget, sweep.options, sweep.points)
    return tuple(_task(sweep, base, depends, digests, combination) for combination in axes)


def _task(sweep: Sweep, base: Path, depends: str, known: dict[str, Source], axes: Axes) -> Task:
    model, budget, options, point = axes
    labels = {
        "model": name_of(model),
        "budget": budget.name,
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
    toml = {"budget": limits, "quant": {k: asdict(rule) for k, rule in options.quant.items()}}
    is_random = model.calib == RANDOM
    given = None if is_random else model.calib
    calib = None if given is None else _source(base, given, known, check_there)
    chosen |= {"calib": RANDOM} if is_random else {}
    found = _source(base, model.path, known, check_file)
    about = [found.sha256, calib and calib.sha256, chosen, toml, sweep.simulate, labels, depends]
    return Task(_digest(about), labels, found, calib, chosen, toml, sweep.simulate)


def _source(base: Path, path: str, known: dict[str, Source], check: Check) -> Source:
    whole = str((base / path).absolute())
    if whole not in known:
        check(Path(whole))
        known[whole] = Source(whole, hashlib.sha256(_bytes(Path(whole), path)).hexdigest())
    return known[whole]


def _bytes(file: Path, shown: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise MyoedgeError("E260", f"{shown} cannot be read", {"cause": error.strerror}) from None


def _digest(about: list[Any]) -> str:
    text = json.dumps([SCHEMA, __version__, about], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def with_files(task: Task) -> Task:
    """With the bytes of its files, for a computer that may not have them."""
    return replace(task, model=_loaded(task.model), calib=task.calib and _loaded(task.calib))


def _loaded(source: Source) -> Source:
    return replace(source, content=_bytes(Path(source.path), source.path))


def toml_lines(tables: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Lines of TOML: JSON's strings and numbers are valid TOML."""
    for name, table in tables.items():
        yield f"[{name}]"
        for key, value in table.items():
            if value is not None:
                yield f"{json.dumps(key)} = {_value(value)}"


def _value(value: Any) -> str:
    if not isinstance(value, Mapping):
        return json.dumps(value)
    pairs = (f"{key} = {_value(x)}" for key, x in value.items() if x is not None)
    return f"{{ {', '.join(pairs)} }}"
