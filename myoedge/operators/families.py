# SPDX-License-Identifier: Apache-2.0
"""The families of operators: the folders of this package."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

PACKAGE = __name__.rpartition(".")[0]
FOLDER = Path(__file__).parent
SEPARATE = ("import_rows", "qdq", "cases")  # modules that do not define operators


def families() -> list[str]:
    """Their names, sorted; TEMPLATE, which is to be copied, is none."""
    found = pkgutil.iter_modules([str(FOLDER)])
    return sorted(m.name for m in found if m.ispkg and m.name != "TEMPLATE")


def modules(name: str) -> list[ModuleType]:
    """The modules of this name in the folders, in the order of the folders' names."""
    found = [family for family in families() if (FOLDER / family / f"{name}.py").is_file()]
    return [import_module(f"{PACKAGE}.{family}.{name}") for family in found]


def define_operators() -> None:
    """Imports every module of every folder; those that define operators register them."""
    for family in families():
        for module in sorted(m.name for m in pkgutil.iter_modules([str(FOLDER / family)])):
            if module not in SEPARATE:
                import_module(f"{PACKAGE}.{family}.{module}")
