# SPDX-License-Identifier: Apache-2.0
"""Requests to the application on a board over a serial line, and its answers.

docs/developers/gap-sdk.md has the layout. A request has a number, which its answer repeats. A
lost request is sent again, so that every request must be safe to repeat.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from myoedge.backends.serial_port import SerialLine, SerialPort, open_port, unplug_errors
from myoedge.errors import MyoedgeError

MAGIC = b"\xa5\x5aME"
MAX_PAYLOAD = 1032
CHUNK_BYTES = 1024  # input or result bytes per frame
TRIES = 4
ANSWER_TIMEOUT_S = 2.0  # for requests without computation
START_TIMEOUT_S = 5.0  # after a board is started
DAMAGED = b"\1"

_HEAD = struct.Struct("<cBH")
_CRC = struct.Struct("<I")
_IDENTITY = struct.Struct("<4I")
_VERSION = 1

REFUSAL_REASONS = {
    2: "it does not know the question",
    3: "outside of its inputs or results",
    4: "not run",
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the console's protocol.

    kind      a lower-case letter for a request, upper-case for an answer
    number    number by which an answer refers to its request
    payload   content
    """

    kind: str
    number: int
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Identity:
    """Data that an application on a board sends to identify itself.

    input_bytes, output_bytes   bytes of all inputs and of all outputs
    layers   number of layers
    marker   name of chip and build
    """

    input_bytes: int
    output_bytes: int
    layers: int
    marker: str


def encode(message: Message) -> bytes:
    """Return the bytes of a message."""
    body = _HEAD.pack(message.kind.encode(), message.number, len(message.payload)) + message.payload
    return MAGIC + body + _CRC.pack(zlib.crc32(body))


def decode(data: bytes) -> tuple[list[Message], bytes]:
    """Split received data into complete messages and the rest, which may begin another message;
    bytes outside messages are skipped."""
    messages: list[Message] = []
    while (start := data.find(MAGIC)) >= 0:
        body = data[start + len(MAGIC) :]
        if len(body) < _HEAD.size:
            return messages, data[start:]
        kind, number, size = _HEAD.unpack_from(body)
        end = _HEAD.size + size
        if size > MAX_PAYLOAD:
            data = body
        elif len(body) < end + _CRC.size:
            return messages, data[start:]
        elif _CRC.unpack_from(body, end)[0] != zlib.crc32(body[:end]):
            data = body
        else:
            messages.append(Message(kind.decode("latin-1"), number, body[_HEAD.size : end]))
            data = body[end + _CRC.size :]
    return messages, data[-len(MAGIC) + 1 :]


class Conversation:
    """Connection to a board that sends requests over a serial port and receives answers."""

    def __init__(self, port: SerialPort) -> None:
        self.port, self.number, self.rest, self.received = port, 0, b"", 0

    def ask(self, kind: str, payload: bytes = b"", timeout_s: float | None = None) -> bytes:
        """Send a request and return the payload of the answer.

        timeout_s   time limit for the answer; None: ANSWER_TIMEOUT_S
        Errors: E604 no answer, E605 no valid answer, E607 unplugged, E608 refused.
        """
        timeout_s = timeout_s or ANSWER_TIMEOUT_S
        self.number = self.number % 255 + 1
        question, self.received = encode(Message(kind, self.number, payload)), 0
        for _ in range(TRIES):
            self._write_all(question)
            answer = self._read_answer(timeout_s)
            if answer is None:
                self._write_all(bytes(MAX_PAYLOAD + 16))  # ends a frame that the board may await
            elif answer.kind == kind.upper():
                return answer.payload
            elif answer.payload[:1] != DAMAGED:
                reason = REFUSAL_REASONS.get(answer.payload[0], "?") if answer.payload else "?"
                facts = {"request": kind, "answer": f"{answer.kind}: {reason}"}
                write = "myoedge flash  writes the application of this build to it"
                tries = ["reset the board", write]
                raise MyoedgeError("E608", "the board refuses the request", facts, tries)
        if self.received:
            facts = {"received": f"{self.received:,} bytes, no complete message"}
            same = "-DME_BAUD_RATE of the application and baud_rate of the board must be the same"
            raise MyoedgeError("E605", "the board's answer is not valid", facts, [same, "--port"])
        tries = [
            "is the application flashed, and built with -DME_UART=ON? myoedge flash",
            "--port: a probe has several serial ports, the console is one of them",
            "reset the board",
        ]
        facts = {"waited": f"{TRIES} times {timeout_s:g} s"}
        raise MyoedgeError("E604", "the board does not answer", facts, tries)

    def identity(self) -> Identity:
        """Return the identity of the application. Errors: as ask; E606 an application of another
        version."""
        payload = self.ask("i", timeout_s=START_TIMEOUT_S / TRIES)
        if len(payload) < _IDENTITY.size or _IDENTITY.unpack_from(payload)[0] != _VERSION:
            raise MyoedgeError("E606", "the board runs another program", {"says": payload[:80]})
        _, inputs, outputs, layers = _IDENTITY.unpack_from(payload)
        marker = payload[_IDENTITY.size :].decode("latin-1")
        return Identity(inputs, outputs, layers, marker)

    def send_inputs(self, data: bytes) -> None:
        """Send all inputs, concatenated. Errors: as ask."""
        for at in range(0, len(data), CHUNK_BYTES):
            self.ask("w", struct.pack("<I", at) + data[at : at + CHUNK_BYTES])

    def run(self, times: int, timeout_s: float) -> None:
        """Run the network `times` times within `timeout_s` seconds. Errors: as ask."""
        self.ask("r", struct.pack("<I", times), timeout_s)

    def results(self, size: int) -> bytes:
        """Return outputs, cycles of every layer and total cycles, `size` bytes in all. Errors: as
        ask."""
        parts = [
            self.ask("g", struct.pack("<II", at, min(CHUNK_BYTES, size - at)))
            for at in range(0, size, CHUNK_BYTES)
        ]
        data = b"".join(parts)
        if len(data) != size:
            raise MyoedgeError("E608", "the board's results have the wrong size")
        return data

    def _read_answer(self, timeout_s: float) -> Message | None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with unplug_errors():
                received = self.port.read(4 * MAX_PAYLOAD)
            self.received += len(received)
            messages, self.rest = decode(self.rest + received)
            for message in messages:
                # A request that arrived damaged has no number in the answer.
                is_damaged = message.kind == "N" and message.payload[:1] == DAMAGED
                if message.number == self.number or is_damaged:
                    return message
        return None

    def _write_all(self, data: bytes) -> None:
        with unplug_errors():
            self.port.write(data)


def lines_heard(port: SerialPort) -> Iterator[str]:
    """Yield the lines that a board prints, and its messages in brackets, without sending requests,
    until the connection breaks.

    Errors: E607.
    """
    rest = b""
    while True:
        with unplug_errors():
            rest += port.read(4 * MAX_PAYLOAD)
        while (end := _end_of_line(rest)) is not None:
            line, rest = rest[:end], rest[end:]
            messages, _ = decode(line)
            for message in messages:
                yield f"[{message.kind}] {_replace_unprintable(message.payload, '')}"
            if line.strip() and not messages:
                yield _replace_unprintable(line.strip(), "?")


def _replace_unprintable(data: bytes, other: str) -> str:
    return "".join(chr(x) if 32 <= x < 127 else other for x in data)


def _end_of_line(data: bytes) -> int | None:
    """Return the length up to the first end of a line or start of a message; None without."""
    start, end = data.find(MAGIC), data.find(b"\n") + 1
    if start < 0 or 0 < end <= start:
        return end or None
    if start > 0:
        return start
    _, rest = decode(data)
    incomplete = rest.startswith(MAGIC) and len(rest) == len(data)
    if incomplete:
        return None
    size = int.from_bytes(data[6:8], "little") + len(MAGIC) + _HEAD.size + _CRC.size
    return min(size, len(data))


@contextmanager
def open_line(line: SerialLine) -> Iterator[Conversation]:
    """Context manager that opens a serial line as a Conversation. Errors: E501 no pyserial, E603 it
    does not open."""
    with open_port(line) as port:
        yield Conversation(port)
