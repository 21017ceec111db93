# SPDX-License-Identifier: Apache-2.0
"""The command `myoedge simulate`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from myoedge.cli.programs import run_elf, show_recorded, window_of
from myoedge.cli.progress import stage_progress
from myoedge.cli.shell import (
    DIFFERENT,
    Terminal,
    Verb,
    as_dict,
    chosen_build,
    common,
    echo,
    warn,
    with_options,
)
from myoedge.errors import command
from myoedge.system.hooks import hooks, load
from myoedge.targets import DEFAULT

if TYPE_CHECKING:
    from myoedge.building.simulate import Simulated
    from myoedge.extension import ApplicationHook

BUILD, PLAYBACK, PROGRAM = "build", "playback", "program"  # kinds of runs
FIRST_CORES = f"{DEFAULT.simulator_cycles['fc_hart']} ({DEFAULT.name.upper()}), 0x3e0 (pulp-open)"
FLAGS = {PROGRAM: "--elf", PLAYBACK: "--play"}  # options that select a kind


@dataclass(frozen=True)
class RunOption:
    """An option of `simulate`, and the kinds of runs that accept it."""

    flag: str
    kinds: tuple[str, ...]
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.flag.strip("-").replace("-", "_")

    def add(self, verb: Verb) -> Verb:
        return click.option(self.flag, **self.settings)(verb)


def _option(flag: str, *kinds: str, **settings: Any) -> RunOption:
    return RunOption(flag, kinds, settings)


def _core_number(text: str | None) -> int | None:
    try:
        number = None if text is None else int(text, 0)
    except ValueError:
        raise click.BadParameter(f"{text}: needs a number, as 9 or 0x3e0") from None
    if number is not None and not 0 <= number < 1 << 32:
        raise click.BadParameter(f"{text}: needs 0 .. 0xffffffff")
    return number


OPTIONS = (
    _option(
        "--on", BUILD, default="simulator", metavar="WHERE",
        help="simulator (default), gvsoc, or gvsoc-sdk.",
    ),
    _option(
        "--input", BUILD, metavar="FILE",
        help="Samples, in the formats of --calib: one inference each.",
    ),
    _option(
        "--operating-point", BUILD, metavar="NAME", help="high (0.80 V), low, auto, or 300MHz."
    ),
    _option(
        "--like", BUILD, PROGRAM, default="silicon", metavar="CHIP",
        help="Cost model: silicon (default), public-gvsoc.",
    ),
    _option(
        "--fc-hart", BUILD, PROGRAM, metavar="N",
        callback=lambda context, parameter, text: _core_number(text),
        help=f"Number of the first core, which selects drivers: {FIRST_CORES}.",
    ),
    _option(
        "--trace", BUILD, is_flag=True, help="Also write trace.json, for ui.perfetto.dev."
    ),
    _option(
        "--play", PLAYBACK, type=click.Path(), metavar="FILE",
        help="Play a recording through the sensor application (--app sensor).",
    ),
    _option(
        "--seconds", PLAYBACK, type=click.FloatRange(min=0, min_open=True),
        help="With --play: play only this many seconds.",
    ),
    _option(
        "--save", PLAYBACK, type=click.Path(), metavar="FILE",
        help="With --play: save the bytes of the serial line, for monitor FILE.",
    ),
    _option(
        "--battery", PLAYBACK, metavar="MAH",
        help="With --play: battery capacity, for operating hours.",
    ),
    _option(
        "--volts", PLAYBACK, metavar="V", help="With --play: battery voltage (default: 3.7)."
    ),
    _option(
        "--others", PLAYBACK, metavar="POWER",
        help='With --play: constant power of front end, radio and the rest, "8 mW".',
    ),
    _option("--elf", PROGRAM, type=click.Path(), metavar="FILE", help="Run a bare-metal program."),
    _option(
        "--dump", PROGRAM, nargs=2, metavar="ADDRESS:SIZE FILE",
        help="With --elf: save memory at the end.",
    ),
    _option(
        "--max-cycles", PROGRAM, type=click.IntRange(1), metavar="N",
        help="With --elf: stop after N cycles (default: 2,000,000,000).",
    ),
    _option(
        "--bank-conflicts", PROGRAM, type=click.Choice(["on", "off"]), default="on",
        help="With --elf: off ignores conflicts of L1 banks.",
    ),
    _option(
        "--profile", BUILD, PROGRAM, is_flag=True,
        help="Report cycles by function and source line.",
    ),
    _option(
        "--window", BUILD, PROGRAM, metavar="FROM:TO",
        help="Print every instruction between two cycles.",
    ),
)  # fmt: skip
KINDS = {"folder": (BUILD, PLAYBACK), **{option.name: option.kinds for option in OPTIONS}}


@click.command("simulate")
@click.argument("folder", type=click.Path(), required=False)
@with_options(*(option.add for option in OPTIONS))
@common
def simulate(terminal: Terminal, folder: str | None, **options: Any) -> None:
    """Run the firmware of a build on the simulated chip; show cycles, layer by layer.

    FOLDER is a build; default: the newest below build/. With --elf, run any program for this chip's
    register map: its output is printed, its exit code returned, and it may open files by plain name
    in the current folder.
    """
    kinds = (kind for kind, flag in FLAGS.items() if options[flag.strip("-")] is not None)
    kind = next(kinds, BUILD)
    _refuse_ignored_options(kind)
    if kind == PROGRAM:
        run_elf(terminal, **options)
    elif kind == PLAYBACK:
        build = chosen_build(terminal, folder)
        own = {name: options[name] for name, kinds in KINDS.items() if kinds == (PLAYBACK,)}
        load(_find_player(build), "play")(terminal, build, **own)
    else:
        _run_build(terminal, chosen_build(terminal, folder), options)


def _find_player(build: Path) -> ApplicationHook:
    """Return a build's application if it plays recordings; otherwise one that does, which then
    refuses the build."""
    from myoedge import api

    app = api.load_build(build).manifest.get("made_with", {}).get("application", "")
    players = [hook for hook in hooks("applications") if hook.play]
    player: ApplicationHook = min(players, key=lambda hook: hook.name != app)
    return player


def _run_build(terminal: Terminal, build: Path, options: Mapping[str, Any]) -> None:
    from myoedge import api
    from myoedge.building.simulate import TRACE
    from myoedge.simulator import Faulted

    chosen = ("on", "input", "operating_point", "like", "fc_hart", "trace", "profile")
    arguments = {name: options[name] for name in chosen} | {"window": window_of(options["window"])}
    try:
        with stage_progress(terminal, "simulate"):
            simulated = api.simulate(build, **arguments)
    except Faulted as fault:
        show_recorded(terminal, fault.run, str(build / "firmware.elf"))
        raise
    if not terminal.json_printed("simulation/1", as_json(simulated)):
        show(terminal, simulated)
    if simulated.run is not None:
        show_recorded(terminal, simulated.run, str(build / "firmware.elf"))
    warn(simulated.unwritten)
    if options["trace"] and simulated.unwritten is None:
        terminal.progress(f"trace: {build / TRACE}, for ui.perfetto.dev")
    _exit_unless_fine(simulated)
    is_traced = options["trace"] or simulated.unwritten
    traced = () if is_traced else (command("simulate", build, "--trace"),)
    terminal.next(command("energy", build), *traced)


def _refuse_ignored_options(kind: str) -> None:
    """Raise a usage error for options of another kind of run, which would be ignored."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = str(parameter.name)
        kinds = KINDS.get(name, (kind,))
        if kind in kinds or context.get_parameter_source(name) is ParameterSource.DEFAULT:
            continue
        decides = PROGRAM if PROGRAM in (kind, *kinds[:1]) else PLAYBACK
        rule = "cannot be combined with" if kind == decides else "needs"
        option = parameter.get_error_hint(context)
        instead = "; --play FILE has the samples" if (name, kind) == ("input", PLAYBACK) else ""
        raise click.UsageError(f"{option} {rule} {FLAGS[decides]}{instead}.")


def _exit_unless_fine(simulated: Simulated) -> None:
    """Exit with an error code if outputs differ or a budget is exceeded."""
    if simulated.over is not None:
        echo(str(simulated.over), err=True)
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
