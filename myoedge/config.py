# SPDX-License-Identifier: Apache-2.0
"""myoedge.toml: what a project says once, so that a command line need not."""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from myoedge.errors import MyoedgeError
from myoedge.target import Chip

FILE = "myoedge.toml"
Method = Literal["minmax", "percentile", "mse"]
_UNITS = {"B": 1, "KIB": 1024, "MIB": 1024**2, "KB": 1000, "MB": 1000**2}


@dataclass(frozen=True, slots=True)
class ModelTable:
    """[model]: the file, and what makes the network for a checkpoint."""

    path: str | None = None
    factory: str | None = None


@dataclass(frozen=True, slots=True)
class CalibTable:
    """[calib]: the data, how much of it, and how ranges follow from it."""

    data: str | None = None
    samples: int = 256
    method: Method = "minmax"
    percentile: float = 99.99


@dataclass(frozen=True, slots=True)
class TargetTable:
    """[target]: the chip."""

    chip: str | None = None


@dataclass(frozen=True, slots=True)
class LayerTable:
    """[quant] "pattern": what differs for matching layers."""

    weights: Literal["per_channel", "per_tensor"] = "per_channel"
    method: Method | None = None
    percentile: float = 99.99


@dataclass(frozen=True, slots=True)
class BudgetTable:
    """[budget]: what a build must keep to; sizes as "900 KiB", sqnr in dB."""

    l1: str | int | None = None
    l2: str | int | None = None
    sqnr: float | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """All tables, each with its defaults; `folder` is where relative paths start."""

    model: ModelTable = field(default_factory=ModelTable)
    calib: CalibTable = field(default_factory=CalibTable)
    target: TargetTable = field(default_factory=TargetTable)
    quant: dict[str, LayerTable] = field(default_factory=dict)
    budget: BudgetTable = field(default_factory=BudgetTable)


def find(given: str | Path | None) -> tuple[Config, Path]:
    """The configuration and its folder: the file given, ./myoedge.toml, pyproject.toml, defaults.

    Errors: E230 unknown key, E231 not TOML or not there, E232 a value of the wrong kind.
    """
    if given is not None:
        return _read(Path(given)), Path(given).parent
    if Path(FILE).is_file():
        return _read(Path(FILE)), Path()
    project = Path("pyproject.toml")
    tool = _parsed(project).get("tool") if project.is_file() else None
    tables = tool.get("myoedge") if isinstance(tool, Mapping) else None
    if not isinstance(tables, Mapping | None):
        raise MyoedgeError("E232", "pyproject.toml: tool.myoedge is not a table")
    return (Config() if tables is None else from_tables(tables, "pyproject.toml")), Path()


def _read(path: Path) -> Config:
    return from_tables(_parsed(path), path.name)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        cause = {"cause": error.strerror}
        raise MyoedgeError("E231", f"{path} cannot be read", cause, ["myoedge init"]) from None
    except (ValueError, RecursionError) as error:
        raise MyoedgeError("E231", f"{path.name} is not TOML", {"cause": str(error)}) from None


def from_tables(tables: Mapping[str, Any], name: str) -> Config:
    """Checked tables; every unknown key and every wrong value is told at once."""
    from pydantic import TypeAdapter, ValidationError

    unknown = [*_unknown(tables)]
    if unknown:
        first = unknown[0]
        tries = [f"{key}  ->  {near}" for key, near in unknown if near]
        known = ", ".join(_known_at(first[0].rsplit(".", 1)[0] if "." in first[0] else ""))
        raise MyoedgeError("E230", f"{name} has no key {first[0]!r}", {"knows": known}, tries)
    try:
        config = TypeAdapter(Config).validate_json(json.dumps(tables), strict=True)
    except (ValidationError, TypeError) as error:
        raise MyoedgeError("E232", f"{name} has a wrong value", _reasons(error)) from None
    _check_numbers(config, name)
    return config


def _reasons(error: Exception) -> dict[str, str]:
    rows: list[dict[str, Any]] = [{"loc": ("value",), "msg": str(error)}]
    rows = error.errors() if hasattr(error, "errors") else rows
    return {".".join(map(str, row["loc"])): str(row["msg"]) for row in rows}


_TABLES: Mapping[str, Any] = {
    "model": ModelTable,
    "calib": CalibTable,
    "target": TargetTable,
    "quant": None,
    "budget": BudgetTable,
}


def _unknown(tables: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, nearest right one) of every key that means nothing."""
    for name, table in tables.items():
        if name not in _TABLES:
            yield name, _nearest(name, _TABLES)
        elif name == "quant" and isinstance(table, Mapping):
            for pattern, layer in table.items():
                yield from _unknown_in(layer, LayerTable, f"quant.{pattern}")
        elif name != "quant":
            yield from _unknown_in(table, _TABLES[name], name)


def _unknown_in(table: Any, kind: Any, path: str) -> Iterator[tuple[str, str]]:
    known = [f.name for f in fields(kind)]
    for key in table if isinstance(table, Mapping) else ():
        if key not in known:
            yield f"{path}.{key}", _nearest(key, known)


def _nearest(key: str, known: Any) -> str:
    return next(iter(difflib.get_close_matches(key, list(known), 1, 0.5)), "")


def _known_at(path: str) -> list[str]:
    kind = LayerTable if path.startswith("quant.") else _TABLES.get(path)
    return list(_TABLES) if kind is None else [f.name for f in fields(kind)]


def _check_numbers(config: Config, name: str) -> None:
    percentiles = [config.calib.percentile, *(rule.percentile for rule in config.quant.values())]
    if not all(50.0 < p <= 100.0 for p in percentiles):
        raise MyoedgeError("E232", f"{name}: percentile must lie between 50 and 100")
    if config.calib.samples < 1:
        raise MyoedgeError("E232", f"{name}: calib.samples must be at least 1")
    if config.budget.sqnr is not None and not math.isfinite(config.budget.sqnr):
        raise MyoedgeError("E232", f"{name}: budget.sqnr must be a finite number of dB")
    for size in (config.budget.l1, config.budget.l2):
        if size is not None:
            size_bytes(size)


def size_bytes(text: str | int) -> int:
    """ "900 KiB" -> 921600; a bare number is bytes. Errors: E232."""
    found = re.fullmatch(r"\s*([0-9]{1,15}(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", str(text))
    unit = found.group(2).upper() or "B" if found else ""
    if found is None or unit not in _UNITS:
        tries = ['l2 = "900 KiB"']
        raise MyoedgeError(
            "E232", f"{text!r} is not a size", {"units": "B, KiB, MiB, kB, MB"}, tries
        )
    return round(float(found.group(1)) * _UNITS[unit])


def limited(chip: Chip, l1: str | int | None, l2: str | int | None) -> Chip:
    """The chip with at most so much of its memories. Errors: E232 no size, E302 no room at all."""
    limits = {"l1_bytes": l1, "l2_bytes": l2}
    sizes = {name: size_bytes(size) for name, size in limits.items() if size is not None}
    found = {name: min(size, getattr(chip, name)) for name, size in sizes.items()}
    if chip.l1_bytes and found.get("l1_bytes", chip.l1_bytes) < chip.l1_reserved_bytes:
        facts = {
            "needs": f"{chip.l1_reserved_bytes:,} B: stacks, and what the runtime keeps there",
            "has": f"{found['l1_bytes']:,} B",
        }
        raise MyoedgeError("E302", "over budget: l1", facts, ["--l1 64KiB"])
    return replace(chip, **found)
