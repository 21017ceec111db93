# SPDX-License-Identifier: Apache-2.0
"""Runs of any program on the simulated chip, and records of a run: profile, window."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.shell import Terminal, echo

if TYPE_CHECKING:
    from myoedge.simulator import Simulation


UNITS = {"b": 1, "kib": 1 << 10, "mib": 1 << 20, "": 1}
MAX_EXIT_CODE = 255  # limit of a shell


def run_elf(terminal: Terminal, elf: str, dump: tuple[str, str] | None, **options: Any) -> None:
    from myoedge import api
    from myoedge.simulator import Faulted
    from myoedge.system.folder import write_file

    try:
        run = api.simulate_elf(
            elf,
            folder=Path.cwd(),
            dump=[_parse_range(dump[0])] if dump else [],
            max_cycles=options["max_cycles"],
            bank_conflicts=options["bank_conflicts"] == "on",
            like=options["like"],
            fc_hart=options["fc_hart"],
            profile=options["profile"],
            window=window_of(options["window"]),
            progress=lambda _, text: None if terminal.as_json else echo(text, nl=False),
        )
    except Faulted as fault:
        show_recorded(terminal, fault.run, elf)
        raise
    if dump:
        write_file(Path(dump[1]), run.dumps[0])
    total = sum(c.instructions for c in run.counts)
    summary = f"{run.cycles:,} cycles, {total:,} instructions, {_exit_code(run, elf)}"
    if not terminal.json_printed("program-run/1", _elf_json(run)):
        terminal.progress(summary)
    show_recorded(terminal, run, elf)
    sys.exit(min(run.exit_code, MAX_EXIT_CODE))


def _exit_code(run: Simulation, elf: str) -> str:
    """Return the exit code as text, with its meaning if the program uses the firmware's runtime."""
    from myoedge.backends.measurement import MEANINGS, RUNTIME_SYMBOL
    from myoedge.system.elf import read_program

    text = f"exit code {run.exit_code}"
    if run.exit_code not in MEANINGS or RUNTIME_SYMBOL not in read_program(Path(elf)).symbols:
        return text
    return f"{text}: {MEANINGS[run.exit_code]}"


def _parse_range(text: str) -> tuple[int, int]:
    """Parse "0x1C170000:64KiB" to address and size in bytes."""
    address, _, size = text.partition(":")
    digits = size.rstrip("kKiImMbB")
    try:
        return int(address, 0), int(digits, 0) * UNITS[size[len(digits) :].lower()]
    except (ValueError, KeyError):
        raise click.BadParameter(f"{text}: needs ADDRESS:SIZE, as 0x1C170000:64KiB") from None


def window_of(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        first, last = (int(part, 0) for part in text.split(":"))
    except ValueError:
        raise click.BadParameter(f"{text}: needs FROM:TO, two numbers of cycles") from None
    if not 0 <= first < last:
        raise click.BadParameter(f"{text}: no cycle is from {first} on and before {last}")
    return first, last


def _elf_json(run: Simulation) -> dict[str, Any]:
    counters = ("instructions", "macs", "loads", "stores", "active_cycles")
    cores = [
        {"core": i, **{name: getattr(c, name) for name in counters}, "stalls": dict(c.stalls)}
        for i, c in enumerate(run.counts)
        if c.instructions
    ]
    return {
        "exit_code": run.exit_code,
        "cycles": run.cycles,
        "output": run.output,
        "cores": cores,
        "devices": dict(run.devices),
        "l1_bytes": run.l1_bytes,
        "l2_bytes": run.l2_bytes,
    }


def show_recorded(terminal: Terminal, run: Simulation, elf: str) -> None:
    """Show profile and window, also of a failed run; with --json on stderr."""
    if not (run.profile or run.steps):
        return
    from myoedge.simulator.result import hot_functions, hot_lines, steps_text
    from myoedge.system.elf import read_program

    program = read_program(Path(elf))
    for text in (hot_functions(run, program), hot_lines(run, program), steps_text(run, program)):
        terminal.out.print(text, soft_wrap=True, end="")
