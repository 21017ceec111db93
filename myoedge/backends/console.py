# SPDX-License-Identifier: Apache-2.0
"""Frames over a serial line: questions to the application on a board, and its answers.

docs/boards.md has the layout. A question has a number and one answer of the same number; what does
not come through is asked again, so every question may be answered twice without harm.
"""

from __future__ import annotations

import contextlib
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from myoedge.errors import MyoedgeError

MAGIC = b"\xa5\x5aME"
MOST_PAYLOAD = 1032
PART = 1024  # bytes of inputs or results in a frame
TRIES = 4
PATIENCE_S = 2.0  # for an answer that nothing is computed for
GREETING_S = 5.0  # a board that has just been started
DAMAGED = 1

_HEAD = struct.Struct("<cBH")
_CRC = struct.Struct("<I")
_IDENTITY = struct.Struct("<4I")
_VERSION = 1

REFUSALS = {2: "it does not know the question", 3: "outside of its inputs or results", 4: "not run"}


@dataclass(frozen=True, slots=True)
class Line:
    """Where a board's application listens."""

    port: str
    baud_rate: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One message; `kind` is a letter, a question's small, an answer's capital."""

    kind: str
    number: int
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Identity:
    """What an application says of itself; `marker` names its chip and its build."""

    input_bytes: int
    output_bytes: int
    layers: int
    marker: str


class Port(Protocol):
    """A serial line: read gives what came within some 50 ms, at most so many bytes."""

    def read(self, size: int) -> bytes: ...
    def write(self, data: bytes) -> int | None: ...


def encode(frame: Frame) -> bytes:
    """A frame as bytes."""
    body = _HEAD.pack(frame.kind.encode(), frame.number, len(frame.payload)) + frame.payload
    return MAGIC + body + _CRC.pack(zlib.crc32(body))


def decode(data: bytes) -> tuple[list[Frame], bytes]:
    """The whole frames in what came, and what may be the start of one; anything else is skipped."""
    found: list[Frame] = []
    while (at := data.find(MAGIC)) >= 0:
        body = data[at + len(MAGIC) :]
        if len(body) < _HEAD.size:
            return found, data[at:]
        kind, number, size = _HEAD.unpack_from(body)
        end = _HEAD.size + size
        if size > MOST_PAYLOAD:
            data = body
        elif len(body) < end + _CRC.size:
            return found, data[at:]
        elif _CRC.unpack_from(body, end)[0] != zlib.crc32(body[:end]):
            data = body
        else:
            found.append(Frame(kind.decode("latin-1"), number, body[_HEAD.size : end]))
            data = body[end + _CRC.size :]
    return found, data[-len(MAGIC) + 1 :]


class Conversation:
    """Questions and answers over a port; counts the questions, keeps the start of a frame."""

    def __init__(self, port: Port) -> None:
        self.port, self.number, self.rest, self.heard = port, 0, b"", 0

    def ask(self, kind: str, payload: bytes = b"", patience_s: float | None = None) -> bytes:
        """The answer's payload.

        patience_s   for the answer, PATIENCE_S without it
        Errors: E604 silence, E605 nothing that makes sense, E607 unplugged, E608 it refuses.
        """
        patience_s = patience_s or PATIENCE_S
        self.number = self.number % 255 + 1
        question, self.heard = encode(Frame(kind, self.number, payload)), 0
        for _ in range(TRIES):
            self._write(question)
            answer = self._answer(patience_s)
            if answer is None:
                self._write(bytes(MOST_PAYLOAD + 16))  # ends a frame that it may be waiting in
            elif answer.kind == kind.upper():
                return answer.payload
            elif answer.payload[:1] != bytes((DAMAGED,)):
                raise _refused(kind, answer)
        raise _no_answer(self.heard, patience_s)

    def identity(self) -> Identity:
        """Who is there. Errors: as ask; E606 an application of another version."""
        payload = self.ask("i", patience_s=GREETING_S / TRIES)
        if len(payload) < _IDENTITY.size or _IDENTITY.unpack_from(payload)[0] != _VERSION:
            raise MyoedgeError("E606", "the board runs another program", {"says": payload[:80]})
        _, inputs, outputs, layers = _IDENTITY.unpack_from(payload)
        marker = payload[_IDENTITY.size :].decode("latin-1")
        return Identity(inputs, outputs, layers, marker)

    def put_inputs(self, data: bytes) -> None:
        """All inputs, one behind the other, from the first byte on. Errors: as ask."""
        for at in range(0, len(data), PART):
            self.ask("w", struct.pack("<I", at) + data[at : at + PART])

    def run(self, times: int, patience_s: float) -> None:
        """The network, so often, within so many seconds. Errors: as ask."""
        self.ask("r", struct.pack("<I", times), patience_s)

    def restart(self) -> None:
        """Forgets the frames of a stream. Errors: as ask."""
        self.ask("z")

    def results(self, size: int) -> bytes:
        """Outputs, behind them cycles by layer and of all: `size` bytes. Errors: as ask."""
        parts = [
            self.ask("g", struct.pack("<II", at, min(PART, size - at)))
            for at in range(0, size, PART)
        ]
        found = b"".join(parts)
        if len(found) != size:
            raise MyoedgeError("E608", "the board gave other results than were asked for")
        return found

    def _answer(self, patience_s: float) -> Frame | None:
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            came = self._read()
            self.heard += len(came)
            frames, self.rest = decode(self.rest + came)
            for frame in frames:
                if frame.number == self.number or _says_damaged(frame):
                    return frame
        return None

    def _read(self) -> bytes:
        with unplugged():
            return self.port.read(4 * MOST_PAYLOAD)

    def _write(self, data: bytes) -> None:
        with unplugged():
            self.port.write(data)


def _says_damaged(frame: Frame) -> bool:
    """Then the board does not know the question's number."""
    return frame.kind == "N" and frame.payload[:1] == bytes((DAMAGED,))


def _refused(kind: str, answer: Frame) -> MyoedgeError:
    why = REFUSALS.get(answer.payload[0], "?") if answer.payload else "?"
    facts = {"asked": kind, "answered": f"{answer.kind}: {why}"}
    tries = ["reset the board", "myoedge flash  brings the application of this build to it"]
    return MyoedgeError("E608", "the board does not do what it is asked for", facts, tries)


def _no_answer(heard: int, patience_s: float) -> MyoedgeError:
    if heard == 0:
        return MyoedgeError(
            "E604",
            "the board says nothing",
            {"waited": f"{TRIES} times {patience_s:g} s"},
            [
                "is the application flashed, and built with -DME_UART=ON? myoedge flash",
                "--port: a probe has several serial ports, the console is one of them",
                "reset the board",
            ],
        )
    return MyoedgeError(
        "E605",
        "what the board says makes no sense",
        {"heard": f"{heard:,} bytes, no whole frame among them"},
        ["-DME_BAUD_RATE of the application and baud_rate of the board must be the same", "--port"],
    )


@contextmanager
def unplugged() -> Iterator[None]:
    """Errors: E607 where the line is gone."""
    try:
        yield
    except OSError as error:  # pyserial's SerialException is one
        facts = {"cause": str(error).splitlines()[0] if str(error) else type(error).__name__}
        raise MyoedgeError(
            "E607",
            "the line to the board broke",
            facts,
            ["plug the board in again, and run the command again: nothing was changed here"],
        ) from None


@contextmanager
def open_line(line: Line) -> Iterator[Conversation]:
    """A conversation over a serial port. Errors: E501 no pyserial, E603 it does not open."""
    with open_port(line) as port:
        yield Conversation(port)


@contextmanager
def open_port(line: Line) -> Iterator[Port]:
    """A serial port. Errors: as open_line."""
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
