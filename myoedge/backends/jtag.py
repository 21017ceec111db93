# SPDX-License-Identifier: Apache-2.0
"""Backend "jtag": firmware.elf on a board without an SDK; OpenOCD serves its files by
semihosting.

It was never run with a board. GreenWaves' gap_utils (gap9revb.tcl) enables semihosting, which
OpenOCD serves in its working folder.
"""

from __future__ import annotations

import time
from pathlib import Path

from myoedge.backends import openocd
from myoedge.backends.measurement import FirmwareFiles, Measurement
from myoedge.errors import MyoedgeError
from myoedge.system import tools
from myoedge.system.elf import read_program
from myoedge.targets.boards import Board, Probe

NAME = "jtag"
RUN_S = 60.0  # per inference
POLL_S = 0.05
EXIT_REGISTER = 0x1A1040C0  # in GAP9's SoC controller, as in runtime/platform.c
HAS_ENDED = 0x80000000  # bit next to the exit code


def run_firmware(
    board: Board, elf: Path, files: FirmwareFiles, *, run_s: float = RUN_S
) -> Measurement:
    """Load firmware.elf into a board's RAM over JTAG and run its inferences.

    run_s   time limit per inference, in seconds
    Errors: E501 OpenOCD or its scripts, E502 too slow, E601 no probe connected, E602 no probe in
    board.toml, E609 .. E611 OpenOCD, E710 and E711 the firmware's own.
    """
    if board.probe is None:
        raise MyoedgeError("E602", f"{board.name} has no probe in its board.toml")
    installation = openocd.find()
    with tools.scratch() as folder:
        files.write(folder)
        with openocd.session(installation, board.probe, folder) as link:
            openocd.check_chain(link, board, board.probe)
            _start(link, board.probe, elf)
            code = _exit_code(link, run_s * len(files.samples))
            printed = link.running.says
        return Measurement(NAME, files.inferences(folder, code, printed), printed=printed)


def _start(link: openocd.Session, probe: Probe, elf: Path) -> None:
    link.ask(f"targets {probe.target}")
    link.ask("arm semihosting enable")
    link.put_word(EXIT_REGISTER, 0)  # clears the exit code of an earlier program
    program = read_program(elf)
    openocd.start_in_memory(link, probe, program.data, program.entry, lambda _: None)


def _exit_code(link: openocd.Session, limit_s: float) -> int:
    """Wait for the program's end and return its exit code. Errors: E502 time limit exceeded."""
    end = time.monotonic() + limit_s
    while not (word := link.word(EXIT_REGISTER)) & HAS_ENDED:
        if time.monotonic() > end:
            facts = {"limit": f"{limit_s:g} s", "OpenOCD says": link.running.says[-300:]}
            tries = ["reset the board and try again", "--on simulator"]
            raise MyoedgeError("E502", "the firmware did not finish", facts, tries)
        time.sleep(POLL_S)
    return word & ~HAS_ENDED
