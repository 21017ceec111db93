# SPDX-License-Identifier: Apache-2.0
"""Verbs on boards: `myoedge run`, `flash`, `bench`, `boards`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.next_steps import with_board
from myoedge.cli.shell import DIFFERENT, Terminal, board_options, chosen_build, common, warn
from myoedge.errors import command
from myoedge.extensions.boards.board import SDK_FOLDER

if TYPE_CHECKING:
    from myoedge.backends.build import Build
    from myoedge.extensions.boards.board_card import BoardCard
    from myoedge.extensions.boards.flashing import FlashResult
    from myoedge.extensions.boards.measured_power import (
        MeasuredEnergy,
        MeasuredPhases,
        MeasuredPower,
    )
    from myoedge.targets.boards import Board


def flash_step(build: Build, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the command that writes a build's application to a board, if it has one for it."""
    if (build.folder / SDK_FOLDER).is_dir():
        yield command("flash", build.folder)


@click.command("run")
@click.argument("folder", type=click.Path(), required=False)
@click.option(
    "--on", default="board", metavar="WHERE", help="board (default); jtag (without SDK); simulator."
)
@click.option(
    "--input", metavar="FILE", help="Samples, in the formats of --calib: one inference each."
)
@click.option("--watch", is_flag=True, help="Without FOLDER: print the console until Ctrl-C.")
@board_options
@common
def run(terminal: Terminal, folder: str | None, watch: bool, **options: Any) -> None:
    """Run a build on a board: outputs and cycles, layer by layer.

    FOLDER is the output of build --app gap-sdk; default: the newest below build/. The application
    must run on the board and serve its serial line. With --on jtag OpenOCD loads firmware.elf into
    RAM instead, which needs no SDK (not tried on silicon).
    """
    from myoedge.cli.simulate import as_json, show
    from myoedge.extensions.boards import verbs

    if watch:
        _print_console(terminal, folder, options)
        return
    build = chosen_build(terminal, folder)
    run = verbs.run(build, **options)
    if not terminal.json_printed("simulation/1", as_json(run)):
        show(terminal, run)
    if not run.exact:
        sys.exit(DIFFERENT)
    terminal.next(with_board("validate", build, "--on", options["on"], options=options))


def _print_console(terminal: Terminal, folder: str | None, options: dict[str, Any]) -> None:
    """Print the console's lines until Ctrl-C, which is no failure, or until the connection
    breaks."""
    from myoedge.extensions.boards.verbs import watch

    others = {
        f"FOLDER ({folder})": folder,
        "--input": options["input"],
        "--on": options["on"] != "board",
        "--json": terminal.as_json,
    }
    if given := [name for name, is_given in others.items() if is_given]:
        named = [f"--{n} {quote(options[n])}" for n in ("board", "port") if options[n]]
        alone = " ".join(["myoedge run --watch", *named])
        title = "--watch only prints a board's console output, whatever program runs there"
        raise click.UsageError(f"{title}: without {', '.join(given)}. Type: {alone}")
    try:
        for line in watch(board=options["board"], port=options["port"]):
            terminal.text(line, soft_wrap=True)
    except KeyboardInterrupt:
        return


@click.command("flash")
@click.argument("folder", type=click.Path(), required=False)
@click.option("--to", default="ram", metavar="MEMORY", help="ram (default), mram or octospi.")
@click.option(
    "--table",
    metavar="FLASH",
    help="Partition table of weights: mram (default, SDK 5.x) or octospi (4.x, untried).",
)
@click.option(
    "--elf", type=click.Path(), metavar="FILE", help="Program (default: gap_sdk/build/myoedge_app)."
)
@click.option("--no-console", is_flag=True, help="Do not identify the started program.")
@board_options
@common
def flash(terminal: Terminal, folder: str | None, no_console: bool, **options: Any) -> None:
    """Write a build's application to a board, verify, start and identify it.

    FOLDER is the output of build --app gap-sdk, with the application compiled by the SDK in
    gap_sdk/build; default: the newest below build/. Weights are written to flash even with --to
    ram (W602): l3.bin to the octal flash, mram.bin to MRAM. MRAM's start gets a table of both. The
    octal flash is left alone without l3.bin, unless --to octospi.
    """
    from myoedge.extensions.boards import verbs

    build = chosen_build(terminal, folder)
    heard: dict[str, Any] = {"say": terminal.stage, "warn": warn}
    flashed = verbs.flash(build, console=not no_console, **options, **heard)
    result = {k: v for k, v in asdict(flashed).items() if k != "warnings"}
    if not terminal.json_printed("flash/1", result):
        _show_flashed(terminal, flashed)
    terminal.next(with_board("run", build, options=options))


def _show_flashed(terminal: Terminal, flashed: FlashResult) -> None:
    started = "started" if flashed.to == "ram" else "set the boot jumper and reset the board"
    terminal.text(f"{flashed.bytes:,} bytes in {flashed.to} of {flashed.board}; {started}")
    if flashed.mram_bytes:
        terminal.text(f"{flashed.mram_bytes:,} bytes in mram: mram.bin; table in {flashed.table}")
    if flashed.files_bytes:
        terminal.text(f"{flashed.files_bytes:,} bytes in octospi: l3.bin; table in {flashed.table}")
    if flashed.says is not None:
        terminal.text(f"identity: {flashed.says}", soft_wrap=True)


INFERENCES = 20  # without --times


def meter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a measurement with a power meter."""
    options = (
        click.option("--meter", metavar="DEVICE", help="Serial port of a Nordic PPK2."),
        click.option(
            "--times",
            type=click.IntRange(1),
            help="Number of inferences (default: 20).",
        ),
        click.option(
            "--waiting",
            type=float,
            metavar="SECONDS",
            help="Instead: the power of an application that waits, its front end stopped.",
        ),
        click.option(
            "--phases",
            type=float,
            metavar="SECONDS",
            help="Instead: an application at work, its passes and the time between them.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command("bench")
@click.argument("folder", type=click.Path(), required=False)
@meter_options
@click.option(
    "--card",
    type=click.Path(),
    metavar="FILE",
    help="Try everything (flash, outputs, cycles, energy), and write one JSON file.",
)
@click.option("--on", metavar="WHERE", help="With --card: board (default), or jtag.")
@board_options
@common
def bench(
    terminal: Terminal,
    folder: str | None,
    card: str | None,
    on: str | None,
    times: int | None,
    meter: str | None,
    waiting: float | None,
    phases: float | None,
    **options: Any,
) -> None:
    """Measure the energy per inference on a board with a power meter; with --card, all figures.

    FOLDER is the output of build --app gap-sdk; default: the newest below build/. Connect the meter
    between the supply and the board, and its D0 to the board's power pad.
    """
    from myoedge.extensions.boards import verbs
    from myoedge.system.folder import check_file

    kinds = {"--card": card, "--waiting": waiting, "--phases": phases}
    _check_kind([name for name, value in kinds.items() if value is not None], meter, times, on)
    build = chosen_build(terminal, folder)
    given = {"meter": meter, "board": options["board"]}
    options |= {"meter": meter, "times": times or INFERENCES}
    if card is not None:
        check_file(Path(card))
        _write_card(terminal, card, verbs.board_card(build, on=on or "board", **options))
        return
    if waiting is not None:
        _show_waiting(terminal, verbs.bench_waiting(build, seconds=waiting, **given))
        return
    if phases is not None:
        _show_phases(terminal, verbs.bench_phases(build, seconds=phases, **given))
        return
    _show_energy(terminal, verbs.bench(build, **options))
    terminal.next(command("energy", build))


def _check_kind(kinds: Sequence[str], meter: str | None, times: int | None, on: str | None) -> None:
    """Raise a usage error for options of different measurements."""
    if meter is None and kinds != ["--card"]:
        raise click.UsageError("bench needs --meter DEVICE, or --card FILE")
    if len(kinds) > 1:
        raise click.UsageError(f"{' and '.join(kinds)} are different measurements")
    if on is not None and kinds != ["--card"]:
        raise click.UsageError("--on is for --card")
    if times is not None and kinds and kinds != ["--card"]:
        raise click.UsageError(f"--times is a number of inferences: without {kinds[0]}")


def _show_energy(terminal: Terminal, energy: MeasuredEnergy) -> None:
    if not terminal.json_printed("measured-energy/1", asdict(energy)):
        spread_uj = energy.spread_joules * 1e6
        terminal.text(
            f"energy    {energy.joules * 1e6:,.1f} µJ an inference, +- {spread_uj:,.1f}",
            f"power     {energy.watts * 1e3:,.2f} mW while the pad is high",
            f"time      {energy.seconds * 1e3:,.2f} ms, mean of {energy.inferences}",
        )


def _show_waiting(terminal: Terminal, power: MeasuredPower) -> None:
    if not terminal.json_printed("measured-power/1", {**asdict(power), "row": power.row}):
        terminal.text(
            f"power     {power.watts * 1e3:,.3f} mW, +- {power.spread_watts * 1e3:,.3f}",
            f"time      {power.seconds:g} s",
        )
        _show_rows(terminal, [power.row])


def _show_phases(terminal: Terminal, phases: MeasuredPhases) -> None:
    if not terminal.json_printed("measured-phases/1", asdict(phases)):
        terminal.text(*(f"{name:<9} {text}" for name, text in phases.lines()))
        _show_rows(terminal, phases.rows)


def _show_rows(terminal: Terminal, rows: Sequence[str]) -> None:
    """Print rows for `energy calibrate`, with their header."""
    from myoedge.building.energy_calibration import HEADER

    terminal.text("rows.csv")
    terminal.text(HEADER, *rows, soft_wrap=True)
    terminal.next("myoedge energy calibrate rows.csv   # a file with these lines")


def _write_card(terminal: Terminal, file: str, card: BoardCard) -> None:
    card.write(Path(file))
    if not terminal.json_printed("board-card/1", dict(card.document)):
        terminal.text(*card.lines(), soft_wrap=True)
    terminal.progress(f"written: {file}")
    card.raise_failed()


@click.command("boards")
@click.option("--board", metavar="ID|TOML", help="Show one board, or check your board.toml.")
@common
def boards(terminal: Terminal, board: str | None) -> None:
    """List the known boards and their descriptions."""
    from myoedge.extensions.boards import verbs

    boards = verbs.boards(board)
    if not terminal.json_printed("boards/1", {"boards": [asdict(b) for b in boards]}):
        _show_boards(terminal, boards)
    terminal.next(command("doctor"))


def _show_boards(terminal: Terminal, boards: Iterable[Board]) -> None:
    for described in boards:
        tried = "" if described.tried else "   (never tried on hardware)"
        terminal.text(f"{described.id}  {described.name}, {described.chip}{tried}")
        for label, text in _board_rows(described):
            terminal.text(f"  {label:<8} {text}", soft_wrap=True)


def _board_rows(board: Board) -> list[tuple[str, str]]:
    rows = []
    if board.ram:
        rows.append(("RAM", f"{board.ram.part}, {board.ram.bytes:,} bytes"))
    for name, flash in board.flash.items():
        rows.append((name, f"{flash.part}, {flash.bytes:,} bytes"))
    if board.probe:
        rows.append(("probe", f"{board.probe.kind}, USB {', '.join(board.probe.usb_ids)}"))
    if board.console:
        rows.append(("console", f"UART {board.console.uart}, {board.console.baud_rate:,} baud"))
    if board.power:
        rows.append(("power", f"pad {board.power.pad}, supply {board.power.supply_v} V"))
    return rows or [("", "only the chip is described")]
