# SPDX-License-Identifier: Apache-2.0
"""The runtime of programs for the chip without an SDK: start-up, clocks, cluster, transfers."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from myoedge.codegen.library import library_files
from myoedge.codegen.render import render, template_dir
from myoedge.plan.plan import Plan
from myoedge.plan.plan_json import levels_bytes
from myoedge.targets import DEFAULT, DEFAULT_PROGRAM
from myoedge.targets.chip import OperatingPoint
from myoedge.targets.program import ProgramTarget

NOTHING: Mapping[str, Any] = {}


def program_files(plan: Plan, common: Mapping[str, Any]) -> dict[str, str]:
    """Return the files of start-up, drivers and linker script for the program of a plan's chip,
    and those by which other build systems know the library.

    common   values that the templates of all files share
    """
    program = plan.chip.program
    assert program is not None, "a chip with programs"
    values = {
        "copies": plan.copies,
        "layer_of_result": [layer for layer, _ in plan.results],
        "mram_hz": common["mram_hz"] if common["mram_bytes"] else 0,
    }
    levels = [name for name in program.drivers if plan.image(name)]
    fast = any(levels_bytes(plan).values())
    files = runtime(program, plan.chip.point, levels, values, fast_peripherals=fast)
    return files | {path: render(template, common) for path, template in program.packages.items()}


def runtime(
    program: ProgramTarget = DEFAULT_PROGRAM,
    point: OperatingPoint = DEFAULT.point,
    levels: Iterable[str] = (),
    values: Mapping[str, Any] = NOTHING,
    *,
    fast_peripherals: bool = True,
) -> dict[str, str]:
    """Return the files that every program for a chip needs, with the operating point's clock.

    levels   memory levels with a driver, from which constants are read
    values   further values of the templates
    fast_peripherals   whether the peripherals have the network's clock at a point with another one
                       for waiting
    """
    drivers = [program.drivers[name] for name in levels]
    flash_hz = program.flash.clock_hz if program.flash and drivers else 0
    known = _chip_values(program, point, fast_peripherals) | {"mram_hz": flash_hz} | dict(values)
    of_levels = chain.from_iterable((*x.driver, *x.reads) for x in drivers)
    library = library_files([*chain.from_iterable(x.library for x in drivers)])
    return library | firmware_files([*program.templates, *of_levels], known)


def _chip_values(
    program: ProgramTarget, point: OperatingPoint, fast_peripherals: bool
) -> dict[str, Any]:
    clocks, flash, rates = program.clocks, program.flash, (point.clock_hz, point.waiting_hz)
    return {
        "regions": {name: (at, program.regions[name]) for name, at in program.origins.items()},
        "clock": clocks and clocks.settings(*rates, fast_peripherals=fast_peripherals),
        "weights": flash and flash.areas().weights,
    }


def firmware_files(templates: Iterable[str], values: Mapping[str, Any] = NOTHING) -> dict[str, str]:
    """Return the files of firmware/ made from files of firmware_templates."""
    texts = {
        Path(x).name.removesuffix(".j2"): render(x, values)
        if x.endswith(".j2")
        else (template_dir() / x).read_text()
        for x in templates
    }
    return {f"firmware/{name}": text for name, text in sorted(texts.items())}


def mram_values(plan: Plan) -> dict[str, int]:
    """Return the values of templates for weights in the flash on the chip: size and CRC-32 of
    mram.bin, and the flash's highest clock."""
    image, clock = plan.image("mram"), plan.chip.level("mram").clock
    flash = plan.chip.program and plan.chip.program.flash
    clock_hz = clock.most_hz if clock else flash.clock_hz if flash else 0
    return {"mram_bytes": len(image), "mram_crc": zlib.crc32(image), "mram_hz": clock_hz}
