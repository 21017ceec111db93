# SPDX-License-Identifier: Apache-2.0
"""The operators, one folder a family; importing this package fills base.OPS."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parent
SEPARATE = ("import_rows", "qdq", "cases")  # modules that do not define operators


def families() -> list[str]:
    """Their names, sorted; TEMPLATE, which is to be copied, is none."""
    packages = pkgutil.iter_modules([str(FOLDER)])
    return sorted(m.name for m in packages if m.ispkg and m.name != "TEMPLATE")


ADDED: list[ModuleType] = []  # packages of plug-ins, which are as the folders here


def add(package: ModuleType) -> None:
    """Registers the operators of a package of a plug-in."""
    for module in _modules_of(package):
        if module not in SEPARATE:
            import_module(f"{package.__name__}.{module}")
    ADDED.append(package)


def _modules_of(package: ModuleType) -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__))


def modules(name: str) -> list[ModuleType]:
    """The modules of this name in the folders, in the order of the folders' names, and those of
    plug-ins behind them."""
    having = [family for family in families() if (FOLDER / family / f"{name}.py").is_file()]
    added = [package.__name__ for package in ADDED if name in _modules_of(package)]
    folders = [*(f"{__name__}.{family}" for family in having), *added]
    return [import_module(f"{folder}.{name}") for folder in folders]


for family in families():
    for module in sorted(m.name for m in pkgutil.iter_modules([str(FOLDER / family)])):
        if module not in SEPARATE:
            import_module(f"{__name__}.{family}.{module}")
