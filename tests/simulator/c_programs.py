# SPDX-License-Identifier: Apache-2.0
"""C programs of programs/ on the runtime, and the words that they note down."""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from myoedge.codegen.firmware import link
from myoedge.codegen.render import template_dir
from myoedge.codegen.runtime import runtime
from myoedge.simulator import RunOptions, Simulation, simulate
from myoedge.system.elf import Program, read_elf
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES

PROGRAMS = Path(__file__).parent / "programs"
NOTES = 64
MAX_CYCLES = 100_000_000


@functools.cache
def compiled(name: str, *defines: str) -> Program:
    includes = sorted((template_dir() / "include").iterdir())
    files = {path.name: path.read_text() for path in [*includes, PROGRAMS / "bare.h"]}
    source = (PROGRAMS / f"{name}.c").read_text()
    return read_elf(link({**files, **runtime(), f"{name}.c": source}, defines=defines).elf)


@dataclass(frozen=True)
class Noted:
    """Words that the program noted down, and its symbols."""

    notes: Sequence[int]
    symbols: Mapping[str, int]
    run: Simulation


def run_c(
    name: str,
    *defines: str,
    chip: Mapping[str, int] | None = None,
    profile: bool = False,
    **more: Any,
) -> Noted:
    """A run of programs/<name>.c; chip: what shall differ from GAP9."""
    program = compiled(name, *defines)
    options = RunOptions(dump=[(program.symbols["notes"], 4 * NOTES)], profile=profile)
    cycles = {**GAP9_CYCLES, **(chip or {})}
    run = simulate(program, cycles=cycles, options=options, max_cycles=MAX_CYCLES, **more)
    assert run.exit_code == 0
    return Noted(struct.unpack(f"<{NOTES}I", run.dumps[0]), program.symbols, run)
