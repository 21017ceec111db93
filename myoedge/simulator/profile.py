# SPDX-License-Identifier: Apache-2.0
"""Tables of cycles by function, by source line, and by instruction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from myoedge.simulator.result import Simulation
from myoedge.system.elf import Program

MAX_ROWS = 20


def hot_functions(run: Simulation, program: Program) -> str:
    """Return a table of the cycles of all cores by function, descending; "" without a profile."""
    return _table(run, "function", lambda pc: program.function_at(pc) or f"0x{pc:08x}")


def hot_lines(run: Simulation, program: Program) -> str:
    """Return a table of the cycles of all cores by source line, descending; "" without a
    profile."""
    return _table(run, "line", lambda pc: program.line_at(pc) or "?")


def _table(run: Simulation, title: str, name: Callable[[int], str]) -> str:
    if not run.profile:
        return ""
    cycles: Counter[str] = Counter()
    for pc, n in run.profile.items():
        cycles[name(pc)] += n
    total = sum(cycles.values())
    rows = [f"{n:>14,} {100 * n / total:5.1f} %  {key}" for key, n in cycles.most_common(MAX_ROWS)]
    return "\n".join([f"{'cycles':>14} {'share':>7}  {title}", *rows, ""])


def steps_text(run: Simulation, program: Program) -> str:
    """Return one line per executed instruction: cycle, core, pc, register written, source line."""
    rows = []
    for s in run.steps:
        written = "" if s.register is None else f"x{s.register}={s.value:08x}"
        rows.append(f"{s.cycle:>12} core {s.core} {s.pc:08x} {written:<13} {program.line_at(s.pc)}")
    omitted = [f"{run.steps_lost:,} more are not shown"] if run.steps_lost else []
    return "\n".join([*rows, *omitted, ""]) if rows else ""
