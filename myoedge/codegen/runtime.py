# SPDX-License-Identifier: Apache-2.0
"""The runtime of programs for the chip without an SDK: start-up, clocks, cluster, transfers."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from myoedge.codegen.library import library_files
from myoedge.codegen.render import render, template_dir
from myoedge.plan.plan import Plan
from myoedge.plan.plan_json import levels_bytes
from myoedge.targets.chip import OperatingPoint
from myoedge.targets.gap9.chip import GAP9
from myoedge.targets.gap9.clock import chip_clock
from myoedge.targets.gap9.mram_map import CLOCK_HZ as MRAM_HZ
from myoedge.targets.gap9.mram_map import MAP

MRAM_READS = ("mram.c", "mram.h")
MRAM_DRIVER = ("me_mram.c", "me_mram.h")


def program_files(plan: Plan, common: Mapping[str, Any]) -> dict[str, str]:
    """Return the files of start-up, drivers and linker script for the program of a plan's chip,
    and those by which other build systems know the library.

    common   values that the templates of all files share
    """
    target = plan.chip.program
    if target is None or not target.templates:
        fast = any(levels_bytes(plan).values())
        return runtime(plan.chip.point, common["mram_bytes"] > 0, common["mram_hz"], fast)
    values = {
        "regions": {name: (at, target.regions[name]) for name, at in target.origins.items()},
        "copies": plan.copies,
        "layer_of_result": [layer for layer, _ in plan.results],
    }
    own = {
        f"firmware/{Path(x).name.removesuffix('.j2')}": _text(x, values) for x in target.templates
    }
    return own | {path: render(template, common) for path, template in target.packages.items()}


def _text(template: str, values: Mapping[str, Any]) -> str:
    is_rendered = template.endswith(".j2")
    return render(template, values) if is_rendered else (template_dir() / template).read_text()


def runtime(
    point: OperatingPoint = GAP9.point,
    mram: bool = False,
    mram_hz: int = MRAM_HZ,
    fast_peripherals: bool = True,
) -> dict[str, str]:
    """Return the files that every program for the chip needs, with the operating point's clock.

    mram      whether weights are read from the flash on the chip
    mram_hz   highest clock of this flash
    fast_peripherals   whether the peripherals have the network's clock at a point with another one
              for waiting
    """
    paths = sorted((template_dir() / "runtime").iterdir())
    files = {path.name: path.read_text() for path in paths if path.suffix != ".j2"}
    clock = chip_clock(point.clock_hz, point.waiting_hz, fast_peripherals=fast_peripherals)
    values = {"clock": clock, "mram_hz": mram_hz if mram else 0}
    files["clock.h"] = render("runtime/clock.h.j2", values)
    library: dict[str, str] = {}
    if mram:
        files |= mram_driver() | {
            "mram_map.h": render("runtime/mram_map.h.j2", {"weights": MAP.weights})
        }
        library = library_files(("me_weights",))
    else:
        files = {name: text for name, text in files.items() if name not in MRAM_READS}
    return library | {f"firmware/{name}": text for name, text in sorted(files.items())}


def mram_driver() -> dict[str, str]:
    """Return name -> text of the driver of the flash on the chip."""
    return {name: (template_dir() / "storage" / name).read_text() for name in MRAM_DRIVER}


def mram_values(plan: Plan) -> dict[str, int]:
    """Return the values of templates for weights in the flash on the chip: size and CRC-32 of
    mram.bin, and the flash's highest clock."""
    image, clock = plan.image("mram"), plan.chip.level("mram").clock
    clock_hz = MRAM_HZ if clock is None else clock.most_hz
    return {"mram_bytes": len(image), "mram_crc": zlib.crc32(image), "mram_hz": clock_hz}
