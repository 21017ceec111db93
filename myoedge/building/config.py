# SPDX-License-Identifier: Apache-2.0
"""myoedge.toml: a project's defaults for command-line options."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_type_hints

from myoedge.adaptation.table import AdaptTable
from myoedge.building.config_rules import check_numbers, remedies
from myoedge.building.quantities import EXAMPLES
from myoedge.errors import MyoedgeError
from myoedge.extension import hooks, load
from myoedge.passes.condition import Conditioning
from myoedge.quantization.recordings.reading import LABEL, Reading
from myoedge.system.control_characters import with_controls
from myoedge.system.regular_files import read_text

FILE = "myoedge.toml"
Method = Literal["minmax", "percentile", "mse"]
NetworkMethod = Literal["auto", "minmax", "percentile", "mse"]
EngineName = Literal["auto", "cores", "ne16"]  # engine of layers that match a [engine] pattern
_TYPES = re.compile(r"str|int|float|(dict|list|literal)\[.*\]")  # pydantic's parts of a key's path


@dataclass(frozen=True, slots=True)
class ModelTable:
    """[model]: the model file, the factory of a checkpoint's network, and the decoder after it.

    ctc    index of the blank class of greedy CTC; None: no CTC decoder
    vote   number of last frames in a majority vote; None: no vote
    """

    path: str | None = None
    factory: str | None = None
    ctc: int | None = None
    vote: int | None = None
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class CalibTable:
    """[calib]: the samples, how windows are cut from recordings, and how ranges are derived from
    them.

    window, hop, label, array, columns, classes   as in Reading
    scale   factor from the unit of the data to the unit of training, for all files or by file name
    """

    data: str | None = None
    window: int | None = None
    hop: int | None = None
    label: str | int = LABEL
    array: str | None = None
    columns: list[str | int] | None = None
    scale: float | dict[str, float] = 1.0
    classes: list[str] = field(default_factory=list)
    samples: int = 256
    method: NetworkMethod = "auto"
    percentile: float = 99.99
    holdout: float = 0.2
    accurate: bool = False
    weights: Literal["auto"] | None = None

    @property
    def reading(self) -> Reading:
        """Return the settings for reading the calibration data."""
        columns = None if self.columns is None else tuple(self.columns)
        by_name = self.scale if isinstance(self.scale, dict) else {"*": self.scale}
        scales = () if self.scale == 1.0 else tuple(by_name.items())
        classes = tuple(self.classes)
        return Reading(self.window, self.hop, self.label, self.array, columns, scales, classes)


@dataclass(frozen=True, slots=True)
class TestTable:
    """[test]: test samples, used only for evaluation and read with the settings of [calib].

    label   array or column with the labels; None: as in [calib]
    """

    data: str | None = None
    label: str | int | None = None

    def reading(self, calib: Reading) -> Reading:
        """Return the settings for reading the test data."""
        return calib if self.label is None else replace(calib, label=self.label)


@dataclass(frozen=True, slots=True)
class TargetTable:
    """[target]: the chip."""

    chip: str | None = None


@dataclass(frozen=True, slots=True)
class LayerTable:
    """A line "pattern" of [quant]: settings for matching layers.

    weights       scales "per_channel" or "per_tensor"; or weight bits, 2 to 8 or 16, per channel
    activations   16: int16 results; 8: int8, unless the precision search needs int16
    """

    weights: Literal["per_channel", "per_tensor"] | int = "per_channel"
    activations: Literal[8, 16] = 8
    method: Method | None = None
    percentile: float = 99.99


@dataclass(frozen=True, slots=True)
class BudgetTable:
    """[budget]: limits of a build.

    latency, l1, l2, l3, energy   as text with units: "20 ms", "900 KiB", "1 mJ"
    sqnr   in dB, for all outputs or by output
    """

    latency: str | float | None = None
    l1: str | int | float | None = None
    l2: str | int | float | None = None
    l3: str | int | float | None = None
    energy: str | float | None = None
    sqnr: float | str | dict[str, float] | None = None


@dataclass(frozen=True, slots=True)
class CheckTable:
    """[check]: by how much a build may be worse than the accepted one of `myoedge check`.

    cycles, latency, energy, memory, rmse   fractions: 0.02 is 2 %
    sqnr_db    decibels
    accuracy   shares: 0.01 is a point
    """

    cycles: float | None = None
    latency: float | None = None
    energy: float | None = None
    memory: float | None = None
    rmse: float | None = None
    sqnr_db: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class StreamTable:
    """[stream]: the time axis of the inputs, and the number of frames computed per pass.

    axis           time axis; None: the only possible one
    frames         frames per pass
    rate           samples per second
    hop, window    a frame covers `window` samples, one starts every `hop`
    past, future   context before and after the frames of a pass, in frames or as "900 ms"
    states         input -> output that supplies it in the next pass, for one-step networks
    """

    axis: int | None = None
    frames: int | None = None
    rate: float | None = None
    hop: int = 1
    window: int | None = None
    past: int | str | None = None
    future: int | str | None = None
    states: dict[str, str] = field(default_factory=dict)

    @property
    def frame_hz(self) -> float | None:
        """Frames per second; None without a rate."""
        return None if self.rate is None else self.rate / self.hop

    @property
    def window_s(self) -> float | None:
        """Duration of the signal that a frame covers, in seconds; None without a rate."""
        return None if self.rate is None else (self.window or self.hop) / self.rate


@dataclass(frozen=True, slots=True)
class PluginsTable:
    """[plugins]: names of the entry points to load, by kind."""

    operators: list[str] = field(default_factory=list)
    boards: list[str] = field(default_factory=list)
    calibration: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Config:
    """All tables of myoedge.toml, with defaults; `tables` are those of extensions, by name."""

    model: ModelTable = field(default_factory=ModelTable)
    calib: CalibTable = field(default_factory=CalibTable)
    test: TestTable = field(default_factory=TestTable)
    target: TargetTable = field(default_factory=TargetTable)
    quant: dict[str, LayerTable] = field(default_factory=dict)
    engine: dict[str, EngineName] = field(default_factory=dict)
    budget: BudgetTable = field(default_factory=BudgetTable)
    check: CheckTable = field(default_factory=CheckTable)
    stream: StreamTable = field(default_factory=StreamTable)
    conditioning: Conditioning = field(default_factory=Conditioning)
    adapt: AdaptTable | None = None
    plugins: PluginsTable = field(default_factory=PluginsTable)
    tables: Mapping[str, Any] = field(default_factory=dict)

    def table(self, name: str) -> Any:
        """Return a table of an extension, with its defaults if the file has none."""
        return self.tables[name] if name in self.tables else _kinds()[name]()


class Found(NamedTuple):
    """A parsed configuration.

    settings   tables of myoedge.toml
    base       folder for relative paths
    file       name of the file, for messages
    """

    settings: Config
    base: Path
    file: str = FILE


def find(given: str | Path | Found | None) -> Found:
    """Return the given configuration, or read it: from the given file, ./myoedge.toml or
    pyproject.toml; without a file, the defaults.

    Errors: E230 unknown key, E231 not TOML or not found, E232 a value of the wrong type.
    """
    if isinstance(given, Found):
        return given
    if given is not None:
        return Found(_read(Path(given)), Path(given).parent, str(given))
    if Path(FILE).is_file():
        return Found(_read(Path(FILE)), Path())
    project = Path("pyproject.toml")
    tool = _parsed(project).get("tool") if project.is_file() else None
    tables = tool.get("myoedge") if isinstance(tool, Mapping) else None
    if not isinstance(tables, Mapping | None):
        raise MyoedgeError("E232", "pyproject.toml: tool.myoedge is not a table")
    found = Config() if tables is None else from_tables(tables, "pyproject.toml")
    return Found(found, Path(), FILE if tables is None else f"tool.myoedge of {project}")


def _read(path: Path) -> Config:
    return from_tables(_parsed(path), path.name)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except OSError as error:
        cause = {"cause": error.strerror}
        raise MyoedgeError("E231", f"{path} cannot be read", cause, ["myoedge init"]) from None
    except (ValueError, RecursionError) as error:
        tries = ['texts in quotes, numbers and true without: path = "model.pt2", samples = 256']
        title = f"{path.name} is not TOML"
        raise MyoedgeError("E231", title, {"cause": str(error)}, tries) from None


def toml_text(text: str) -> str:
    """Return a text as a TOML string, quoted and escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def from_tables(tables: Mapping[str, Any], name: str) -> Config:
    """Convert parsed TOML tables to a Config. Errors: E230 unknown keys, E232 wrong values, all of
    them at once.

    name   file name for messages
    """
    if key := next(with_controls(tables), None):
        raise MyoedgeError("E232", f"{name} has a wrong value", {key: "it has control characters"})
    unknown = [*_unknown(tables)]
    if unknown:
        nearest = [(k, difflib.get_close_matches(k[-1], known, 1, 0.5)) for k, known in unknown]
        tries = [f"{'.'.join(key)}  ->  {near[0]}" for key, near in nearest if near]
        (first, known), *_ = unknown
        tries = tries or [f"{'.'.join(first)}  ->  {known[0]}, if that is meant"] * (len(first) > 1)
        title = f"{name} has no key {'.'.join(first)!r}"
        raise MyoedgeError("E230", title, {"knows": ", ".join(known)}, tries)
    wrong: list[Any] = []
    added = {
        key: _record(_kinds()[key], tables[key], (key,), wrong) for key in {*tables} & {*_kinds()}
    }
    config: Config = _record(Config, {k: x for k, x in tables.items() if k not in added}, (), wrong)
    if wrong:
        reasons = _reasons(wrong)
        tries = [line for key, line in EXAMPLES.items() if f"budget.{key}" in reasons]
        raise MyoedgeError("E232", f"{name} has a wrong value", reasons, [*tries, *remedies(wrong)])
    config = replace(config, tables=added)
    check_numbers(config, name)
    return config


@cache
def _kinds() -> dict[str, type[Any]]:
    """Return the dataclasses of the tables of extensions, by name."""
    return {hook.name: load(hook.kind) for hook in hooks("tables")}


def _record(kind: type[Any], table: Any, path: tuple[str, ...], wrong: list[Any]) -> Any:
    """Convert a parsed table to its dataclass; None for a wrong one, whose errors of pydantic are
    appended to `wrong`.

    path   of the table in the file
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_json(json.dumps(table), strict=True)
    except ValidationError as error:
        wrong += [{**row, "loc": (*path, *row["loc"])} for row in error.errors()]
    except TypeError as error:
        wrong.append({"loc": (*path, "value"), "msg": str(error), "type": "type"})
    return None


def _reasons(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for row in rows:  # one row per type that the key may have: they are one reason
        key = ".".join(str(part) for part in row["loc"] if not _TYPES.fullmatch(str(part)))
        text = str(row["msg"]).replace("an object", "a table")  # JSON's word
        reasons[key] = f"{reasons[key]}; or: {text}" if key in reasons else text
    return reasons


def _unknown(tables: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield unknown keys as (path of the key, keys that its table allows)."""
    kinds = {name: kind for name, kind in get_type_hints(Config).items() if name != "tables"}
    kinds |= _kinds()
    for name, table in tables.items():
        if name not in kinds:
            yield (name,), list(kinds)
        elif name == "quant" and isinstance(table, Mapping):  # one table per pattern
            for pattern, row in table.items():
                yield from _unknown_in(row, (name, pattern), LayerTable)
        elif name != "engine":  # the keys of [engine] are patterns
            kind, *_ = get_args(kinds[name]) or (kinds[name],)
            yield from _unknown_in(table, (name,), kind)


def _unknown_in(
    table: Any, path: tuple[str, ...], kind: type[Any]
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    if isinstance(table, Mapping):
        known = [field.name for field in fields(kind)]
        yield from (((*path, key), known) for key in table if key not in known)
