# SPDX-License-Identifier: Apache-2.0
"""Plug-ins: entry points of installed packages that [plugins] names."""

from __future__ import annotations

import contextlib
import difflib
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import myoedge.operators as families
from myoedge.building.config import FILE, find
from myoedge.building.config_tables import PluginsTable
from myoedge.building.plugin_returns import checked_rows, with_checked_returns
from myoedge.errors import MyoedgeError, set_in
from myoedge.operators.base import registered_together
from myoedge.quantization.recordings import files
from myoedge.quantization.recordings.reading import ONLY, Content, Reading, plain
from myoedge.system.folder import MANIFEST
from myoedge.system.regular_files import read_text
from myoedge.system.user_code import UserFunction, cause_of, converted, is_in
from myoedge.targets import boards

KINDS = ("operators", "boards", "calibration")
GROUP = "myoedge."  # prefix of entry point groups, before the kind
FRONT_ENDS = "myoedge.frontend.operator_table"  # loaded once, with all operators


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plug-in: an entry point of an installed package.

    kind, name         kind and name of the entry point
    package, version   the package that has it
    places             files of that package
    """

    kind: str
    name: str
    package: str
    version: str
    places: tuple[Path, ...] = field(default=(), compare=False)


_LOADED: dict[tuple[str, str], Plugin] = {}  # until this process ends


def load_plugins(named: PluginsTable) -> tuple[Plugin, ...]:
    """Load the named plug-ins, each once.

    Errors: E256 not installed, E257 not usable.
    """
    return tuple(_load_entry_point(kind, name) for kind in KINDS for name in getattr(named, kind))


def _load_entry_point(kind: str, name: str) -> Plugin:
    if (kind, name) not in _LOADED:
        point = _entry_point(kind, name)
        package = point.dist
        about = (package.name, package.version) if package else ("", "")
        top = point.module.partition(".")[0]  # a folder, or the only module of the package
        located = [package.locate_file(x) for x in (top, f"{top}.py")] if package else []
        plugin = Plugin(kind, name, *about, tuple(Path(str(place)) for place in located))
        of_package = set_in(" ".join(about).strip(), code="E257", fact="package")
        raising = converted(lambda error: _plugin_raised_error(plugin, error))
        with of_package, raising, _import_or_undo(point):
            _USE[kind](plugin, point)
        _LOADED[kind, name] = plugin
    return _LOADED[kind, name]


@contextlib.contextmanager
def _import_or_undo(point: metadata.EntryPoint) -> Iterator[None]:
    """Context manager that undoes the import of an entry point's package after an error, so that
    the next attempt imports and registers all its modules."""
    before, top = {*sys.modules}, point.module.partition(".")[0]
    try:
        yield
    except BaseException:
        for module in {*sys.modules} - before:
            if module.partition(".")[0] == top:
                del sys.modules[module]
        raise


def error_in_plugin(error: BaseException) -> MyoedgeError | None:
    """Return E257 if an exception was raised in a plug-in's function; otherwise None."""
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    for plugin in _LOADED.values():
        if any(is_in(file, plugin.places) for file in frames):
            return _plugin_raised_error(plugin, error)
    return None


def _entry_point(kind: str, name: str) -> metadata.EntryPoint:
    """Find an entry point. Errors: E256; E257 several packages define it."""
    points = metadata.entry_points(group=GROUP + kind)
    installed = {point.name: point for point in points}
    if name in installed:
        packages = sorted({p.dist.name for p in points if p.name == name and p.dist})
        if len(packages) > 1:
            cause = f"several packages have it: {', '.join(packages)}"
            several = Plugin(kind, name, "", "")
            raise _unusable_plugin_error(several, cause, (f"pip uninstall {packages[-1]}",))
        return installed[name]
    near = difflib.get_close_matches(name, installed, 1, 0.5)
    tries = [f'[plugins] {kind} = ["{near[0]}"]'] if near else ["pip install its package"]
    facts = {"has": ", ".join(sorted(installed)) or f"no package with {GROUP}{kind}"}
    raise MyoedgeError("E256", f"no plug-in {name} for {kind} is installed", facts, tries)


def _plugin_raised_error(plugin: Plugin, error: BaseException) -> MyoedgeError:
    from myoedge.system.near_names import nearest_in

    return _unusable_plugin_error(plugin, cause_of(error, plugin.places), (*nearest_in(error),))


def _unusable_plugin_error(plugin: Plugin, cause: str, tries: tuple[str, ...] = ()) -> MyoedgeError:
    package = {"package": f"{plugin.package} {plugin.version}"} if plugin.package else {}
    tries = (*tries, _uninstall_remedy(plugin))
    title = f"the plug-in {plugin.name} cannot be used"
    return MyoedgeError("E257", title, {"cause": cause, **package}, tries)


def _uninstall_remedy(plugin: Plugin) -> str:
    return f"[plugins] {plugin.kind} without {plugin.name}"


def _check_free(plugin: Plugin, what: str, name: str, names: Iterable[str]) -> None:
    """Raise E257 if a board or reader already has the plug-in's name."""
    if name in names:
        cause = f"there is {what} {name} already: the entry point needs another name"
        raise _unusable_plugin_error(plugin, cause)


# --- kinds ----------------------------------------------------------------------------------------


def _use_operators(plugin: Plugin, point: metadata.EntryPoint) -> None:
    """Register the operators of a module, or of a package laid out like a folder of
    myoedge/operators."""
    with registered_together() as found:
        package = point.load()
        if not isinstance(package, ModuleType):
            raise _unusable_plugin_error(plugin, "its entry point is no module")
        if FRONT_ENDS in sys.modules:
            cause = "networks were loaded before it in this process: name it from the start"
            raise _unusable_plugin_error(plugin, cause)
        families.define(package)
        tables = families.with_table(package, "import_rows")
        if not found and not tables:
            raise _unusable_plugin_error(plugin, "it defines no operators, and has no ROWS")
        blame = partial(_unusable_plugin_error, plugin)
        found.update({name: with_checked_returns(op, blame) for name, op in found.items()})
        for rows in tables:
            rows.ROWS = checked_rows(getattr(rows, "ROWS", None), blame, found)  # type: ignore[attr-defined]
    families.ADDED.append(package)


def _use_board(plugin: Plugin, point: metadata.EntryPoint) -> None:
    """Register the board of a package with a board.toml, whose id is the entry point's name."""
    name = plugin.name
    _check_free(plugin, "a board", name, (*boards.own_ids(), *boards.ADDED))
    places = [Path(place) / boards.FILE for place in getattr(point.load(), "__path__", ())]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise _unusable_plugin_error(plugin, f"its entry point is no package with {boards.FILE}")
    stated = name
    with contextlib.suppress(MyoedgeError):  # reported when the board is used
        stated = boards.read_board(found).id
    if stated != name:
        cause = f'its {boards.FILE} has id = "{stated}", its entry point is {name}'
        raise _unusable_plugin_error(plugin, cause, (f'id = "{name}" in its {boards.FILE}',))
    boards.ADDED[name] = found


def _use_reader(plugin: Plugin, point: metadata.EntryPoint) -> None:
    """Register a plug-in's function that reads sample files with a file extension: path -> arrays
    by name, or one array."""
    ending = f".{plugin.name.lower()}"
    _check_free(plugin, "a reader of", ending, (*files.kinds(), *files.ADDED))
    function = point.load()
    if not callable(function):
        raise _unusable_plugin_error(plugin, "its entry point is no function")
    files.ADDED[ending] = _wrap_reader(plugin, function)


def _wrap_reader(plugin: Plugin, function: Callable[[Path], Any]) -> files.Reader:
    tries = (_uninstall_remedy(plugin),)
    named = UserFunction(plugin.name, "the plug-in", "E257", tries, plugin.places)

    def read(path: Path, reading: Reading) -> Content:
        with named.guarded(f"cannot read {path.name}"):
            made = function(path)
            arrays = made if isinstance(made, Mapping) else {ONLY: made}
            content = {str(key): plain(x, f"array {key}") for key, x in arrays.items()}
            for key, value in content.items():
                if value.dtype.kind not in "biuf":
                    has = f"{key or 'it'} of type {type(arrays[key]).__name__}"
                    cause = f"it returned {has}, not an array of numbers, or arrays by name"
                    raise _unusable_plugin_error(plugin, cause)
            return Content(content)

    return read


_USE: Mapping[str, Callable[[Plugin, metadata.EntryPoint], None]] = {
    "operators": _use_operators,
    "boards": _use_board,
    "calibration": _use_reader,
}


def load_named() -> None:
    """Load the plug-ins named in the configuration of the working folder.

    Errors: as load_plugins; E230 .. E232 an invalid configuration.
    """
    load_plugins(find(None)[0].plugins)


def load_needed(folder: Path) -> None:
    """Load the plug-ins of a build that myoedge.toml in the current folder names too.

    The manifest is not trusted by itself, because a build may come from somebody else.
    Errors: E256 operators that myoedge.toml does not name.
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
        return  # not a build: reading it reports the reason
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
    """Return a board by id or file: of this package, of a board.toml, or of a named plug-in.

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
    """Return the entry of the plug-ins in manifest.json; {} if there are none."""
    rows = [
        {"kind": p.kind, "name": p.name, "package": p.package, "version": p.version}
        for p in plugins
    ]
    return {"plugins": rows} if rows else {}
