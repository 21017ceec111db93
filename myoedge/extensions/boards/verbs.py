# SPDX-License-Identifier: Apache-2.0
"""The verbs that use a board: run, watch, flash, bench, board_card, boards."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.api.models import as_build, with_plugin_errors
from myoedge.api.projects import doctor
from myoedge.api.runs import simulate
from myoedge.backends.build import Build
from myoedge.building.options import StrPath, silent
from myoedge.building.pipeline_options import Progress
from myoedge.errors import MyoedgeError, Notice, command
from myoedge.extensions.boards.board import JTAG, check_console, has_console, marker_of
from myoedge.extensions.boards.board_card import CARD, BoardCard, figures, run_step
from myoedge.extensions.boards.runners import line_of
from myoedge.quantization.samples import Given
from myoedge.reports import wording
from myoedge.system.notebook import Card, Rows
from myoedge.targets.boards import Board, all_boards
from myoedge.version import __version__

if TYPE_CHECKING:
    from myoedge.building.simulate import Simulated
    from myoedge.extensions.boards.flashing import FlashResult
    from myoedge.extensions.boards.measured_power import (
        MeasuredEnergy,
        MeasuredPhases,
        MeasuredPower,
    )
    from myoedge.extensions.boards.meter import PowerTrace


@with_plugin_errors
def run(
    build: Build | StrPath,
    *,
    on: str = "board",
    input: Given | None = None,
    board: str | None = None,
    port: str | None = None,
) -> Simulated:
    """Run a build on a board; return its outputs and the cycles of every layer.

    on      "board": the application, over its serial line; "jtag": firmware.elf, which OpenOCD
            loads into RAM and serves, without an SDK (not tried on silicon)
    input   float samples as for calibration, one inference each; None: the golden sample
    board   id or board.toml; None: "gap9_evk"
    port    serial port of the board; None: found by the USB ids of the board's probe
    Errors: E240 a build without --app gap-sdk, E252, E253, E601 .. E611; otherwise as simulate.
    """
    return simulate(build, on=on, input=input, board=board, port=port)


def watch(*, board: str | None = None, port: str | None = None) -> Iterator[str]:
    """Yield the lines that a board prints on its console until the connection breaks.

    board, port   as for run
    Errors: E252, E253, E501, E601 .. E603, E607.
    """
    from myoedge.backends.serial_port import open_port
    from myoedge.extensions.boards.console import lines_heard

    with open_port(line_of(board, port)) as opened:
        yield from lines_heard(opened)


@with_plugin_errors
def flash(
    build: Build | StrPath,
    *,
    board: str | None = None,
    to: str = "ram",
    table: str | None = None,
    elf: StrPath | None = None,
    port: str | None = None,
    console: bool = True,
    say: Progress = silent,
    warn: Callable[[Notice], None] = silent,
) -> FlashResult:
    """Write a build's application to a board through OpenOCD.

    board     id or board.toml; None: "gap9_evk"
    to        "ram" (and start it there), "mram" or "octospi"; if the build has l3.bin, that goes to
              the octal flash, and a partition table to the flash `table`
    table     "mram", in which SDK 5.x searches (default), or "octospi", for 4.x; neither was tried
    elf       the application compiled by the SDK; default gap_sdk/build/myoedge_app of the build
    console   ask the started program which build it is, over `port` or the probe's; a program
              that answers MLPerf Tiny's protocol is not asked
    warn      called with each warning before anything is written: W602 for data that is overwritten
    Errors: E204, E240, E252, E253, E501 OpenOCD or its scripts, E601 .. E613.
    """
    from myoedge.building.plugins import described_board
    from myoedge.extensions.boards.flashing import FlashRequest, flash_build

    chosen = as_build(build)
    if elf is None:
        marker_of(chosen)
    is_asked = console and has_console(chosen)
    asked = partial(line_of, board, port) if is_asked and to == "ram" else None
    request = FlashRequest(described_board(board), to, table)
    return flash_build(chosen, request, None if elf is None else Path(elf), asked, say, warn)


@with_plugin_errors
def bench(
    build: Build | StrPath,
    *,
    meter: str,
    times: int = 20,
    board: str | None = None,
    port: str | None = None,
) -> MeasuredEnergy:
    """Measure the energy of an inference of the golden sample on a board with a power meter.

    meter    serial port of a Nordic PPK2 between the supply and the board; its D0 is connected to
             the board's power pad
    times    number of inferences
    Errors: as `run`; E237 a stream, E602 the board has no power pad, E614 unexpected signal.
    """
    from myoedge.backends.equivalence import cases, chip_inputs
    from myoedge.backends.samples import golden_sample
    from myoedge.extensions.boards.board import measure_on_board
    from myoedge.extensions.boards.measured_power import energy_of
    from myoedge.extensions.boards.meter import open_ppk2

    chosen, supply_v = as_build(build), _supply_v(board)
    check_console(chosen)
    if chosen.stream is not None:
        raise MyoedgeError("E237", "a stream is not measured like this", {"needs": "no --stream"})
    runs = cases(chosen.network, None, [golden_sample(chosen)])
    (case,) = chip_inputs(None, [*runs])
    line = line_of(board, port)
    with open_ppk2(meter, supply_v) as opened:
        recorded = measure_on_board(line, marker_of(chosen), case, times, opened)
    return energy_of(recorded, supply_v, times)


@with_plugin_errors
def bench_waiting(
    build: Build | StrPath, *, meter: str, seconds: float = 10.0, board: str | None = None
) -> MeasuredPower:
    """Measure the power of a chip that waits, with an application whose front end is stopped: a row
    `idle` for `energy calibrate`.

    build     the build that runs on the board
    meter     as for `bench`
    seconds   duration
    Errors: E232 seconds, E602 the board has no power pad, E614 an inference ran, or unexpected
    signal.
    """
    from myoedge.extensions.boards.measured_power import power_of

    point = str(as_build(build).report["target"]["operating_point"])
    trace, supply_v = _recorded(meter, seconds, board)
    return power_of(trace, supply_v, point)


@with_plugin_errors
def bench_phases(
    build: Build | StrPath, *, meter: str, seconds: float = 10.0, board: str | None = None
) -> MeasuredPhases:
    """Measure an application at work, by phase: the energy of a pass of the network, and the power
    between passes. Its front end delivers samples.

    build     the build with --app sensor that runs on the board
    meter     as for `bench`
    seconds   duration
    Errors: E232 seconds, E240 a build without an application, E602 the board has no power pad, E614
    unexpected signal.
    """
    from myoedge.extensions.boards.measured_power import ExpectedPasses, phases_of
    from myoedge.reports.energy import played_pass_s
    from myoedge.reports.period import clocked_by, own_period_s

    chosen = as_build(build)
    report = chosen.report
    if not clocked_by(report):
        facts = {"needs": "a build with --app sensor"}
        tries = [command("bench", chosen.folder, "--meter", meter)]
        raise MyoedgeError("E240", f"{chosen.folder.name} has no application", facts, tries)
    trace, supply_v = _recorded(meter, seconds, board)
    point, period = str(report["target"]["operating_point"]), own_period_s(report)
    pass_s = played_pass_s(report) or float(report["latency_s"])
    expected = ExpectedPasses(pass_s, period or seconds, are_whole=not report.get("wake"))
    return phases_of(trace, supply_v, str(chosen.folder), point, expected)


def _recorded(meter: str, seconds: float, board: str | None) -> tuple[PowerTrace, float]:
    """Return a power meter's samples of so many seconds, and the board's supply voltage."""
    from myoedge.building.quantities import positive
    from myoedge.extensions.boards.measured_power import check_duration
    from myoedge.extensions.boards.meter import open_ppk2

    duration_s, supply_v = positive(seconds, "seconds"), _supply_v(board)
    with open_ppk2(meter, supply_v) as opened:
        trace = opened.record(lambda: time.sleep(duration_s))
    check_duration(trace, duration_s)
    return trace, supply_v


def _supply_v(board: str | None) -> float:
    from myoedge.building.plugins import described_board

    described = described_board(board)
    if described.power is None:
        raise MyoedgeError("E602", f"{described.name} has no power pad in its board.toml")
    return described.power.supply_v


class Boards(Rows[Board]):
    """Descriptions of boards, as `boards` returns them."""

    __slots__ = ()
    noun = "board"

    def _card(self) -> Card:
        rows = [
            {
                "id": board.id,
                "name": board.name,
                "chip": board.chip,
                "tried on hardware": board.tried,
                "RAM": board.ram and f"{board.ram.part}, {board.ram.bytes:,} bytes",
                "probe": board.probe and board.probe.kind,
                "console": board.console and f"{board.console.baud_rate:,} baud",
            }
            for board in self
        ]
        return Card(wording.several(len(self), "board"), rows=rows)


def boards(board: str | None = None) -> Boards:
    """Return the boards of the package, or only the board with this id or file. Errors: E252,
    E253."""
    from myoedge.building.plugins import described_board, load_named

    load_named()
    return Boards(all_boards() if board is None else (described_board(board),))


# --- board cards ----------------------------------------------------------------------------------


PROGRAM = "gap_sdk/build/myoedge_app"  # where the SDK's CMake puts it


def _card_origin(board: str, on: str) -> dict[str, Any]:
    """Return the card's format and board, and version, computer and tools by which it is made."""
    return {
        "schema": CARD,
        "myoedge": __version__,
        "host": {"system": platform.system(), "machine": platform.machine()},
        "tools": {row.name: {"state": row.state, "version": row.version} for row in doctor()},
        "board": board,
        "on": on,
    }


@with_plugin_errors
def board_card(
    build: Build | StrPath,
    *,
    on: str = "board",
    board: str | None = None,
    port: str | None = None,
    meter: str | None = None,
    times: int = 20,
    say: Progress = silent,
) -> BoardCard:
    """Measure a build on a board: check tools, read MRAM if a program is loaded, flash, compare
    outputs, count cycles by layer, measure energy. A failed step is recorded, the others follow.

    on      "board": the application, flashed if the SDK has compiled it; "jtag": firmware.elf
    board, port, times   as for run and bench
    meter   serial port of a PPK2; None: no energy
    Errors: E252, E253.
    """
    from myoedge.building.plugins import described_board
    from myoedge.extensions.boards.board_card import has_mram, measured_rate

    chosen, described = as_build(build), described_board(board)
    before, steps = chosen.report, list[dict[str, Any]]()
    say("doctor")
    origin = _card_origin(board or "gap9_evk", on)
    is_compiled = (chosen.folder / PROGRAM).is_file()
    has_rate = has_mram(described) and (on == JTAG or is_compiled)
    say("mram")
    rate = run_step(steps, "mram", lambda: measured_rate(described), has_rate)
    if on == "board":
        say("flash")
        run_step(steps, "flash", lambda: flash(chosen, board=board, port=port), is_compiled)
    say("run")
    ran = run_step(steps, "run", lambda: run(chosen, on=on, board=board, port=port))
    energy: MeasuredEnergy | None = None
    if meter is not None and on == "board":
        say("energy")
        energy = run_step(
            steps, "energy", lambda: bench(chosen, meter=meter, times=times, board=board, port=port)
        )
    document = {
        **origin,
        "build": chosen.manifest_digest,
        "steps": steps,
        **figures(before, None if ran is None else ran.report, None if ran is None else ran.exact),
        "energy": None if energy is None else asdict(energy),
        "mram": None if rate is None else asdict(rate),
    }
    return BoardCard(document)
