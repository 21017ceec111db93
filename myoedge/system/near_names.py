# SPDX-License-Identifier: Apache-2.0
"""Remedies for names that nothing has: the nearest of those that there are."""

from __future__ import annotations

import pkgutil
import re
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.metadata import EntryPoint
from types import ModuleType

from myoedge import extension

ALIKE = 0.7
ALIKE_PACKAGES = 0.8  # of hundreds of installed ones
KEYWORD = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
IMPORTED = re.compile(r"cannot import name '(\w+)'")


def nearest(name: str, known: Iterable[str], alike: float = ALIKE) -> list[str]:
    """Return "name  ->  the nearest known name" as a remedy; [] if none is near.

    alike   least similarity, from 0 to 1
    """
    near = get_close_matches(name, [x for x in known if not x.startswith("_")], 1, alike)
    return [f"{name}  ->  {x}" for x in near if x != name]


def nearest_in(error: BaseException) -> list[str]:
    """Return the remedy for an exception that states an unknown name: of a module, of something in
    a module, or of a field of hooks; [] for others."""
    match error:
        case AttributeError(name=str(name), obj=ModuleType() as module):
            return nearest(name, vars(module))
        case ModuleNotFoundError(name=str(name)):
            package, _, last = name.rpartition(".")
            path = vars(sys.modules.get(package, extension)).get("__path__")
            return nearest(last, [row.name for row in pkgutil.iter_modules(path)], ALIKE_PACKAGES)
        case ImportError(name=str(name)) if unknown := IMPORTED.match(str(error)):
            return nearest(unknown[1], vars(sys.modules.get(name, extension)))
        case TypeError() if keyword := KEYWORD.search(str(error)):
            kind = getattr(extension, keyword[1], None)
            return nearest(keyword[2], getattr(kind, "__dataclass_fields__", ()))
    return []


def stated_extensions(point: EntryPoint) -> list[str]:
    """Return the entry points that would name the extensions in an entry point's module."""
    found = vars(sys.modules.get(point.module, ModuleType("none")))
    return [
        f'{point.name} = "{point.module}:{name}" in its [project.entry-points."{point.group}"]'
        for name, value in found.items()
        if isinstance(value, extension.Extension)
    ]
