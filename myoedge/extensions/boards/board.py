# SPDX-License-Identifier: Apache-2.0
"""The backends "board", a build's GAP SDK application controlled over a serial line, and "jtag",
firmware.elf on a board without an SDK: OpenOCD serves its files by semihosting.

"jtag" was never run with a board. GreenWaves' gap_utils (gap9revb.tcl) enables semihosting, which
OpenOCD serves in its working folder."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myoedge.backends.build import Build
from myoedge.backends.measurement import (
    FirmwareFiles,
    Inference,
    LayerCost,
    Measurement,
    Spec,
    input_bytes,
    outputs_of,
)
from myoedge.backends.names import chips_of
from myoedge.backends.serial_port import SerialLine
from myoedge.errors import MyoedgeError
from myoedge.extensions.boards import openocd
from myoedge.extensions.boards.console import Identity, open_line
from myoedge.extensions.boards.meter import PowerMeter, PowerTrace
from myoedge.numerics.arrays import Array
from myoedge.system import tools
from myoedge.system.elf import Program, read_program
from myoedge.targets import find_chip
from myoedge.targets.boards import Board

RUN_S = 60.0  # per inference
SDK_FOLDER = "gap_sdk"  # of a build: its project for the GAP SDK
CONSOLE = f"{SDK_FOLDER}/console.c"  # only in applications that answer myoedge's requests
MARKER = re.compile(rb"myoedge gap-sdk (\w+) ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class BoardRun:
    """Inputs of one inference, or of one pass of a stream, for a board.

    inputs     arrays of one inference, in the model's order; for a pass of a stream, those of each
               frame
    restarts   whether the stream is reset first
    """

    inputs: Sequence[Sequence[Array]]
    restarts: bool = False


def find_serial_line(
    board: Board, port: str | None = None, ports: Iterable[tuple[str, str]] = ()
) -> SerialLine:
    """Return the serial port and baud rate of a board's console.

    port    serial port; None: the port in board.toml, else the only port of the board's probe
    ports   (device, "vendor:product") of the connected devices
    Errors: E601 no or several boards connected, E602 the board has no console.
    """
    if board.console is None:
        tries = ["[console] in a board.toml of your own: --board ./my/board.toml"]
        raise MyoedgeError("E602", f"{board.name} has no console in its board.toml", tries=tries)
    if port or board.console.port:
        return SerialLine(port or board.console.port, board.console.baud_rate)
    ids = {usb_id.lower() for usb_id in (board.probe.usb_ids if board.probe else ())}
    devices = [device for device, usb_id in ports if usb_id.lower() in ids]
    if len(devices) != 1:
        raise _device_count_error(devices, ids)
    return SerialLine(devices[0], board.console.baud_rate)


def _device_count_error(devices: Sequence[str], ids: Iterable[str]) -> MyoedgeError:
    facts = {
        "looked for": f"USB {', '.join(sorted(ids)) or '?'}",
        "found": ", ".join(devices) or "none",
    }
    if devices:
        tries = [f"--port {device}" for device in devices]
        return MyoedgeError("E601", "several serial ports match", facts, tries)
    tries = ["connect the board and switch it on", "--port /dev/ttyUSB1"]
    return MyoedgeError("E601", "no board is connected", facts, tries)


def plugged_in() -> list[tuple[str, str]]:
    """Return (device, "vendor:product") of every USB serial port of this computer; [] without
    pyserial."""
    try:
        from serial.tools import list_ports
    except ImportError:
        return []
    return [(p.device, f"{p.vid:04x}:{p.pid:04x}") for p in list_ports.comports() if p.vid]


def marker_of(build: Build) -> str:
    """Return the identity of a build's application, an application of the GAP SDK. Errors: E240 a
    build without one, or for a chip that other tools flash."""
    chip = str(build.manifest["target"])
    program = find_chip(chip).program
    if program is not None and program.flashing:
        title = f"a build for {chip} is flashed by the tools of its board"
        chips = " or ".join(chips_of("board"))
        facts = {"needs": f"a build for {chips}", "has": f"a build for {chip}"}
        raise MyoedgeError("E240", title, facts, program.flashing)
    needs = {"needs": "an application of the GAP SDK"}
    content = build.having(f"{SDK_FOLDER}/ports.c", "application", needs, app="gap-sdk")
    found = MARKER.search(content)
    assert found is not None, "as the template of ports.c has it"
    return found.group().decode()


def has_console(build: Build) -> bool:
    """Return whether a build's application answers myoedge's requests."""
    return CONSOLE in build.digests


def check_console(build: Build) -> None:
    """Raise E240 if a build has no application that answers myoedge's requests."""
    marker_of(build)
    if not has_console(build):
        facts = {"needs": "an application with myoedge's console"}
        title = f"the application of {build.folder.name} answers no requests of a computer"
        raise MyoedgeError("E240", title, facts, [build.rebuilt(app="gap-sdk")])


def check_identity(identity: Identity, marker: str) -> None:
    """Check that a board runs the program of this build.

    identity   identity that the board reports
    marker     identity of this build's program
    Errors: E606 another build or program.
    """
    if identity.marker == marker:
        return
    facts = {"needs": marker, "has": identity.marker}
    tries = ["myoedge flash  writes the application of this build to the board"]
    raise MyoedgeError("E606", "the board runs another build", facts, tries)


def run_on_board(
    line: SerialLine, marker: str, runs: Sequence[BoardRun], specs: Sequence[Spec], layers: int
) -> Measurement:
    """Run inferences, or passes of a stream, on a board; return outputs and cycles.

    marker   the expected identity of the application
    specs    shape and dtype of the outputs
    layers   number of layers
    Errors: E603 .. E608.
    """
    output_bytes = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in specs)
    inferences = []
    with open_line(line) as link:
        identity = link.identity()
        check_identity(identity, marker)
        sizes = (sum(x.nbytes for x in runs[0].inputs[0]), output_bytes, layers)
        if (identity.input_bytes, identity.output_bytes, identity.layers) != sizes:
            raise MyoedgeError("E606", "the board's application has other inputs and outputs")
        for run in runs:
            if run.restarts:
                link.ask("z")
            for inputs in run.inputs:
                link.send_inputs(input_bytes([inputs]))
                link.run(1, RUN_S)
            data = link.results(output_bytes + 4 * (layers + 1))
            *cycles, total = struct.unpack(f"<{layers + 1}I", data[output_bytes:])
            (outputs,) = outputs_of(data[:output_bytes], specs, 1)
            inferences.append(Inference(outputs, total, tuple(map(LayerCost, cycles))))
    return Measurement("board", tuple(inferences))


def measure_on_board(
    line: SerialLine, marker: str, sample: Sequence[Array], times: int, meter: PowerMeter
) -> PowerTrace:
    """Run an inference `times` times on a board while a power meter records; return its trace.

    line     serial line of the board
    marker   the expected identity of the application
    sample   inputs of the inference
    Errors: as run_on_board, E614.
    """
    with open_line(line) as link:
        check_identity(link.identity(), marker)
        link.send_inputs(input_bytes([sample]))

        def run_times() -> None:
            for _ in range(times):
                link.run(1, RUN_S)

        return meter.record(run_times)


# --- over JTAG ------------------------------------------------------------------------------------


JTAG = "jtag"
POLL_S = 0.05
EXIT_REGISTER = 0x1A1040C0  # in the SoC controller, as in runtime/platform.c
HAS_ENDED = 0x80000000  # bit next to the exit code


def run_over_jtag(
    board: Board, elf: Path, files: FirmwareFiles, *, run_s: float = RUN_S
) -> Measurement:
    """Load firmware.elf into a board's RAM over JTAG and run its inferences.

    run_s   time limit per inference, in seconds
    Errors: E501 OpenOCD or its scripts, E502 too slow, E601 no probe connected, E602 no probe in
    board.toml, E609 .. E611 OpenOCD, E710 and E711 the firmware's own.
    """
    with tools.scratch() as folder:
        files.write(folder)
        limit_s = run_s * len(files.samples)
        code, printed = run_program(board, read_program(elf), folder, limit_s)
        return Measurement(JTAG, files.inferences(folder, code, printed), printed=printed)


def run_program(board: Board, program: Program, folder: Path, limit_s: float) -> tuple[int, str]:
    """Load a program into a board's RAM over JTAG and run it with the files of a folder; return its
    exit code, and what OpenOCD printed. Errors: E501, E502, E601, E602, E609 .. E611 as
    run_over_jtag."""
    if board.probe is None:
        raise MyoedgeError("E602", f"{board.name} has no probe in its board.toml")
    with openocd.session(openocd.find(), board.probe, folder) as link:
        openocd.check_chain(link, board, board.probe)
        link.ask(f"targets {board.probe.target}")
        link.ask("arm semihosting enable")
        link.put_word(EXIT_REGISTER, 0)  # clears the exit code of an earlier program
        openocd.start_in_memory(link, board.probe, program.data, program.entry, lambda _: None)
        return _wait_for_exit_code(link, limit_s), link.running.says


def _wait_for_exit_code(link: openocd.Session, limit_s: float) -> int:
    """Wait for the program's end and return its exit code. Errors: E502 time limit exceeded."""
    end = time.monotonic() + limit_s
    while not (word := link.word(EXIT_REGISTER)) & HAS_ENDED:
        if time.monotonic() > end:
            facts = {"limit": f"{limit_s:g} s", "OpenOCD says": link.running.says[-300:]}
            tries = ["reset the board and try again", "--on simulator"]
            raise MyoedgeError("E502", "the firmware did not finish", facts, tries)
        time.sleep(POLL_S)
    return word & ~HAS_ENDED
