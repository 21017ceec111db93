# SPDX-License-Identifier: Apache-2.0
"""`myoedge energy`, `myoedge energy calibrate`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.shell import Voice, common

if TYPE_CHECKING:
    from myoedge.building.consumption import Calibration
    from myoedge.power.calibrate import Residual


class ShowUnlessNamed(click.Group):
    """`energy DIR` shows; only what is a subcommand's name is one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group("energy", cls=ShowUnlessNamed)
def command() -> None:
    """Say what an inference costs in joules, with its interval, or calibrate that to a board.

    `myoedge energy DIR` is short for `myoedge energy show DIR`.
    """


@command.command("show")
@click.argument("folder", type=click.Path(), required=False)
@click.option("--operating-point", metavar="NAME", help="high, low, or a clock as 300MHz.")
@click.option("--every", metavar="TIME", help='A window every "50 ms": duty cycle, average power.')
@click.option("--battery", type=float, metavar="MAH", help="Then also: hours on so many mAh.")
@click.option("--volts", type=float, metavar="V", help="Of the battery (3.7).")
@common
def show(voice: Voice, folder: str | None, **options: Any) -> None:
    """Energy of an inference at every operating point, by part and by layer.

    FOLDER is what build wrote; the newest one below build/ without it. Counters are those of the
    last `simulate`; before it, modelled cycles and typical activity.
    """
    from myoedge import api
    from myoedge.cli.newest import named_or_newest

    found = api.energy(
        named_or_newest(voice, folder),
        operating_point=options["operating_point"],
        every=options["every"],
        battery_mah=options["battery"],
        battery_volts=options["volts"],
    )
    voice.result(_as_json(found), lambda: _show(voice, found))


def _as_json(report: dict[str, Any]) -> dict[str, Any]:
    energies = ("energy_uj", "energy_low_uj", "energy_high_uj")
    keys = ("name", "label", "op", "cycles", "cycles_modelled", *energies)
    return {
        "target": report["target"],
        "cycles": report["cycles"],
        "latency_s": report["latency_s"],
        "energy_uj": report["energy_uj"],
        "layers": [{key: row[key] for key in keys} for row in report["layers"]],
        "duty": report["duty"],
    }


def _show(voice: Voice, report: dict[str, Any]) -> None:
    from myoedge.reports import energy
    from myoedge.reports.text import facts
    from myoedge.reports.text import show as printed

    rows = [
        *((f"at {point}", f"{j}, {time}, {mw}") for j, time, mw, point in energy.by_point(report)),
        ("parts", energy.parts(report)),
        ("layers", "\n".join(energy.costliest(report))),
        *energy.duty_rows(report),
        ("from", energy.source(report)),
    ]
    printed(facts(rows), voice.out)


@command.command("calibrate")
@click.argument("measurements", type=click.Path(dir_okay=False))
@common
def calibrate(voice: Voice, measurements: str) -> None:
    """Fit the coefficients to measurements of your own board, and keep them on this computer.

    MEASUREMENTS is a CSV file with the columns build (a build's folder, simulated before, or
    "idle"), operating_point, and energy_uj of an inference or power_mw.
    """
    from myoedge import api

    found = api.calibrate_energy(measurements)
    voice.result(_calibrated(found), lambda: _show_calibration(voice, found))


def _calibrated(found: Calibration) -> dict[str, Any]:
    rows = [
        {
            "build": r.measured.name,
            "operating_point": r.measured.point.name,
            **{f"{name}_uj": _of_inference(r, j) for name, j in _joules(r).items()},
            **{f"{name}_mw": j / r.seconds * 1e3 for name, j in _joules(r).items()},
            "residual": r.relative,
        }
        for r in found.residuals
    ]
    return {
        "coefficients": asdict(found.coefficients),
        "before": asdict(found.before),
        "residuals": rows,
        "path": str(found.path),
    }


def _joules(row: Residual) -> dict[str, float]:
    return {"measured": row.measured.joules, "before": row.before_j, "after": row.after_j}


def _of_inference(row: Residual, joules: float) -> float | None:
    """Microjoules; None for a chip that idles, which has a power alone."""
    return None if row.measured.idles else joules * 1e6


def _shown(row: Residual, joules: float) -> str:
    """ "144 µJ", or of a chip that idles "16.4 mW"."""
    from myoedge.reports.energy import amount
    from myoedge.reports.wording import three_digits

    if row.measured.idles:
        return f"{three_digits(joules / row.seconds * 1e3)} mW"
    return amount(joules)


def _show_calibration(voice: Voice, found: Calibration) -> None:
    from rich.table import Table

    from myoedge.reports.energy import widths
    from myoedge.reports.text import clean
    from myoedge.reports.text import show as printed

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title in ("build", "point", "measured", "before", "after", "residual"):
        table.add_column(title, justify="left" if title in ("build", "point") else "right")
    for r in found.residuals:
        shown = (_shown(r, joules) for joules in _joules(r).values())
        name = clean(r.measured.name)
        table.add_row(name, r.measured.point.name, *shown, f"{r.relative:+.1%}")
    printed(table, voice.out)
    voice.out.print(widths(found.residuals, found.before, found.coefficients), markup=False)
    voice.say(f"kept in {found.path}")
