# SPDX-License-Identifier: Apache-2.0
"""The board rung: the GAP SDK application of a build, over its serial line."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.backends.console import Conversation, Identity, Line, open_line
from myoedge.backends.measurement import (
    Inference,
    LayerCost,
    Measurement,
    Spec,
    input_bytes,
    outputs_of,
)
from myoedge.backends.meter import PowerMeter, Recorded
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.targets.boards import Board

RUN_S = 60.0  # for an inference


@dataclass(frozen=True, slots=True)
class Turn:
    """What goes to the board for one result, in the model's order.

    inputs    of an inference; of a stream's pass, frame by frame
    restarts  a stream begins with it
    """

    inputs: Sequence[Sequence[Array]]
    restarts: bool = False


def find_line(board: Board, port: str | None = None, ports: Iterable[tuple[str, str]] = ()) -> Line:
    """Where the console of a board is.

    port    as given by a person; else the board's own, else the one serial port of its probe
    ports   (device, "vendor:product") of what is plugged in
    Errors: E601 nothing or too much is plugged in, E602 the board has no console.
    """
    if board.console is None:
        tries = ["[console] in a board.toml of your own: --board ./my/board.toml"]
        raise MyoedgeError("E602", f"nothing is known of a console of {board.name}", tries=tries)
    if port or board.console.port:
        return Line(port or board.console.port, board.console.baud_rate)
    ids = {usb_id.lower() for usb_id in (board.probe.usb_ids if board.probe else ())}
    found = [device for device, usb_id in ports if usb_id.lower() in ids]
    if len(found) != 1:
        title = "no board is plugged in" if not found else "several serial ports could be it"
        facts = {
            "looked for": f"USB {', '.join(sorted(ids)) or '?'}",
            "found": ", ".join(found) or "none",
        }
        tries = ["plug it in, and switch it on", "--port /dev/ttyUSB1, say"]
        raise MyoedgeError("E601", title, facts, tries)
    return Line(found[0], board.console.baud_rate)


def plugged_in() -> list[tuple[str, str]]:
    """(device, "vendor:product") of every serial port on USB; none where pyserial is missing."""
    try:
        from serial.tools import list_ports
    except ImportError:
        return []
    return [(p.device, f"{p.vid:04x}:{p.pid:04x}") for p in list_ports.comports() if p.vid]


def check_identity(found: Identity, marker: str) -> None:
    """Errors: E606 where the board runs another build, or another program."""
    if found.marker == marker:
        return
    facts = {"needs": marker, "has": found.marker}
    tries = ["myoedge flash  brings the application of this build to the board"]
    raise MyoedgeError("E606", "the board runs another build", facts, tries)


def run_on_board(
    line: Line, marker: str, turns: Sequence[Turn], specs: Sequence[Spec], layers: int
) -> Measurement:
    """Inferences, or passes of streams, one after another.

    marker   what the application must say of itself
    specs    shape and dtype of the outputs
    Errors: E603 .. E608.
    """
    with open_line(line) as talk:
        found = talk.identity()
        check_identity(found, marker)
        sizes = (sum(x.nbytes for x in turns[0].inputs[0]), _bytes(specs), layers)
        if (found.input_bytes, found.output_bytes, found.layers) != sizes:
            raise MyoedgeError("E606", "the board's application has other inputs and outputs")
        return Measurement("board", tuple(_infer(talk, x, specs, layers) for x in turns))


def measure_on_board(
    line: Line, marker: str, sample: Sequence[Array], times: int, meter: PowerMeter
) -> Recorded:
    """The same inference so often, while a meter records. Errors: as run_on_board, E614."""
    with open_line(line) as talk:
        check_identity(talk.identity(), marker)
        talk.put_inputs(input_bytes([sample]))
        return meter.record(lambda: _run_often(talk, times))


def _run_often(talk: Conversation, times: int) -> None:
    for _ in range(times):
        talk.run(1, RUN_S)


def _bytes(specs: Sequence[Spec]) -> int:
    return sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in specs)


def _infer(talk: Conversation, turn: Turn, specs: Sequence[Spec], layers: int) -> Inference:
    if turn.restarts:
        talk.restart()
    for inputs in turn.inputs:
        talk.put_inputs(input_bytes([inputs]))
        talk.run(1, RUN_S)
    size = _bytes(specs)
    data = talk.results(size + 4 * (layers + 1))
    cycles = struct.unpack(f"<{layers + 1}I", data[size:])
    (outputs,) = outputs_of(data[:size], specs, 1)
    return Inference(outputs, cycles[-1], tuple(LayerCost(n) for n in cycles[:-1]))
