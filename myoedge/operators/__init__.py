# SPDX-License-Identifier: Apache-2.0
"""The operators, one folder per family, and library/, which families share; importing this package
fills base.OPS."""

from __future__ import annotations

import pkgutil
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

from myoedge.errors import MyoedgeError
from myoedge.system.user_code import cause_of, converted

FOLDER = Path(__file__).parent
SEPARATE = ("import_rows", "qdq", "cases", "torch_library")  # modules that do not define operators
LIBRARY = "library"  # the folder of what families share
TABLES = {"import_rows": "ROWS", "qdq": "WRITE", "cases": "CASES"}  # module -> its table


def families() -> list[str]:
    """Return the sorted names of the operator families (subfolders but LIBRARY)."""
    packages = pkgutil.iter_modules([str(FOLDER)])
    return sorted(m.name for m in packages if m.ispkg and m.name != LIBRARY)


ADDED: list[ModuleType] = []  # packages of plug-ins, laid out like the folders here


def define(package: ModuleType) -> None:
    """Import the modules of an operator family's package, which registers its operators in OPS; an
    operator may also be in one module, with its tables."""
    for module in _modules_of(package):
        if module not in SEPARATE:
            import_module(f"{package.__name__}.{module}")


def _modules_of(package: ModuleType) -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(getattr(package, "__path__", ())))


def modules(name: str) -> list[ModuleType]:
    """Return the modules with this name (such as "tiling") from all family folders, sorted by
    folder, followed by those of plug-ins."""
    packages = [*map(_package, families()), *ADDED]
    return [module for package in packages for module in with_table(package, name)]


def with_table(package: ModuleType, name: str) -> list[ModuleType]:
    """Return a package's module of this name, or the package itself if it has the table."""
    if name in _modules_of(package):
        return [import_module(f"{package.__name__}.{name}")]
    return [package] if hasattr(package, TABLES.get(name, name)) else []


def _package(family: str) -> ModuleType:
    return import_module(f"{__name__}.{family}")


def _family_error(family: str, error: BaseException) -> MyoedgeError:
    """Return E257 for a family that cannot be imported, as one that is being written."""
    facts = {"cause": cause_of(error, [FOLDER / family])}
    title = f"the operators in {FOLDER / family} cannot be imported"
    return MyoedgeError(
        "E257", title, facts, [f"correct {str(facts['cause']).rpartition('(')[2].rstrip(')')}"]
    )


for family in families():
    with converted(partial(_family_error, family)):
        define(_package(family))
table = import_module(f"{__name__}.base").OPS  # in one order, whatever family imports another first
table |= {name: table.pop(name) for name in sorted(table)}
