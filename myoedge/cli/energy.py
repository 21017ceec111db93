# SPDX-License-Identifier: Apache-2.0
"""The commands `myoedge energy` and `myoedge energy calibrate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import click

from myoedge.cli import next_steps
from myoedge.cli.shell import Terminal, chosen_build, common, warn
from myoedge.errors import command, printable
from myoedge.system.hooks import hooks

if TYPE_CHECKING:
    from myoedge.building.energy_calibration import EnergyCalibration
    from myoedge.power.calibrate import Residual
    from myoedge.power.model import Coefficients


class DefaultShow(click.Group):
    """A click group with the default subcommand `show`: `energy DIR` is `energy show DIR`, and its
    help has the options of `show`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["show", *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        show = self.commands["show"]
        show.format_options(click.Context(show, parent=ctx, info_name="show"), formatter)
        self.format_commands(ctx, formatter)


@click.group("energy", cls=DefaultShow)
def energy() -> None:
    """Show the energy of an inference with its interval, or calibrate it to a board.

    `myoedge energy DIR` is short for `myoedge energy show DIR`.
    """


@energy.command("show")
@click.argument("folder", type=click.Path(), required=False)
@click.option("--operating-point", metavar="NAME", help="high, low, auto, or a clock as 300MHz.")
@click.option(
    "--latency",
    metavar="TIME",
    help='Latency limit, "20 ms"; picks the cheapest operating point that meets it.',
)
@click.option(
    "--every",
    metavar="TIME",
    help='Period of inferences, "50 ms": adds duty cycle and average power '
    "(default: of the sensor or stream).",
)
@click.option("--battery", metavar="MAH", help="Battery capacity, with a period: operating hours.")
@click.option("--volts", metavar="V", help="Battery voltage (default: 3.7).")
@click.option(
    "--others", metavar="POWER", help='Constant power of front end, radio and the rest: "8 mW".'
)
@click.option(
    "--sleep",
    metavar="POWER",
    help='Power of the sleeping chip, of an application while it waits: "0.05 mW" (not published).',
)
@click.option("--board", metavar="ID|TOML", help="Board whose [energy] sets --others and --sleep.")
@click.option("--reset", is_flag=True, help="Forget --every to --sleep of earlier runs.")
@common
def show(terminal: Terminal, folder: str | None, **options: Any) -> None:
    """Show the energy of an inference at every operating point, by part and by layer.

    FOLDER is a build; default: the newest below build/. Counters are from the last `simulate`,
    cycles from the last run; without any run, cycles are modelled and activity is typical.
    """
    from myoedge import api

    chosen_folder = chosen_build(terminal, folder)
    report = api.energy(chosen_folder, **options)
    energies = ("energy_uj", "energy_low_uj", "energy_high_uj")
    keys = ("name", "label", "op", "cycles", "cycles_modelled", *energies)
    result = {key: report[key] for key in ("target", "cycles", "latency_s", "energy_uj")}
    result["layers"] = [{key: row[key] for key in keys} for row in report["layers"]]
    result |= {"duty": report["duty"], "every": report.get("every")}
    if not terminal.json_printed("energy/1", result):
        _show_energy(terminal, chosen_folder, report, options)
    warn(report.unwritten)
    terminal.next(next_steps.after_energy(chosen_folder, options["every"], report))


def _show_energy(
    terminal: Terminal, folder: Path, report: Mapping[str, Any], options: Mapping[str, Any]
) -> None:
    from myoedge.reports import duty_lines
    from myoedge.reports import energy as joules
    from myoedge.reports.tables import facts
    from myoedge.reports.tables import show as print_block

    points = joules.by_point(report)
    chosen = report["target"]["operating_point"]
    within = f" within {options['latency']}" if options["latency"] else ""
    is_chosen = within or options["operating_point"] == "auto"
    projects = [
        hook.at_point.format(chosen.replace(" ", ""))
        for hook in hooks("projects")
        if is_chosen and hook.at_point and (folder / hook.name).is_dir()
    ]
    rows = [
        *([("cheapest", f"{chosen}{within}: the point of the reports now")] if is_chosen else []),
        *(("application", how_to_compile) for how_to_compile in projects),
        *((f"at {point}", f"{energy}, {time}, {mw}") for energy, time, mw, point in points),
        ("parts", joules.parts(report)),
        ("layers", "\n".join(joules.costliest(report))),
        *_stored_options(folder, report, options),
        *duty_lines.duty_rows(report),
        ("counted", duty_lines.counted_powers(report)),
        ("from", joules.source(report)),
    ]
    print_block(facts(rows), terminal.out)


REMEMBERED = (  # option, key of the report, unit
    ("every", "period_s", "s"),
    ("battery", "battery_mah", "mAh"),
    ("volts", "battery_volts", "V"),
    ("others", "others_mw", "mW"),
    ("sleep", "sleep_mw", "mW"),
)


def _stored_options(
    folder: Path, report: Mapping[str, Any], options: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of options from an earlier run that the report stores and this run
    used."""
    from myoedge.reports.wording import in_full

    every = report.get("every") or {}
    by_board = ("others", "sleep") if options["board"] else ()
    words = [
        f"--{option} {in_full(every[key])}{unit}"
        for option, key, unit in REMEMBERED
        if every.get(key) is not None and not options[option] and option not in by_board
    ]
    if words:
        forget = command("energy", folder, "--reset")
        yield "options", f"as in the last run: {' '.join(words)}\n{forget}   # forgets them"


@energy.command("calibrate")
@click.argument("measurements", type=click.Path())
@common
def calibrate(terminal: Terminal, measurements: str) -> None:
    """Fit the coefficients to measurements of your own board.

    The result is stored on this computer, for all later energies.

    MEASUREMENTS is a file of `bench --card`, a folder of them, or a CSV file with the columns build
    (a folder relative to the file, simulated before, or "idle"), operating_point, energy_uj of an
    inference or power_mw, sigma_percent (the meter's error, default 2), and phase: pass (default)
    or between, of an application by `bench --phases`.
    """
    from myoedge import api

    calibration = api.calibrate_energy(measurements)
    if not terminal.json_printed("energy-calibration/1", _calibration_json(calibration)):
        _show_calibration(terminal, calibration)
    renews = "renews the reports of the newest build; of another: with its folder"
    terminal.next(f"{command('energy')}   # {renews}")


def _calibration_json(calibration: EnergyCalibration) -> dict[str, Any]:
    rows = [
        {
            "build": r.measured.name,
            "operating_point": r.measured.point.name,
            # an idle chip has only a power
            **{
                f"{name}_uj": None if r.measured.idles else j * 1e6
                for name, j in _joules(r).items()
            },
            **{f"{name}_mw": j / r.measured.seconds * 1e3 for name, j in _joules(r).items()},
            "residual": r.relative,
            "is_outside": r.is_outside,
        }
        for r in calibration.residuals
    ]
    return {
        "coefficients": asdict(calibration.coefficients),
        "before": asdict(calibration.before),
        "residuals": rows,
        "path": str(calibration.path),
    }


def _joules(row: Residual) -> dict[str, float]:
    return {"measured": row.measured.joules, "before": row.before_j, "after": row.after_j}


def _show_calibration(terminal: Terminal, calibration: EnergyCalibration) -> None:
    from myoedge.reports.energy import amount
    from myoedge.reports.tables import columns
    from myoedge.reports.tables import show as printed
    from myoedge.reports.wording import three_digits

    titles = ("build", "point", "measured", "before", "after", "residual")
    table = columns(titles, left=("build", "point"))
    for r in calibration.residuals:
        energies, idles = _joules(r).values(), r.measured.idles
        powers = (f"{three_digits(joules / r.measured.seconds * 1e3)} mW" for joules in energies)
        texts = powers if idles else map(amount, energies)
        name = printable(r.measured.name)
        table.add_row(name, r.measured.point.name, *texts, f"{r.relative:+.1%}")
    printed(table, terminal.out)
    terminal.text(_widths(calibration.residuals, calibration.before, calibration.coefficients))
    for r in calibration.residuals:
        if r.is_outside:
            row = f"{printable(r.measured.name)} at {r.measured.point.name}"
            off = f"the model is {r.relative:+.0%} off"
            if r.shown_relative is not None:
                off += f", the report's energy of an inference {r.shown_relative:+.0%}"
            cause = f"{off}, which widens the intervals to contain it"
            terminal.text(f"outside: {row}: {cause}; check this row", soft_wrap=True)
    terminal.progress(f"stored in {calibration.path}")


def _widths(rows: Sequence[Residual], before: Coefficients, after: Coefficients) -> str:
    """Format the mean half-width of the energy intervals of measured inferences, and of a measured
    chip that waits, before and after a calibration of the coefficients."""
    from myoedge.power.model import SIGMAS, energy_of

    kinds = {"an inference": (False, after), "a chip that waits": (True, after.waiting or after)}
    lines = []
    for name, (idles, now) in kinds.items():
        of_kind = [row.measured for row in rows if row.measured.idles == idles]
        if not of_kind:
            continue
        found = ([energy_of(row.spans, by) for row in of_kind] for by in (before, now))
        ends = [fmean(SIGMAS * e.sigma_j / e.joules for e in energies) for energies in found]
        lines.append("interval of {}: +-{:.0%} before, +-{:.0%} now".format(name, *ends))
    return "\n".join(lines)
