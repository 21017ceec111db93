# SPDX-License-Identifier: Apache-2.0
"""myoedge: trained sEMG networks become verified int8 C for wearable chips."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from myoedge.version import __version__

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
    "__version__",
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
    return getattr(importlib.import_module("myoedge.api"), name)
