# SPDX-License-Identifier: Apache-2.0
"""The command that adapts a build to a new session: `myoedge adapt`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.progress import stage_progress
from myoedge.cli.shell import DIFFERENT, Terminal, chosen_build, common, echo, warn, with_options
from myoedge.errors import command

if TYPE_CHECKING:
    from myoedge.extensions.adaptation.evaluation import Adapted


SESSION = {"method": "method", "seconds": "seconds", "windows": "windows"}
ACCURACIES = {
    "accuracy_before": "before",
    "accuracy_after": "after",
    "accuracy_old_session": "old session",
}
COSTS = {
    "cycles_per_step": "cycles a step",
    "time_us_per_step": "µs a step",
    "energy_uj_per_step": "µJ a step",
    "cycles_end": "cycles, end",
}
MARKS = {
    "*": "no gain on held-back windows, or one class only: the network itself decides",
    "**": "not judged: no window was held back, so a gain is not known",
}


_with_device = with_options(
    click.option(
        "--port", metavar="DEVICE", help="Prompt a wearer, and adapt the device at this port."
    ),
    click.option(
        "--hold", metavar="TIME", help='With --port: time for each gesture (default: "2 s").'
    ),
    click.option(
        "--rounds",
        type=click.IntRange(1),
        metavar="N",
        help="With --port: how often each gesture is shown (default: 2).",
    ),
    click.option(
        "--baud-rate", type=click.IntRange(1), metavar="N", help="With --port (default: 1000000)."
    ),
)


@click.command("adapt")
@click.argument("folder", type=click.Path(), required=False)
@click.option("--data", metavar="FILE", help="Labelled windows to learn from.")
@click.option("--test", metavar="FILE", help="Labelled windows of the same session.")
@click.option("--old", metavar="FILE", help="Labelled windows of an older session.")
@click.option("--on", metavar="WHERE", help="host (default), simulator, or qemu.")
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help="prototypes, lda, head or norm; repeat the option for several (default: all).",
)
@click.option("--every", metavar="TIME", help='Time between windows of a class: "5 ms".')
@click.option("--window", metavar="TIME", help="Length of a window (default: as --every).")
@_with_device
@common
def adapt(terminal: Terminal, folder: str | None, **options: Any) -> None:
    """Adapt a build to a new session, and measure accuracy before and after.

    FOLDER is a build with [adapt] in myoedge.toml; default: the newest below build/. With --data
    and --test, each session learns from the first windows of each class. With --port, a device that
    runs the build's sensor application learns while the wearer holds the gestures that are shown.
    """
    from myoedge.extensions.adaptation import verbs

    given = _check_option_kind(options)
    build = chosen_build(terminal, folder)
    if options["port"] is not None:
        _prompt_for_gestures(terminal, build, given)
        return
    options = given
    with stage_progress(terminal) as progress:
        progress.stage("adapt")
        adapted = verbs.adapt(build, **options)
    point = None if adapted.point is None else asdict(adapted.point)
    result: dict[str, Any] = {"on": adapted.on, "exact": adapted.exact, "operating_point": point}
    result |= {"l2_bytes": adapted.l2_bytes}
    if not terminal.json_printed("adaptation/1", {**result, "rows": adapted.rows()}):
        _show_result(terminal, adapted)
    warn(*adapted.warnings)
    if adapted.exact is False:
        sys.exit(DIFFERENT)


PROMPTED = ("port", "hold", "rounds", "baud_rate")  # options of a session with a device


def _check_option_kind(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a session with a device if --port is given, or else of files; options
    of the other kind are usage errors."""
    is_prompted, given = options["port"] is not None, {*options} - {*PROMPTED}
    own = {*PROMPTED, "methods"} if is_prompted else given
    for name in options:
        if name not in own and options[name] is not None:
            how = f"--port only: --{name.replace('_', '-')}"
            raise click.UsageError(f"{'without' if is_prompted else 'with'} {how}.")
    chosen = {name: options[name] for name in own if options[name] is not None}
    if not is_prompted:
        return _check_files(chosen)
    methods = chosen.pop("methods")
    if len(methods) > 1:
        raise click.UsageError("a session with --port has one --method.")
    return chosen | {"method": next(iter(methods), None)}


def _check_files(options: dict[str, Any]) -> dict[str, Any]:
    for name in ("data", "test"):
        if name not in options:
            raise click.UsageError(f"--{name} is missing (or --port for a session with a device).")
    return options


def _prompt_for_gestures(terminal: Terminal, build: Path, options: Mapping[str, Any]) -> None:
    from myoedge import api
    from myoedge.extensions.adaptation import verbs

    def say(text: str) -> None:
        echo(f"  {text}", err=True)

    session = verbs.adapt_on_device(build, say=say, **options)
    names = api.load_build(build).class_names
    rows = [
        {"class": names[i] if names else str(i), "decisions": count, "right": right}
        for i, (count, right) in enumerate(session.decisions)
    ]
    result = {"method": session.method, "in_force": session.in_force, "classes": rows}
    if not terminal.json_printed("prompted-session/1", result):
        for row in rows:
            line = (
                f"{row['class']}: {row['right']} of {row['decisions']} decisions before it learnt"
            )
            terminal.text(line, soft_wrap=True)
        after = "decides now" if session.in_force else "gained nothing: the one before decides"
        terminal.text(f"the classifier of this session ({session.method}) {after}")
    terminal.next(command("monitor", options["port"], "--build", build))


def _show_result(terminal: Terminal, adapted: Adapted) -> None:
    from myoedge.backends.names import backend_text
    from myoedge.reports import wording

    rows = adapted.rows()
    for titles in (ACCURACIES, COSTS):  # two tables, as one would be wider than a terminal
        if any(row[key] is not None for row in rows for key in titles):
            _show_table(terminal, {**SESSION, **titles}, rows)
    for mark in sorted({_method_mark(row) for row in rows} - {""}):
        terminal.text(f"{mark:2} {MARKS[mark]}")
    terminal.text(f"{adapted.memory} of the adaptation: {adapted.l2_bytes:,} B")
    if (point := adapted.point) is not None:
        terminal.text(f"time and energy at {wording.at_point(point.volts, point.clock_hz)}")
    if adapted.exact is not None:
        verdict = "equal to" if adapted.exact else "NOT equal to"
        terminal.text(f"{backend_text(adapted.on)} {verdict} the C on the host")


def _show_table(terminal: Terminal, titles: dict[str, str], rows: list[dict[str, Any]]) -> None:
    from myoedge.reports.tables import columns, show

    shown = [key for key in titles if any(row[key] is not None for row in rows)]
    table = columns([titles[key] for key in shown], left=("method",))
    for row in rows:
        table.add_row(*(_cell_text(key, row) for key in shown))
    show(table, terminal.out)


def _method_mark(row: dict[str, Any]) -> str:
    if not row["in_force"]:
        return "*"
    return "" if row["judged"] else "**"


def _cell_text(key: str, row: dict[str, Any]) -> str:
    value = row[key]
    if key == "method":
        return f"{value} {_method_mark(row)}".rstrip()
    if value is None:
        return ""
    if key.startswith("accuracy"):
        return f"{value:.1f} %"
    return (
        f"{value:,.1f}"
        if key.endswith("uj_per_step")
        else f"{value:,g}"
        if key == "seconds"
        else f"{value:,.0f}"
    )
