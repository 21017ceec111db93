# SPDX-License-Identifier: Apache-2.0
"""Plug-ins: entry points of installed packages, loaded only where [plugins] names them."""

from __future__ import annotations

import difflib
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import myoedge.operators as families
from myoedge.building.config import FILE, PluginsTable, find
from myoedge.errors import MyoedgeError
from myoedge.operators.base import OPS
from myoedge.quantization.recordings import files
from myoedge.quantization.recordings.reading import ONLY, Content, Reading, plain
from myoedge.system.folder import MANIFEST
from myoedge.system.regular_files import read_text
from myoedge.system.user_code import UserFunction, cause_of, converted, is_in
from myoedge.targets import boards

KINDS = ("operators", "boards", "calibration")
GROUP = "myoedge."  # before a kind: the group of its entry points
FRONT_ENDS = "myoedge.frontend.operator_table"  # read once, with all operators


@dataclass(frozen=True, slots=True)
class Plugin:
    """An entry point, and the installed package that it is of, with its files."""

    kind: str
    name: str
    package: str
    version: str
    places: tuple[Path, ...] = field(default=(), compare=False)


_LOADED: dict[tuple[str, str], Plugin] = {}  # as long as this process runs


def load_plugins(named: PluginsTable) -> tuple[Plugin, ...]:
    """The plug-ins that are named, loaded once.

    Errors: E256 one that is not installed, E257 one that cannot be used.
    """
    return tuple(_loaded(kind, name) for kind in KINDS for name in getattr(named, kind))


def _loaded(kind: str, name: str) -> Plugin:
    if (kind, name) not in _LOADED:
        point = _entry_point(kind, name)
        package = point.dist
        about = (package.name, package.version) if package else ("", "")
        plugin = Plugin(kind, name, *about, _places(point))
        with converted(lambda error: _unusable(kind, name, cause_of(error, plugin.places))):
            _USE[kind](plugin, point.load())
        _LOADED[kind, name] = plugin
    return _LOADED[kind, name]


def _places(point: metadata.EntryPoint) -> tuple[Path, ...]:
    """The files of an entry point's package: a folder, or a module alone."""
    top = point.module.partition(".")[0]
    located = [point.dist.locate_file(name) for name in (top, f"{top}.py")] if point.dist else []
    return tuple(Path(str(place)) for place in located)


def error_in_plugin(error: BaseException) -> MyoedgeError | None:
    """E257 of what a plug-in's functions raised, wherever they were called; None of others."""
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    for (kind, name), plugin in _LOADED.items():
        if any(is_in(file, plugin.places) for file in frames):
            return _unusable(kind, name, cause_of(error, plugin.places))
    return None


def _entry_point(kind: str, name: str) -> metadata.EntryPoint:
    """Errors: E256; E257 one that several packages have, of which no order says which is meant."""
    points = metadata.entry_points(group=GROUP + kind)
    installed = {point.name: point for point in points}
    if name in installed:
        packages = sorted({p.dist.name for p in points if p.name == name and p.dist})
        if len(packages) > 1:
            cause = f"several packages have it: {', '.join(packages)}"
            raise _unusable(kind, name, cause, (f"pip uninstall {packages[-1]}",))
        return installed[name]
    near = difflib.get_close_matches(name, installed, 1, 0.5)
    tries = [f'[plugins] {kind} = ["{near[0]}"]'] if near else ["pip install its package"]
    facts = {"has": ", ".join(sorted(installed)) or f"no package with {GROUP}{kind}"}
    raise MyoedgeError("E256", f"no plug-in {name} for {kind} is installed", facts, tries)


def _unusable(kind: str, name: str, cause: str, tries: tuple[str, ...] = ()) -> MyoedgeError:
    tries = (*tries, f"[plugins] {kind} without {name}")
    return MyoedgeError("E257", f"the plug-in {name} cannot be used", {"cause": cause}, tries)


# --- kinds ----------------------------------------------------------------------------------------


def _use_operators(plugin: Plugin, package: Any) -> None:
    """A package like a folder of myoedge/operators: definition, tiling, import_rows, qdq."""
    name = plugin.name
    if not isinstance(package, ModuleType) or not hasattr(package, "__path__"):
        raise _unusable("operators", name, "its entry point is no package")
    if FRONT_ENDS in sys.modules:
        cause = "networks were loaded before it in this process: name it from the start"
        raise _unusable("operators", name, cause)
    before = len(OPS)
    families.add(package)
    rows = (Path(place) / "import_rows.py" for place in package.__path__)
    if len(OPS) == before and not any(file.is_file() for file in rows):
        raise _unusable("operators", name, "it defines no operators, and has no import_rows")


def _use_board(plugin: Plugin, package: Any) -> None:
    """A package with a board.toml."""
    name = plugin.name
    places = [Path(place) / boards.FILE for place in getattr(package, "__path__", ())]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise _unusable("boards", name, f"its entry point is no package with {boards.FILE}")
    boards.ADDED[name] = found


def _use_reader(plugin: Plugin, function: Any) -> None:
    """A function from the path of a file with that ending to arrays by name, or one array."""
    if not callable(function):
        raise _unusable("calibration", plugin.name, "its entry point is no function")
    files.ADDED[f".{plugin.name.lower()}"] = _reader(plugin, function)


def _reader(plugin: Plugin, function: Callable[[Path], Any]) -> files.Reader:
    tries = (f"[plugins] calibration without {plugin.name}",)
    named = UserFunction(plugin.name, "the plug-in", "E257", tries, plugin.places)

    def read(path: Path, reading: Reading) -> Content:
        with named.guarded(f"cannot read {path.name}"):
            made = function(path)
            arrays = made if isinstance(made, Mapping) else {ONLY: made}
            return Content({str(key): plain(x, f"array {key}") for key, x in arrays.items()})

    return read


_USE: Mapping[str, Callable[[Plugin, Any], None]] = {
    "operators": _use_operators,
    "boards": _use_board,
    "calibration": _use_reader,
}


def load_named() -> None:
    """Loads the plug-ins of the configuration in the working folder. Errors: E230 .. E232 too."""
    load_plugins(find(None)[0].plugins)


def load_needed(folder: Path) -> None:
    """Loads the plug-ins that a build was made with, as far as myoedge.toml here names them too.

    A manifest alone loads nothing: it may be of somebody else.
    Errors: E256 operators that are not named here.
    """
    try:
        rows = json.loads(read_text(folder / MANIFEST)).get("plugins", ())
        needed = [str(row["name"]) for row in rows if row["kind"] == "operators"]
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
        MyoedgeError,
    ):
        return  # no build, which whoever reads it says
    if not needed:
        return
    load_named()
    lacking = [name for name in needed if ("operators", name) not in _LOADED]
    if lacking:
        title = f"{folder} was built with a plug-in that is not named here: {lacking[0]}"
        names = ", ".join(f'"{name}"' for name in needed)
        tries = [f"[plugins] operators = [{names}] in {FILE} of the folder you are in"]
        raise MyoedgeError("E256", title, tries=tries)


def described_board(name: str | None) -> boards.Board:
    """A board of the package, of a board.toml, or of a plug-in that is named.

    Errors: E252, E253, E256, E257.
    """
    try:
        return boards.find_board(name)
    except MyoedgeError as error:
        if error.code != boards.NO_BOARD:
            raise
    load_named()
    return boards.find_board(name)


def recorded(plugins: Iterable[Plugin]) -> dict[str, Any]:
    """For manifest.json; empty without plug-ins."""
    rows = [
        {"kind": p.kind, "name": p.name, "package": p.package, "version": p.version}
        for p in plugins
    ]
    return {"plugins": rows} if rows else {}
