# SPDX-License-Identifier: Apache-2.0
"""A serial port of this computer, opened with pyserial."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from myoedge.errors import MyoedgeError


@dataclass(frozen=True, slots=True)
class SerialLine:
    """Serial connection to a board's console.

    port        serial device
    baud_rate   bits per second
    """

    port: str
    baud_rate: int


class SerialPort(Protocol):
    """Protocol of a serial port; read returns the bytes that arrive within 50 ms, at most `size`.

    in_waiting   number of received bytes that read returns at once
    """

    @property
    def in_waiting(self) -> int: ...
    def read(self, size: int) -> bytes: ...
    def write(self, data: bytes) -> int | None: ...


@contextmanager
def unplug_errors() -> Iterator[None]:
    """Context manager that converts errors of a broken serial connection to E607."""
    try:
        yield
    except OSError as error:  # including pyserial's SerialException
        facts = {"cause": str(error).splitlines()[0] if str(error) else type(error).__name__}
        tries = ["connect the board and run the command again"]
        raise MyoedgeError("E607", "the serial line to the board broke", facts, tries) from None


@contextmanager
def open_port(line: SerialLine) -> Iterator[SerialPort]:
    """Context manager that opens a serial port. Errors: E501 no
    pyserial, E603 it does not open."""
    try:
        import serial
    except ImportError:
        tries = ['pip install "pyserial>=3.5"']
        raise MyoedgeError("E501", "the package pyserial is missing", tries=tries) from None
    try:
        port = serial.Serial(line.port, line.baud_rate, timeout=0.05, write_timeout=5)
    except (OSError, ValueError) as error:
        facts = {"port": line.port, "cause": error}
        tries = ["myoedge doctor  lists the serial ports", "is another program using it?"]
        raise MyoedgeError("E603", "the serial port does not open", facts, tries) from None
    try:
        yield port
    finally:
        with contextlib.suppress(OSError):
            port.close()
