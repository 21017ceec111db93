# SPDX-License-Identifier: Apache-2.0
"""Packets of the sensor application, read from a serial port or from a file of recorded bytes, and
decisions sent as a stream of the Lab Streaming Layer (LSL)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from myoedge.backends.packets import BrokenFrame, Decision, Record, records
from myoedge.backends.serial_port import SerialLine, SerialPort, open_port, unplug_errors
from myoedge.catalogue import warning
from myoedge.errors import MyoedgeError, Notice, command
from myoedge.system.regular_files import open_regular
from myoedge.system.tools import install_command

SILENCE_S = 5.0  # without packets; the application sends a status every second
CHUNK_BYTES = 1 << 16
_PORT = re.compile(r"/dev/(?!shm/).*|COM\d+", re.IGNORECASE)


def records_from(source: str, baud_rate: int, warn: Callable[[Notice], None]) -> Iterator[Record]:
    """Yield the packets in a file, or those that arrive at a serial port until the connection
    breaks.

    source      file or serial device
    baud_rate   bits per second of the port
    warn        called with W603 if no packet arrives
    Broken frames before the first packet of a port are skipped, as reading may begin within a
    frame. Errors: E501, E603 the port does not open; E607 the connection breaks; E615 no such file;
    E616 a file without packets.
    """
    path = Path(source)
    if not _PORT.fullmatch(source) and (not path.exists() or path.is_file() or path.is_dir()):
        yield from _records_of_file(path)
        return
    with open_port(SerialLine(source, baud_rate)) as port:
        yield from _records_of_port(port, baud_rate, warn)


def _records_of_file(path: Path) -> Iterator[Record]:
    has_packets = False
    for record in records(_chunks(path)):
        has_packets = has_packets or not isinstance(record, BrokenFrame)
        yield record
    if not has_packets:
        facts = {"file": path, "needs": "the bytes of the serial line, unchanged"}
        tries = [command("simulate", "BUILD", "--play", "RECORDING", "--save", "line.bin")]
        title = "the file holds no packet of the sensor application"
        raise MyoedgeError("E616", title, facts, tries)


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with open_regular(path) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        facts = {"source": path, "cause": error.strerror or error}
        tries = ["myoedge doctor  lists the serial ports"]
        raise MyoedgeError("E615", "no file or serial port to monitor", facts, tries) from None


def _records_of_port(
    port: SerialPort, baud_rate: int, warn: Callable[[Notice], None]
) -> Iterator[Record]:
    has_packets, received = False, 0
    report_s = time.monotonic() + SILENCE_S

    def chunks() -> Iterator[bytes]:
        nonlocal received, report_s
        while True:
            with unplug_errors():
                # Only what is available: a broken line would discard what a longer read holds.
                chunk = port.read(max(port.in_waiting, 1))
            received += len(chunk)
            if not has_packets and time.monotonic() > report_s:
                report_s = float("inf")
                values = {"waited": SILENCE_S, "received": received, "baud_rate": baud_rate}
                warn(warning("W603", {**values, "silent": not received}))
            yield chunk

    for record in records(chunks()):
        has_packets = has_packets or not isinstance(record, BrokenFrame)
        if has_packets:
            yield record


# --- Lab Streaming Layer --------------------------------------------------------------------------


LSL_STREAM, LSL_CONTENT = "myoedge", "Decisions"  # name and type of the LSL stream
IRREGULAR_HZ = 0.0


def lsl_sender(source: str) -> Callable[[Decision, float], None]:
    """Return a function (decision, time on the board in seconds) that sends the decision.

    source   identifier of the stream, by which receivers find it again after an interruption
    Channels: time_s, class (-1: none), score, value_0 and further ones if packets have values. The
    stream appears with the first decision. Errors: E501 pylsl is missing.
    """
    try:
        import pylsl
    except (ImportError, RuntimeError) as error:  # pylsl raises RuntimeError without liblsl
        facts, tries = {"cause": str(error).splitlines()[0]}, [install_command("lsl")]
        raise MyoedgeError("E501", "--lsl needs pylsl", facts, tries) from None
    outlets: dict[int, Any] = {}  # by number of values; a restart may begin another application

    def send(decision: Decision, time_s: float) -> None:
        count = len(decision.values)
        if count not in outlets:
            outlets.clear()
            outlets[count] = _outlet(pylsl, source, count)
        index = -1 if decision.class_index is None else decision.class_index
        outlets[count].push_sample([time_s, float(index), float(decision.score), *decision.values])

    return send


def _outlet(pylsl: Any, source: str, value_count: int) -> Any:
    labels = ["time_s", "class", "score", *(f"value_{i}" for i in range(value_count))]
    form = pylsl.cf_double64
    stream = pylsl.StreamInfo(LSL_STREAM, LSL_CONTENT, len(labels), IRREGULAR_HZ, form, source)
    channels = stream.desc().append_child("channels")
    for label in labels:
        channels.append_child("channel").append_child_value("label", label)
    return pylsl.StreamOutlet(stream)
