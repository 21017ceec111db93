# SPDX-License-Identifier: Apache-2.0
"""The command `myoedge simulate`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from myoedge.cli.progress import stage_progress
from myoedge.cli.shell import DIFFERENT, Terminal, as_dict, chosen_build, common, warn
from myoedge.errors import command

if TYPE_CHECKING:
    from myoedge.building.simulate import Simulated
    from myoedge.simulator import Simulation

UNITS = {"b": 1, "kib": 1 << 10, "mib": 1 << 20, "": 1}
MAX_EXIT_CODE = 255  # what a shell can see of an exit code
OF_A_BUILD = ("folder", "on", "input", "operating_point", "trace", "play", "seconds")
OF_A_PLAYBACK = ("folder", "play", "seconds")
OF_A_PROGRAM = ("dump", "max_cycles", "bank_conflicts")


@click.command("simulate")
@click.argument("folder", type=click.Path(), required=False)
@click.option("--on", default="simulator", metavar="WHERE", help="simulator, gvsoc, gvsoc-sdk.")
@click.option(
    "--input", metavar="FILE", help="Samples, in the formats of --calib: one inference each."
)
@click.option("--operating-point", metavar="NAME", help="high (0.80 V), low, auto, or 300MHz.")
@click.option(
    "--like", default="silicon", metavar="CHIP", help="Cost model: silicon (default), public-gvsoc."
)
@click.option(
    "--fc-hart",
    metavar="N",
    callback=lambda context, parameter, text: _core_number(text),
    help="Number of the first core, which selects drivers: 9 (GAP9), 0x3e0 (pulp-open).",
)
@click.option("--trace", is_flag=True, help="Also write trace.json, for ui.perfetto.dev.")
@click.option(
    "--play",
    type=click.Path(),
    metavar="FILE",
    help="Play a recording through the sensor application (--app sensor).",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="With --play: only so much of it.",
)
@click.option(
    "--elf",
    type=click.Path(),
    metavar="FILE",
    help="Run a bare-metal program.",
)
@click.option(
    "--dump",
    nargs=2,
    metavar="ADDRESS:SIZE FILE",
    help="With --elf: save memory at the end.",
)
@click.option(
    "--max-cycles",
    type=click.IntRange(1),
    metavar="N",
    help="With --elf: stop after N cycles (default: 2,000,000,000).",
)
@click.option(
    "--bank-conflicts",
    type=click.Choice(["on", "off"]),
    default="on",
    help="With --elf: off ignores conflicts of L1 banks.",
)
@click.option("--profile", is_flag=True, help="Report cycles by function and source line.")
@click.option("--window", metavar="FROM:TO", help="Print every instruction between two cycles.")
@common
def simulate(terminal: Terminal, folder: str | None, elf: str | None, **options: Any) -> None:
    """Run the firmware of a build on the simulated chip; show cycles, layer by layer.

    FOLDER is a build; default: the newest below build/. With --elf: any program for
    this chip's register map; its output is passed through, its exit code kept, and it may open
    files by plain name in the current folder.
    """
    _refuse_ignored_options(elf is not None, options["play"] is not None)
    if elf is not None:
        _run_elf(terminal, elf, **options)
        return
    if options["play"] is not None:
        _play(terminal, chosen_build(terminal, folder), options["play"], options["seconds"])
        return
    from myoedge import api
    from myoedge.building.simulate import TRACE
    from myoedge.simulator import Faulted

    build_options = ("on", "input", "operating_point", "like", "fc_hart", "trace", "profile")
    chosen = {name: options[name] for name in build_options}
    window, build = _window(options["window"]), chosen_build(terminal, folder)
    try:
        with stage_progress(terminal, "simulate"):
            simulated = api.simulate(build, **chosen, window=window)
    except Faulted as fault:
        _show_recorded(terminal, fault.run, str(build / "firmware.elf"))
        raise
    if not terminal.json_printed("simulation/1", as_json(simulated)):
        show(terminal, simulated)
    if simulated.run is not None:
        _show_recorded(terminal, simulated.run, str(build / "firmware.elf"))
    warn(simulated.unwritten)
    if options["trace"] and simulated.unwritten is None:
        terminal.progress(f"trace: {build / TRACE}, for ui.perfetto.dev")
    _exit_unless_fine(simulated)
    is_traced = options["trace"] or simulated.unwritten
    traced = () if is_traced else (command("simulate", build, "--trace"),)
    terminal.next(command("energy", build), *traced)


def _play(terminal: Terminal, build: Path, recording: str, seconds: float | None) -> None:
    """Play a recording; exit with an error code if decisions differ or samples are lost."""
    from myoedge import api

    with stage_progress(terminal, "play"):
        played = api.play(build, recording, seconds=seconds)
    if not terminal.json_printed("playback/1", played.to_json()):
        for line in played.lines():
            terminal.out.print(line, markup=False, highlight=False, soft_wrap=True)
    if played.over is not None:
        click.echo(str(played.over), err=True)
    if not played.exact or played.samples_lost:
        sys.exit(DIFFERENT)
    if played.over is not None:
        sys.exit(played.over.exit_code)


def _refuse_ignored_options(has_elf: bool, has_recording: bool) -> None:
    """Refuse options of another kind of run, which would be ignored silently."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = str(parameter.name)
        if context.get_parameter_source(name) is ParameterSource.DEFAULT:
            continue
        option = parameter.get_error_hint(context)
        if name in (OF_A_BUILD if has_elf else OF_A_PROGRAM):
            raise click.UsageError(f"{option} goes {'without' if has_elf else 'with'} --elf.")
        if has_recording and name in {*OF_A_BUILD, "like", "fc_hart", "profile", "window"} - {
            *OF_A_PLAYBACK
        }:
            raise click.UsageError(f"{option} goes without --play.")
        if name == "seconds" and not has_recording:
            raise click.UsageError(f"{option} goes with --play.")


def _exit_unless_fine(simulated: Simulated) -> None:
    """Exit with an error code if outputs differ or a budget is exceeded."""
    if simulated.over is not None:
        click.echo(str(simulated.over), err=True)
    if not simulated.exact:
        sys.exit(DIFFERENT)
    if simulated.over is not None:
        sys.exit(simulated.over.exit_code)


def as_json(simulated: Simulated) -> dict[str, Any]:
    """Return the result of a run as JSON values."""
    report = simulated.report
    outputs = [[y.tolist() for y in run.outputs] for run in simulated.measurement.inferences]
    keys = ("name", "label", "op", "macs", "cycles", "macs_per_cycle", "stalls")
    return {
        "exact": simulated.exact,
        "cycles": report["cycles"],
        "latency_s": report["latency_s"],
        "target": report["target"],
        "memory": report["memory"],
        "layers": [{key: row.get(key) for key in keys} for row in report["layers"]],
        "outputs": outputs,
        "output_names": _output_names(report),
        "evaluation": simulated.evaluation,
        "over_budget": None if simulated.over is None else as_dict(simulated.over),
    }


def show(terminal: Terminal, simulated: Simulated) -> None:
    """Print the result of a run."""
    from myoedge.reports.cycles import cycles_table
    from myoedge.reports.evaluation_lines import card_facts

    terminal.out.print(cycles_table(simulated.report))
    count = len(simulated.measurement.inferences)
    units = ("pass", "passes") if "stream" in simulated.report else ("inference", "inferences")
    text = "equal to the reference" if simulated.exact else "NOT equal to the reference"
    names = _output_names(simulated.report)
    which = f"outputs {', '.join(names)}" if len(names) > 1 else "outputs"
    terminal.text(f"{count} {units[count != 1]}: {which} {text}")
    for title, lines in card_facts(simulated.evaluation):
        terminal.text(f"{title}: {lines}".replace("\n", "\n  "), soft_wrap=True)


def _output_names(report: Mapping[str, Any]) -> list[str]:
    return [port["name"] for port in report.get("outputs", ())]


# --- any program ----------------------------------------------------------------------------------


def _run_elf(terminal: Terminal, elf: str, dump: tuple[str, str] | None, **options: Any) -> None:
    from myoedge import api
    from myoedge.simulator import Faulted
    from myoedge.system.folder import write_file

    try:
        run = api.simulate_elf(
            elf,
            folder=Path.cwd(),
            dump=[_range(dump[0])] if dump else [],
            max_cycles=options["max_cycles"],
            bank_conflicts=options["bank_conflicts"] == "on",
            like=options["like"],
            fc_hart=options["fc_hart"],
            profile=options["profile"],
            window=_window(options["window"]),
            progress=lambda _, text: None if terminal.as_json else click.echo(text, nl=False),
        )
    except Faulted as fault:
        _show_recorded(terminal, fault.run, elf)
        raise
    if dump:
        write_file(Path(dump[1]), run.dumps[0])
    total = sum(c.instructions for c in run.counts)
    summary = f"{run.cycles:,} cycles, {total:,} instructions, {_exit_code(run, elf)}"
    if not terminal.json_printed("program-run/1", _elf_json(run)):
        terminal.progress(summary)
    _show_recorded(terminal, run, elf)
    sys.exit(min(run.exit_code, MAX_EXIT_CODE))


def _exit_code(run: Simulation, elf: str) -> str:
    """Return the exit code, with its meaning if the program uses the firmware's runtime."""
    from myoedge.backends.exit_codes import MEANINGS, RUNTIME_SYMBOL
    from myoedge.system.elf import read_program

    text = f"exit code {run.exit_code}"
    if run.exit_code not in MEANINGS or RUNTIME_SYMBOL not in read_program(Path(elf)).symbols:
        return text
    return f"{text}: {MEANINGS[run.exit_code]}"


def _range(text: str) -> tuple[int, int]:
    """Parse "0x1C170000:64KiB" to address and size in bytes."""
    address, _, size = text.partition(":")
    digits = size.rstrip("kKiImMbB")
    try:
        return int(address, 0), int(digits, 0) * UNITS[size[len(digits) :].lower()]
    except (ValueError, KeyError):
        raise click.BadParameter(f"{text}: needs ADDRESS:SIZE, as 0x1C170000:64KiB") from None


def _core_number(text: str | None) -> int | None:
    try:
        number = None if text is None else int(text, 0)
    except ValueError:
        raise click.BadParameter(f"{text}: needs a number, as 9 or 0x3e0") from None
    if number is not None and not 0 <= number < 1 << 32:
        raise click.BadParameter(f"{text}: needs 0 .. 0xffffffff")
    return number


def _window(text: str | None) -> tuple[int, int] | None:
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


def _show_recorded(terminal: Terminal, run: Simulation, elf: str) -> None:
    """Show profile and window, also of a failed run; with --json on stderr."""
    if not (run.profile or run.steps):
        return
    from myoedge.simulator.profile import hot_functions, hot_lines, steps_text
    from myoedge.system.elf import read_program

    program = read_program(Path(elf))
    for text in (hot_functions(run, program), hot_lines(run, program), steps_text(run, program)):
        terminal.out.print(text, markup=False, soft_wrap=True, end="")
