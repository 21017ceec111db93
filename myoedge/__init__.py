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
    from myoedge.frontend.torch.quantizer import GAP9Quantizer as GAP9Quantizer

# GAP9Quantizer is none of them: `from myoedge import *` does without its extra
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
    if name == "GAP9Quantizer":
        return _quantizer()
    if name not in __all__:
        raise AttributeError(f"module 'myoedge' has no attribute {name!r}")
    if name == "MyoedgeError":
        from myoedge.errors import MyoedgeError

        return MyoedgeError
    return getattr(importlib.import_module("myoedge.api"), name)


def _quantizer() -> Any:
    """GAP9Quantizer. Errors: E501 torchao is missing."""
    try:
        return importlib.import_module("myoedge.frontend.torch.quantizer").GAP9Quantizer
    except ImportError as error:
        from myoedge.errors import MyoedgeError

        tries = ("pip install 'myoedge[qat]'",)
        facts = {"cause": error}
        raise MyoedgeError("E501", "GAP9Quantizer needs torchao", facts, tries) from error
