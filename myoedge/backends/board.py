# SPDX-License-Identifier: Apache-2.0
"""The backend "board": a build's GAP SDK application, controlled over a serial line."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.backends.console import Identity, SerialLine, open_line
from myoedge.backends.measurement import (
    Inference,
    LayerCost,
    Measurement,
    Spec,
    input_bytes,
    outputs_of,
)
from myoedge.backends.meter import PowerMeter, PowerTrace
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.targets.boards import Board

RUN_S = 60.0  # per inference


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
        raise _not_one(devices, ids)
    return SerialLine(devices[0], board.console.baud_rate)


def _not_one(devices: Sequence[str], ids: Iterable[str]) -> MyoedgeError:
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
