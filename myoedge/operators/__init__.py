# SPDX-License-Identifier: Apache-2.0
"""The operators, one folder per family; importing this package fills base.OPS."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parent
SEPARATE = ("import_rows", "qdq", "cases", "torch_library")  # modules that do not define operators


def families() -> list[str]:
    """Return the sorted names of the operator families (subfolders), except TEMPLATE."""
    packages = pkgutil.iter_modules([str(FOLDER)])
    return sorted(m.name for m in packages if m.ispkg and m.name != "TEMPLATE")


ADDED: list[ModuleType] = []  # packages of plug-ins, laid out like the folders here


def define(package: ModuleType) -> None:
    """Import the modules of an operator family's package, which registers its operators in OPS."""
    for module in _modules_of(package):
        if module not in SEPARATE:
            import_module(f"{package.__name__}.{module}")


def _modules_of(package: ModuleType) -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__))


def modules(name: str) -> list[ModuleType]:
    """Return the modules with this name (such as "tiling") from all family folders, sorted by
    folder, followed by those of plug-ins."""
    packages = [*map(_package, families()), *ADDED]
    return [import_module(f"{p.__name__}.{name}") for p in packages if name in _modules_of(p)]


def _package(family: str) -> ModuleType:
    return import_module(f"{__name__}.{family}")


for family in families():
    define(_package(family))
