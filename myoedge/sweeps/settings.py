# SPDX-License-Identifier: Apache-2.0
"""SWEEP.toml: what is built with what, and how much worse than before it may be."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from myoedge.building.config import BudgetTable, LayerTable, Method, check_limits
from myoedge.errors import MyoedgeError
from myoedge.targets import find_chip

STRICT = {"extra": "forbid"}
EXAMPLE = '[[model]]\npath = "model.pt2"\ncalib = "calib.npz"'


@dataclass(frozen=True, slots=True)
class SweepModel:
    """[[model]]: paths as seen from the file; `name` is the file's without it."""

    __pydantic_config__: ClassVar[Any] = STRICT
    path: str
    calib: str | None = None
    factory: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class SweepBudget(BudgetTable):
    """[[budget]]: as [budget] of myoedge.toml."""

    __pydantic_config__: ClassVar[Any] = STRICT
    name: str = "free"


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """[[options]]: how ranges are taken; `quant` as [quant] of myoedge.toml."""

    __pydantic_config__: ClassVar[Any] = STRICT
    name: str = "default"
    method: Method | None = None
    percentile: float | None = None
    samples: int | None = None
    quant: dict[str, LayerTable] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bounds:
    """[bounds]: how much worse is still as good; of the earlier value, of SQNR in dB.

    accuracy   in shares: 0.01 is a point
    """

    __pydantic_config__: ClassVar[Any] = STRICT
    latency: float = 0.02
    energy: float = 0.02
    memory: float = 0.0
    sqnr_db: float = 0.5
    accuracy: float = 0.01


@dataclass(frozen=True, slots=True)
class Sweep:
    """The whole file.

    simulate   run every firmware; without it cycles are modelled
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
        """Operating points: the chip's first without any named; None where it has none itself.

        Errors: E201 no such target.
        """
        if self.operating_points is not None:
            return self.operating_points
        described = find_chip(self.target)
        return [described.point.name if described.point.clock_hz else None]


def read_sweep(path: Path) -> Sweep:
    """Errors: E260 not there, not TOML, an unknown key, a wrong value, a name twice."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _wrong(path, {"cause": error.strerror}) from None
    except (ValueError, RecursionError) as error:
        raise _wrong(path, {"cause": str(error)}) from None
    return _checked(path, tables)


def _checked(path: Path, tables: Mapping[str, Any]) -> Sweep:
    from pydantic import TypeAdapter, ValidationError

    try:
        sweep = TypeAdapter(Sweep).validate_json(json.dumps(tables), strict=True)
    except ValidationError as error:
        reasons = {".".join(map(str, e["loc"])) or "file": e["msg"] for e in error.errors()}
        raise _wrong(path, reasons) from None
    except TypeError as error:  # dates and times
        raise _wrong(path, {"cause": str(error)}) from None
    for rows in (sweep.model, sweep.points, sweep.budget, sweep.options):
        if not rows:
            raise _wrong(path, {"cause": "an empty list: nothing would be built"})
    for what, names in _names(sweep):
        if twice := [name for name in names if names.count(name) > 1]:
            raise _wrong(path, {"cause": f"two {what} are named {twice[0]}"})
    for key, bound in asdict(sweep.bounds).items():
        if not (math.isfinite(bound) and bound >= 0):
            raise _wrong(path, {f"bounds.{key}": "must be a number, 0 or more"})
    for budget in sweep.budget:
        check_limits(budget)
    return sweep


def _names(sweep: Sweep) -> Iterator[tuple[str, Sequence[str]]]:
    yield "models", [name_of(model) for model in sweep.model]
    yield "budgets", [budget.name for budget in sweep.budget]
    yield "options", [options.name for options in sweep.options]
    yield "operating points", [name for name in sweep.points if name]


def name_of(model: SweepModel) -> str:
    return model.name or Path(model.path).stem


def _wrong(path: Path, facts: Mapping[str, Any]) -> MyoedgeError:
    known = ", ".join(f.name for f in fields(Sweep))
    rows = {**facts, "knows": known, "needs": EXAMPLE}
    return MyoedgeError("E260", f"{path.name} describes no sweep", rows)
