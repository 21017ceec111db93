# SPDX-License-Identifier: Apache-2.0
"""The functions of the backends "board" and "jtag"."""

from __future__ import annotations

from collections.abc import Sequence

from myoedge.backends.build import Build
from myoedge.backends.equivalence import chip_inputs
from myoedge.backends.measurement import Measurement
from myoedge.backends.runner import Case, Runner
from myoedge.backends.serial_port import SerialLine
from myoedge.building.plugins import described_board
from myoedge.errors import MyoedgeError
from myoedge.extensions.boards import board as boards
from myoedge.extensions.boards import openocd
from myoedge.extensions.boards.board import BoardRun
from myoedge.streaming.stream import Stream
from myoedge.targets.boards import Board


def line_of(board: str | None, port: str | None) -> SerialLine:
    """Return the serial line of a connected board. Errors: E252, E253, E601, E602."""
    return boards.find_serial_line(described_board(board), port, boards.plugged_in())


def board_runs(stream: Stream | None, runs: Sequence[Case]) -> list[BoardRun]:
    """Return the inputs to send a board for each run; a pass of a stream goes frame by frame."""
    if stream is None:
        return [BoardRun([run.given]) for run in runs]
    count = len(stream.inputs)
    return [
        BoardRun(
            [run.given[at : at + count] for at in range(0, len(run.given), count)],
            restarts=run.number == 0,
        )
        for run in runs
    ]


def run_on_board(build: Build, runs: Sequence[Case]) -> Measurement:
    """Run the application on the board at the build's serial line.

    Errors: E240 no application, E601, E603 .. E608.
    """
    line = build.devices.get("board")
    if not isinstance(line, SerialLine):
        tries = ["--board gap9_evk, or --port /dev/ttyUSB1"]
        raise MyoedgeError("E601", "no board is named", tries=tries)
    inputs, layers = board_runs(build.stream, runs), len(build.layer_names)
    return boards.run_on_board(line, boards.marker_of(build), inputs, build.given_specs, layers)


def run_over_jtag(build: Build, runs: Sequence[Case]) -> Measurement:
    """Run firmware.elf on the build's board through OpenOCD.

    Errors: E240 no firmware, E501, E502, E601, E602, E609 .. E611, E710, E711.
    """
    board = build.devices.get(boards.JTAG)
    if not isinstance(board, Board):
        raise MyoedgeError("E601", "no board is named", tries=["--board gap9_evk"])
    build.firmware()
    files = build.files(chip_inputs(build.stream, runs))
    return boards.run_over_jtag(board, build.folder / "firmware.elf", files)


def _board_command(build: Build, board: str | None, port: str | None) -> SerialLine:
    boards.check_console(build)
    return line_of(board, port)


def _open_board(build: Build, board: str | None, port: str | None) -> Board:
    return described_board(board)


BOARD = Runner(measure=run_on_board, connect=_board_command)
JTAG = Runner(measure=run_over_jtag, find=openocd.find, connect=_open_board)
