# SPDX-License-Identifier: Apache-2.0
"""myoedge.toml: a project's defaults for command-line options."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_type_hints

from myoedge.building.config_rules import check_numbers, remedies
from myoedge.building.config_tables import (
    Config,
    LayerTable,
)
from myoedge.building.quantities import EXAMPLES
from myoedge.errors import MyoedgeError
from myoedge.extension import TableHook
from myoedge.system.control_characters import with_controls
from myoedge.system.hooks import find_hook, hooks, load
from myoedge.system.regular_files import read_text

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FILE = "myoedge.toml"
MAIN_KEYS = ("path", "data")  # of tables that name a file
_TYPES = re.compile(r"str|int|float|(dict|list|literal)\[.*\]")  # pydantic's parts of a key's path


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
        return Found(_read_file(Path(given)), Path(given).parent, str(given))
    if Path(FILE).is_file():
        return Found(_read_file(Path(FILE)), Path())
    project = Path("pyproject.toml")
    tool = _parse_file(project).get("tool") if project.is_file() else None
    tables = tool.get("myoedge") if isinstance(tool, Mapping) else None
    if not isinstance(tables, Mapping | None):
        raise MyoedgeError("E232", "pyproject.toml: tool.myoedge is not a table")
    found = Config() if tables is None else from_tables(tables, "pyproject.toml")
    return Found(found, Path(), FILE if tables is None else f"tool.myoedge of {project}")


def _read_file(path: Path) -> Config:
    return from_tables(_parse_file(path), path.name)


# A key on the line of its table, as texts name settings: [quant] "head" = { weights = 4 }
TABLE_AND_KEY = re.compile(r"^[ \t]*(\[[^\[\]\n]+\])[ \t]*([^\s#].*)$", re.MULTILINE)


def _parse_file(path: Path) -> dict[str, Any]:
    text = ""
    try:
        text = read_text(path)
        return tomllib.loads(text)
    except OSError as error:
        cause = {"cause": error.strerror}
        raise MyoedgeError("E231", f"{path} cannot be read", cause, ["myoedge init"]) from None
    except (ValueError, RecursionError) as error:
        tries = ['texts in quotes, numbers and true without: path = "model.pt2", samples = 256']
        tables = re.findall(r"^[ \t]*(\[[^\[\]\n]+\])", text, re.MULTILINE)
        if one_line := TABLE_AND_KEY.search(text):
            tries = [f"a line for the table and one for the key: {one_line[1]} {one_line[2]}"]
        elif twice := [x for x in dict.fromkeys(tables) if tables.count(x) > 1]:
            tries = [f"the keys of both {x} below the first one" for x in twice]
        title = f"{path.name} is not TOML"
        raise MyoedgeError("E231", title, {"cause": str(error)}, tries) from None


def from_tables(tables: Mapping[str, Any], name: str) -> Config:
    """Convert parsed TOML tables to a Config. Errors: E230 unknown keys, E232 wrong values, all of
    them at once.

    name   file name for messages
    """
    if key := next(with_controls(tables), None):
        raise MyoedgeError("E232", f"{name} has a wrong value", {key: "it has control characters"})
    _check_keys(tables, name)
    wrong: list[Any] = []
    config = _tables_as_records(tables, wrong)
    if wrong:
        reasons = _error_reasons(wrong)
        tries = [line for key, line in EXAMPLES.items() if f"budget.{key}" in reasons]
        raise MyoedgeError("E232", f"{name} has a wrong value", reasons, [*tries, *remedies(wrong)])
    check_numbers(config, name)
    return config


def _check_keys(tables: Mapping[str, Any], name: str) -> None:
    """Raise E230 for unknown tables and keys, with the nearest known ones."""
    unknown = [*_unknown_keys(tables)]
    if not unknown:
        return
    nearest = [(k, difflib.get_close_matches(k[-1], known, 1, 0.5)) for k, known in unknown]
    tries = [f"{'.'.join(key)}  ->  {near[0]}" for key, near in nearest if near]
    (first, known), *_ = unknown
    key = ".".join(first)
    if not tries:
        main = [x for x in known if x in MAIN_KEYS]
        tries = [*(f"{key}  ->  {x}, if that is meant" for x in main), f"without {key}"]
    title = f"{name} has no key {key!r}"
    raise MyoedgeError("E230", title, {"knows": ", ".join(known)}, tries)


def _tables_as_records(tables: Mapping[str, Any], wrong: list[Any]) -> Config:
    """Return the tables as records; errors of pydantic are appended to `wrong`."""
    core = get_type_hints(Config)
    added = {
        key: _make_record(_table_dataclass(key), table, (key,), wrong)
        for key, table in tables.items()
        if key not in core
    }
    of_core = {key: table for key, table in tables.items() if key in core}
    config: Config | None = _make_record(Config, of_core, (), wrong)
    return replace(config or Config(), tables=added)


def _table_dataclass(name: str) -> Any:
    """Return the dataclass of an extension's table; None if no extension has it."""
    core = (TableHook(x, "") for x in get_type_hints(Config) if x != "tables")
    hook = find_hook("tables", name, core)
    return load(hook, "kind") if hook else None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _make_record(kind: Any, table: Any, path: tuple[str, ...], wrong: list[Any]) -> Any:
    """Convert a parsed table to its dataclass; None for a wrong one, whose errors of pydantic are
    appended to `wrong`.

    path   of the table in the file
    """
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_json(json.dumps(table), strict=True)
    except ValidationError as error:
        wrong += [{**row, "loc": (*path, *row["loc"])} for row in error.errors()]
    except TypeError as error:
        wrong.append({"loc": (*path, "value"), "msg": str(error), "type": "type"})
    return None


def _error_reasons(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for row in rows:  # one row per type that the key may have: they are one reason
        key = ".".join(str(part) for part in row["loc"] if not _TYPES.fullmatch(str(part)))
        text = str(row["msg"]).replace("an object", "a table")  # JSON's word
        reasons[key] = f"{reasons[key]}; or: {text}" if key in reasons else text
    return reasons


def _unknown_keys(tables: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield unknown keys as (path of the key, keys that its table allows)."""
    kinds = get_type_hints(Config)
    del kinds["tables"]
    for name, table in tables.items():
        kind = kinds.get(name) or _table_dataclass(name)
        if kind is None:
            yield (name,), [*kinds, *(hook.name for hook in hooks("tables"))]
        elif name == "quant" and isinstance(table, Mapping):  # one table per pattern
            for pattern, row in table.items():
                yield from _unknown_keys_in(row, (name, pattern), LayerTable)
        elif name != "engine":  # the keys of [engine] are patterns
            kind, *_ = get_args(kind) or (kind,)
            yield from _unknown_keys_in(table, (name,), kind)


def _unknown_keys_in(
    table: Any, path: tuple[str, ...], kind: type[Any]
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    if isinstance(table, Mapping):
        known = [field.name for field in fields(kind)]
        yield from (((*path, key), known) for key in table if key not in known)
