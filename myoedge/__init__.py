# SPDX-License-Identifier: Apache-2.0
"""Trained sEMG networks become verified int8 C for wearable chips.

    built = myoedge.build("model.pt2", calib="calib.npz")
    myoedge.validate(built, on="host,simulator")   # bit for bit the NumPy reference
    myoedge.simulate(built).to_pandas()            # cycles, layer by layer
    built.run(window)                              # the generated C, floats in and out

    model files    load, inspect, quantize, build, sweep, check_regressions
    builds         load_build, validate, simulate, play, report, peaks, energy, advise, adapt,
                   evidence, check, diff
    boards         boards, flash, run, bench, bench_phases, bench_waiting, board_card,
                   calibrate_energy, monitor, adapt_on_device
    and            init, ops, check_plugin, doctor, explain, simulate_elf

Each verb of the command line is a function with the same arguments. Notebooks show results as
cards or pages; those with rows have `rows()` and `to_pandas()`. Errors are MyoedgeError with a
code, and `explain(code)` gives details. GAP9Quantizer, for training, comes with the extra `qat`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from myoedge.version import __version__

if TYPE_CHECKING:
    from myoedge.api import (
        Build,
        Inspection,
        Validation,
        build,
        calibrate_energy,
        check,
        check_plugin,
        diff,
        doctor,
        energy,
        explain,
        init,
        inspect,
        load,
        load_build,
        ops,
        peaks,
        quantize,
        report,
        simulate,
        simulate_elf,
        validate,
    )
    from myoedge.building.loading import Model
    from myoedge.building.quantized import Quantized
    from myoedge.building.simulate import Simulated
    from myoedge.errors import MyoedgeError
    from myoedge.extensions.adaptation.verbs import adapt, adapt_on_device
    from myoedge.extensions.boards.verbs import (
        bench,
        bench_phases,
        bench_waiting,
        board_card,
        boards,
        flash,
        run,
    )
    from myoedge.extensions.evidence.verbs import evidence
    from myoedge.extensions.sensor.verbs import monitor, play
    from myoedge.extensions.sweeps.advise import Advice
    from myoedge.extensions.sweeps.sweep import Swept
    from myoedge.extensions.sweeps.verbs import advise, check_regressions, sweep
    from myoedge.frontend.torch.quantizer import GAP9Quantizer as GAP9Quantizer

# without GAP9Quantizer: `from myoedge import *` does not need its extra
__all__ = [
    "Advice",
    "Build",
    "Inspection",
    "Model",
    "MyoedgeError",
    "Quantized",
    "Simulated",
    "Swept",
    "Validation",
    "__version__",
    "adapt",
    "adapt_on_device",
    "advise",
    "bench",
    "bench_phases",
    "bench_waiting",
    "board_card",
    "boards",
    "build",
    "calibrate_energy",
    "check",
    "check_plugin",
    "check_regressions",
    "diff",
    "doctor",
    "energy",
    "evidence",
    "explain",
    "flash",
    "init",
    "inspect",
    "load",
    "load_build",
    "monitor",
    "ops",
    "peaks",
    "play",
    "quantize",
    "report",
    "run",
    "simulate",
    "simulate_elf",
    "sweep",
    "validate",
]


# names that myoedge.api does not define
_ELSEWHERE = {
    "Advice": "myoedge.extensions.sweeps.advise",
    "Model": "myoedge.building.loading",
    "MyoedgeError": "myoedge.errors",
    "Quantized": "myoedge.building.quantized",
    "Simulated": "myoedge.building.simulate",
    "Swept": "myoedge.extensions.sweeps.sweep",
    **dict.fromkeys(("adapt", "adapt_on_device"), "myoedge.extensions.adaptation.verbs"),
    "advise": "myoedge.extensions.sweeps.verbs",
    **dict.fromkeys(
        ("bench", "bench_phases", "bench_waiting", "board_card", "boards", "flash", "run"),
        "myoedge.extensions.boards.verbs",
    ),
    "check_regressions": "myoedge.extensions.sweeps.verbs",
    "evidence": "myoedge.extensions.evidence.verbs",
    **dict.fromkeys(("monitor", "play"), "myoedge.extensions.sensor.verbs"),
    "sweep": "myoedge.extensions.sweeps.verbs",
}


def __getattr__(name: str) -> Any:
    """Load a public name of the API on first use, so that `import myoedge` is fast."""
    if name == "GAP9Quantizer":
        return _quantizer()
    if name not in __all__:
        raise AttributeError(f"module 'myoedge' has no attribute {name!r}")
    return getattr(importlib.import_module(_ELSEWHERE.get(name, "myoedge.api")), name)


def __dir__() -> list[str]:
    """Return the public names, for completion and `help`."""
    return sorted(__all__)


def _quantizer() -> Any:
    """Import and return the class GAP9Quantizer. Errors: E501 torchao is missing."""
    try:
        return importlib.import_module("myoedge.frontend.torch.quantizer").GAP9Quantizer
    except ImportError as error:
        from myoedge.errors import MyoedgeError
        from myoedge.system.tools import install_command

        facts, tries = {"cause": error}, [install_command("qat")]
        raise MyoedgeError("E501", "GAP9Quantizer needs torchao", facts, tries) from error
