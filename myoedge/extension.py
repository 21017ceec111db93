# SPDX-License-Identifier: Apache-2.0
"""Extensions: commands, applications, tables, backends and formats of another package.

    EXTENSION = Extension(commands=(CommandHook("lamp", "tell the lamp's pin", "lamp.cli:lamp"),))

    [project.entry-points."myoedge.extensions"]
    lamp = "lamp:EXTENSION"

The core finds hooks by their names, and imports no extension.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, wraps
from inspect import isfunction
from itertools import chain
from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "myoedge.extensions"  # entry points of installed packages; and the package of our own


@dataclass(frozen=True)
class CommandHook:
    """A command of the command line.

    name     word after `myoedge`
    text     what it does, in the list of commands: "package builds for a product"
    place    "module:name" of its click command, imported on use
    after    command that it follows in the list; "": the end
    """

    name: str
    text: str
    place: str
    after: str = ""


@dataclass(frozen=True)
class TableHook:
    """A table of myoedge.toml.

    name    of the table: "mlperf" for [mlperf]
    kind    place of its dataclass, whose fields are the keys and have defaults
    rules   place of a function of the table that yields (rule, whether it is satisfied), such as
            ("mlperf.scale must be more than 0", True); "": none
    """

    name: str
    kind: str
    rules: str = ""


@dataclass(frozen=True)
class ApplicationHook:
    """An application that `build --app NAME` generates around the network.

    name      NAME
    request   place of a function of BuildOptions and Config that returns a
              myoedge.building.applications.ApplicationRequest; "": it needs none
    play      place of a function of (Terminal, folder of the build, file, seconds, save) for
              `simulate --play`; "": the application cannot play recordings
    playable  place of a function of (Build, options of the build) that returns a sample file of the
              build that `play` accepts, or None
    """

    name: str
    request: str = ""
    play: str = ""
    playable: str = ""


@dataclass(frozen=True)
class PartHook:
    """Code beside the network, in every program of a build that requests the part.

    name      of the part
    request   place of a function of BuildOptions and Config that returns a
              myoedge.building.parts.PartRequest, or None: the build has no such part
    restore   place of a function of the arrays of the part that returns it: a
              myoedge.codegen.part.FirmwarePart
    """

    name: str
    request: str
    restore: str


@dataclass(frozen=True)
class SectionHook:
    """A section of reports, for an entry of report.json.

    name    key of the entry; a report without it has no section
    row     name of the row on the terminal
    line    place of a function of the report that returns the row's text
    title   heading in report.html
    text    sentence below the heading
    table   place of a function of the report that returns a myoedge.reports.tables.ReportTable
    """

    name: str
    row: str
    line: str
    title: str
    text: str
    table: str


@dataclass(frozen=True)
class ReaderHook:
    """A format of sample files.

    name         of the format
    endings      of its files: (".csv", ".tsv")
    place        of a function of a path and a Reading (myoedge.quantization.recordings.reading)
                 that returns the Content of the file
    beginnings   first bytes of its files, each at most 16
    by_ending    whether files without these first bytes are recognised by their ending
    """

    name: str
    endings: tuple[str, ...]
    place: str
    beginnings: tuple[bytes, ...] = ()
    by_ending: bool = False


@dataclass(frozen=True)
class BackendHook:
    """A backend: what runs a build for `validate`, `simulate` and `run`.

    name           its name after --on
    text           name in reports and messages, such as "C on the host"
    place          "module:name" of its myoedge.backends.runner.Runner, imported on use
    chip           name of its cycle counts, with {} for the chip; "": it counts no cycles
    source         source of the cycles in report.json
    shows_layers   whether `validate` compares every layer, not only the outputs
    is_listed      whether report.json lists the backend even if it has not been run; only for
                   backends of this package, so that reports do not depend on what is installed
    after          backend that it follows in lists; "": the end
    """

    name: str
    text: str
    place: str
    chip: str = ""
    source: str = ""
    shows_layers: bool = False
    is_listed: bool = False
    after: str = ""


@dataclass(frozen=True)
class ToolHook:
    """A row in the table of `doctor`, of a tool without which doctor succeeds.

    name    the tool's name
    place   "module:name" of a function without arguments that returns its
            myoedge.backends.doctor.ToolRow
    after   tool that it follows in the table; "": the end
    """

    name: str
    place: str
    after: str = ""


@dataclass(frozen=True, kw_only=True)
class Extension:
    """Additions of a package to myoedge.

    commands       of the command line
    tables         of myoedge.toml
    applications   of `build --app`
    parts          of the firmware, beside the network
    sections       of reports
    readers        of sample files
    backends       that run a build
    tools          that `doctor` looks for
    """

    commands: tuple[CommandHook, ...] = ()
    tables: tuple[TableHook, ...] = ()
    applications: tuple[ApplicationHook, ...] = ()
    parts: tuple[PartHook, ...] = ()
    sections: tuple[SectionHook, ...] = ()
    readers: tuple[ReaderHook, ...] = ()
    backends: tuple[BackendHook, ...] = ()
    tools: tuple[ToolHook, ...] = ()


_USED = set[str]()  # top-level packages of places outside this package, until the process ends


def load(place: str) -> Any:
    """Import an object by its place, "module:name".

    Errors: E257 it is of another package and cannot be imported; a function of another package
    raises E257 in place of an exception that is no error of myoedge.
    """
    module, _, name = place.partition(":")
    if is_own(place):
        return getattr(importlib.import_module(module), name)
    _USED.add(module.partition(".")[0])
    with _as_e257(place, "cannot be loaded"):
        found = getattr(importlib.import_module(module), name)
    if not isfunction(found):
        return found

    @wraps(found)
    def called(*arguments: Any, **named: Any) -> Any:
        with _as_e257(place, "failed"):
            return found(*arguments, **named)

    return called


@contextmanager
def _as_e257(place: str, what: str) -> Iterator[None]:
    """Context manager that raises E257 in place of an exception in code of another package."""
    try:
        yield
    except MyoedgeError:
        raise
    except Exception as error:
        from importlib import metadata

        top = place.partition(":")[0].partition(".")[0]
        package = metadata.packages_distributions().get(top, [top])[0]
        facts, tries = {"package": package, "cause": repr(error)}, [f"pip uninstall {package}"]
        raise MyoedgeError("E257", f"{place} of an extension {what}", facts, tries) from error


def is_own(place: str) -> bool:
    """Return whether a place is in this package."""
    return place.startswith("myoedge.")


def used_packages() -> list[str]:
    """Return the names of other packages whose hooks this process has used, sorted."""
    return sorted(_USED)


def hooks(kind: str) -> Iterator[Any]:
    """Yield the hooks of a kind: of this package's extensions by name, then of other installed
    packages' extensions, which are loaded when the iteration reaches them. An extension that cannot
    be loaded is left out.

    kind   field of Extension
    """
    for extension in chain.from_iterable(each() for each in (_own, _installed)):
        if isinstance(extension, Extension):
            yield from getattr(extension, kind)


def find_hook(kind: str, name: str, core: Iterable[Any] = ()) -> Any:
    """Return the first row or hook of a kind with this name; None if there is none, or for no name.

    core   rows of the core, which are searched first
    Errors: E257 there is none, and an installed package that may have it cannot be loaded.
    """
    if not name:
        return None
    found = next((row for row in chain(core, hooks(kind)) if row.name == name), None)
    if found is None:
        for extension in _installed():
            if isinstance(extension, MyoedgeError):
                raise extension
    return found


def with_hooks(rows: Iterable[Any], kind: str) -> tuple[Any, ...]:
    """Return rows of the core and the hooks of a kind, each after the row that `after` names; of
    several with one name the first."""
    found = [*rows]
    for added in hooks(kind):
        names = [row.name for row in found]
        if added.name not in names:
            place = names.index(added.after) + 1 if added.after in names else len(found)
            found.insert(place, added)
    return tuple(found)


@cache
def _own() -> tuple[Extension, ...]:
    folder = importlib.import_module(GROUP).__path__
    names = sorted(row.name for row in pkgutil.iter_modules(folder))
    return tuple(load(f"{GROUP}.{name}:EXTENSION") for name in names)


@cache
def _installed() -> tuple[Extension | MyoedgeError, ...]:
    """Return the extensions of other installed packages; for one that cannot be loaded, E257."""
    from importlib import metadata

    points = sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name)
    return tuple(_extension_of(point) for point in points)


def _extension_of(point: EntryPoint) -> Extension | MyoedgeError:
    """Load an entry point; return E257 if it cannot be loaded, or is no extension."""
    package = point.dist.name if point.dist else point.module
    facts, tries = {"package": package}, [f"pip uninstall {package}"]
    try:
        found = point.load()
    except Exception as error:
        title = f"the extension {point.name} cannot be loaded"
        return MyoedgeError("E257", title, facts | {"cause": repr(error)}, tries)
    if not isinstance(found, Extension):
        facts |= {"needs": "myoedge.extension.Extension", "has": repr(found)}
        return MyoedgeError("E257", f"{point.value} is no extension", facts, tries)
    return found
