# SPDX-License-Identifier: Apache-2.0
"""Hooks of this package's extensions and of installed ones, by kind and name, and the objects at
their places. The core imports no extension."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, wraps
from itertools import chain
from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError
from myoedge.extension import Extension, kinds, places
from myoedge.system.places import Stated

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "myoedge.extensions"  # entry points of installed packages; and the package of our own
_USED = set[str]()  # top-level packages of places of other packages' hooks, in this process


def load(hook: Any, field: str = "place") -> Any:
    """Import what stands at a place of a hook.

    field   of the hook that has the place
    Errors: E257 the hook is of another package, and what stands there cannot be imported, or is
    something else; a function raises E257 in place of an exception that is no error of myoedge, and
    where it does not return what it should.
    """
    place = getattr(hook, field)
    if not hook.package:
        return import_place(place)
    _USED.add(place.partition(":")[0].partition(".")[0])
    with _raise_as_e257(hook.package, place, "cannot be loaded", (Exception, SystemExit)):
        found = checked(hook, field)
    stated = Stated(places(hook.__class__)[field])
    if not stated.is_function:
        return found

    @wraps(found)
    def called(*arguments: Any, **named: Any) -> Any:
        with _raise_as_e257(hook.package, place, "failed"):
            made = found(*arguments, **named)
            if not isinstance(made, stated.classes):
                raise TypeError(f"it returned {type(made).__name__}, not {stated.result}")
            return [*made] if isinstance(made, Iterator) else made  # errors of generators, too

    return called


def import_place(place: str) -> Any:
    """Import an object by its place, "module:name"."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def checked(hook: Any, field: str = "place") -> Any:
    """Import the object at a place of a hook. Errors: those of the import; TypeError the object is
    of another kind than the place's."""
    found = import_place(getattr(hook, field))
    Stated(places(hook.__class__)[field]).check(found)
    return found


@contextmanager
def _raise_as_e257(
    package: str, place: str, what: str, kinds: tuple[type[BaseException], ...] = (Exception,)
) -> Iterator[None]:
    """Context manager that raises E257 in place of an exception in code of another package."""
    try:
        yield
    except MyoedgeError:
        raise
    except kinds as error:
        from myoedge.system.near_names import nearest_in
        from myoedge.system.user_code import cause_of

        facts = {"package": package, "cause": cause_of(error)}
        tries = [*nearest_in(error), f"pip uninstall {package}"]
        raise MyoedgeError("E257", f"{place} of an extension {what}", facts, tries) from error


def used_packages() -> list[str]:
    """Return the names of other packages whose hooks this process has used, sorted."""
    return sorted(_USED)


def hooks(kind: str) -> Iterator[Any]:
    """Yield the hooks of a kind: of this package's extensions by name, then of other installed
    packages' extensions, which are loaded when the iteration reaches them. An extension that cannot
    be loaded is left out.

    kind   field of Extension
    """
    for extension in chain.from_iterable(
        each() for each in (_own_extensions, _installed_extensions)
    ):
        if isinstance(extension, Extension):
            yield from getattr(extension, kind)


def find_hook(kind: str, name: str, core: Iterable[Any] = ()) -> Any:
    """Return the first row or hook of a kind with this name; None if there is none, or for no name.

    core   rows of the core, which are searched first
    Errors: E257 there is none, and an installed package that may have it cannot be loaded; with the
    nearest name that there is.
    """
    if not name:
        return None
    rows = [*core]
    found = next((row for row in chain(rows, hooks(kind)) if row.name == name), None)
    if found is None:
        for extension in _installed_extensions():
            if isinstance(extension, MyoedgeError):
                from myoedge.system.near_names import nearest

                old, known = extension.notice, [row.name for row in chain(rows, hooks(kind))]
                facts = {"asked": f"{name}, which nothing else has", **dict(old.facts)}
                raise MyoedgeError(old.code, old.title, facts, [*nearest(name, known), *old.tries])
    return found


def with_hooks(rows: Iterable[Any], kind: str) -> tuple[Any, ...]:
    """Return rows of the core and the hooks of a kind, each after the row that `after` names, or at
    the end if there is none; of several with one name the first."""
    found, waiting = [*rows], [*hooks(kind)]
    while waiting:
        later = []
        for hook in waiting:
            names = [row.name for row in found]
            if hook.after and hook.after not in names:
                later.append(hook)
            elif hook.name not in names:
                found.insert(names.index(hook.after) + 1 if hook.after else len(found), hook)
        if len(later) == len(waiting):  # what is left follows rows that there are not
            later = [replace(hook, after="") for hook in later]
        waiting = later
    return tuple(found)


@cache
def _own_extensions() -> tuple[Extension, ...]:
    folder = importlib.import_module(GROUP).__path__
    names = sorted(row.name for row in pkgutil.iter_modules(folder))
    return tuple(import_place(f"{GROUP}.{name}:EXTENSION") for name in names)


@cache
def _installed_extensions() -> tuple[Extension | MyoedgeError, ...]:
    """Return the extensions of other installed packages; for one that cannot be loaded, E257."""
    from importlib import metadata

    points = sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name)
    return tuple(load_extension(point) for point in points)


def load_extension(point: EntryPoint) -> Extension | MyoedgeError:
    """Load an entry point; return its extension, with the package in each hook, or E257 if it
    cannot be loaded, or is no extension."""
    package = point.dist.name if point.dist else point.module
    facts, uninstall = {"package": package}, f"pip uninstall {package}"
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        from myoedge.system.near_names import nearest_in, stated_extensions
        from myoedge.system.user_code import cause_of

        title = f"the extension {point.name} cannot be loaded"
        tries = [*(stated_extensions(point) or nearest_in(error)), uninstall]
        return MyoedgeError("E257", title, facts | {"cause": cause_of(error)}, tries)
    if not isinstance(found, Extension):
        from myoedge.system.near_names import stated_extensions

        facts |= {"needs": "myoedge.extension.Extension", "has": repr(found)}
        tries = [*stated_extensions(point), uninstall]
        return MyoedgeError("E257", f"{point.value} is no extension", facts, tries)
    named = {
        kind: tuple(replace(hook, package=package) for hook in getattr(found, kind))
        for kind in kinds()
    }
    return replace(found, **named)
