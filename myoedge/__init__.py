# SPDX-License-Identifier: Apache-2.0
"""myoedge: trained sEMG networks become verified int8 C for wearable chips."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from myoedge.api import (
        Build,
        bench,
        boards,
        build,
        calibrate_energy,
        doctor,
        energy,
        explain,
        flash,
        init,
        inspect,
        load,
        load_build,
        ops,
        quantize,
        report,
        run,
        simulate,
        simulate_elf,
        sweep,
        validate,
    )
    from myoedge.errors import MyoedgeError

__all__ = [
    "Build",
    "MyoedgeError",
    "bench",
    "boards",
    "build",
    "calibrate_energy",
    "doctor",
    "energy",
    "explain",
    "flash",
    "init",
    "inspect",
    "load",
    "load_build",
    "ops",
    "quantize",
    "report",
    "run",
    "simulate",
    "simulate_elf",
    "sweep",
    "validate",
]


def __getattr__(name: str) -> Any:
    """Public names load the API on first use, so that `import myoedge` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'myoedge' has no attribute {name!r}")
    if name == "MyoedgeError":
        from myoedge.errors import MyoedgeError

        return MyoedgeError
    from myoedge import api

    return getattr(api, name)


class _Package(ModuleType):
    """Keeps `myoedge.ops`, `report`, `run`, `energy` and `sweep`: importing subpackages of these
    names would put modules in their place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
