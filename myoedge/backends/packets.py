# SPDX-License-Identifier: Apache-2.0
"""Packets of the sensor application, decoded from the bytes of its serial line.

A packet is a COBS frame that ends with a zero byte; docs/wearable/sensor.md has the layout.
Decoding resumes after the next zero byte, so that damaged bytes cost only their own frames.
"""

from __future__ import annotations

import binascii
import enum
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

VERSION = 1
MAX_FRAME_BYTES = 4096  # without the terminating zero byte
SAMPLE_KIND = 16  # message from a device with a sample
COMMAND_KIND = 17  # message to an adapting application
COMMANDS = ("begin", "label", "end", "reset")  # in order of their numbers
NO_LABEL, PSEUDO_LABEL = 0xFFFF, 0xFFFE
NO_CLASS = 0xFFFF  # the outputs are no class scores

_HEAD = struct.Struct("<BBHIIH")  # kind, version, sequence, time, frame, flags
_SAMPLE = struct.Struct("<BBH")  # kind, version, number
_COMMAND = struct.Struct("<BBBBH")  # kind, version, command, 0, argument
_ADAPTED = struct.Struct("<Bi")
_CRC = struct.Struct("<H")
_CLASS = struct.Struct("<Hh")
_VALUES = struct.Struct("<BH")
_STATUS = struct.Struct("<7IQ")
_START = struct.Struct("<8sHIHB")
_VALUE_TYPES = {1: "b", 2: "h", 4: "i"}
_RESTARTS = ("reset", "watchdog", "deep sleep", "software")


class Flags(enum.IntFlag):
    """Bit flags of a packet: events since the last decision, and RESTING of a decision that was
    made without the network."""

    SAMPLES_LOST = 1
    ELECTRODE_OPEN = 2
    SATURATED = 4
    SPI_ERROR = 8
    FRONT_END_RESET = 16
    PASSES_SKIPPED = 32
    WATCHDOG = 64
    RESTING = 128


@dataclass(frozen=True, slots=True)
class Packet:
    """Fields of every packet.

    sequence   number of the packet, modulo 2^16; packets that were not sent have one too
    time_us    time of the last sample since the start of the application, modulo 2^32
    frame      number of that sample since the start, lost samples included, modulo 2^32
    """

    sequence: int
    time_us: int
    frame: int
    flags: Flags

    @property
    def events(self) -> Flags:
        """Flags of events since the last decision."""
        return self.flags & ~Flags.RESTING

    @property
    def is_resting(self) -> bool:
        return bool(self.flags & Flags.RESTING)


@dataclass(frozen=True, slots=True)
class Start(Packet):
    """First packet after a start of the application.

    digest     first 16 hexadecimal digits of the model's digest
    classes    number of classes; 0 if the outputs are not scores of classes
    restart    "reset", "watchdog", "deep sleep", "software"
    """

    digest: str
    channels: int
    rate_hz: float
    classes: int
    restart: str


@dataclass(frozen=True, slots=True)
class Decision(Packet):
    """Result of one pass of the network.

    class_index   class with the largest output; None if the outputs are not scores of classes
    score         integer of that output
    values        all integers of the first output, with [sensor] packets = "outputs"; else ()
    """

    class_index: int | None
    score: int
    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Status(Packet):
    """Packet with counts of events since the start of the application.

    frames_lost         samples lost
    saturated           samples with a saturated channel
    spi_errors          SPI transfers that were no sample
    resets              times that the front end was started again
    passes_skipped      passes of the network skipped because the ring buffer was full
    overruns            data-ready events that were no sample
    watchdog_restarts   restarts by the watchdog
    open_electrodes     bit mask, not a count: bit a is set if the electrode of channel a is open
    """

    frames_lost: int
    saturated: int
    spi_errors: int
    resets: int
    passes_skipped: int
    overruns: int
    watchdog_restarts: int
    open_electrodes: int


@dataclass(frozen=True, slots=True)
class CommandAnswer(Packet):
    """Answer to a command of `command_message`, sent after the command has run.

    command   its name
    result    return value of the function in me_adapt.h: less than 0 if refused; for "end", 1 if
              the new
    classifier is used
    """

    command: str
    result: int


@dataclass(frozen=True, slots=True)
class BrokenFrame:
    """A received frame that is not a valid packet.

    why   the reason
    """

    why: str


Record = Start | Decision | Status | CommandAnswer | BrokenFrame


def decoded(line: bytes) -> list[tuple[int, Record]]:
    """Decode all frames in received bytes; return (offset of the frame's zero byte, record) for
    each."""
    found: list[tuple[int, Record]] = []
    start = 0
    while (end := line.find(0, start)) >= 0:
        if end > start:
            found.append((end, record_of(line[start:end])))
        start = end + 1
    return found


def records(chunks: Iterable[bytes]) -> Iterator[Record]:
    """Yield a packet, or BrokenFrame, for every received frame.

    chunks   received bytes, in chunks that need not end with a frame
    """
    rest = b""
    for chunk in chunks:
        *frames, rest = (rest + chunk).split(b"\0")
        yield from map(record_of, filter(None, frames))
        rest = rest[: MAX_FRAME_BYTES + 1]  # a longer frame is invalid


def record_of(frame: bytes) -> Record:
    """Decode a COBS frame without its zero byte; return its packet, or a BrokenFrame."""
    body = unstuffed(frame) if len(frame) <= MAX_FRAME_BYTES else None
    if body is None:
        return BrokenFrame("no COBS frame" if len(frame) <= MAX_FRAME_BYTES else "no end")
    if len(body) < _HEAD.size + _CRC.size:
        return BrokenFrame(f"{len(body)} bytes are too few")
    content, crc = body[: -_CRC.size], _CRC.unpack(body[-_CRC.size :])[0]
    if binascii.crc_hqx(content, 0xFFFF) != crc:
        return BrokenFrame("CRC")
    kind, version, sequence, time_us, sample, flags = _HEAD.unpack_from(content)
    if version != VERSION or kind not in _CONTENTS:
        return BrokenFrame(f"packet of kind {kind}, version {version}")
    head = Packet(sequence, time_us, sample, Flags(flags))
    record = _CONTENTS[kind](head, content[_HEAD.size :])
    return record or BrokenFrame(f"packet of kind {kind} with {len(content)} bytes")


def unstuffed(frame: bytes) -> bytes | None:
    """Return the bytes that a COBS frame encodes; None if it is invalid."""
    parts, at = [], 0
    while at < len(frame):
        size = frame[at]
        block = frame[at + 1 : at + size]
        if size == 0 or len(block) < size - 1 or 0 in block:
            return None
        at += size
        has_zero = size < 0xFF and at < len(frame)
        parts.append(block + b"\0" * has_zero)
    return b"".join(parts)


def sample_message(number: int, counts: bytes) -> bytes:
    """Return the message by which a device sends one sample to an application with front_end =
    "uart": a COBS frame with its zero byte.

    number   number of the sample, modulo 2^16
    counts   converter values, signed integers, most significant byte first
    """
    content = _SAMPLE.pack(SAMPLE_KIND, VERSION, number % 2**16) + counts
    return stuffed(content + _CRC.pack(binascii.crc_hqx(content, 0xFFFF)))


def command_message(command: str, argument: int = 0) -> bytes:
    """Return the message of a command, one of COMMANDS, to a sensor application with [adapt]: a
    COBS frame with its zero byte (myoedge/extensions/sensor/firmware/labels.h).

    argument   of "begin" the method (its place in adaptation.table.METHODS, plus 1), of "label"
               the class, NO_LABEL or PSEUDO_LABEL
    """
    number = COMMANDS.index(command) + 1
    content = _COMMAND.pack(COMMAND_KIND, VERSION, number, 0, argument)
    return stuffed(content + _CRC.pack(binascii.crc_hqx(content, 0xFFFF)))


def stuffed(data: bytes) -> bytes:
    """Encode bytes as a COBS frame with its zero byte; the inverse of `unstuffed`."""
    blocks = (data + b"\0").split(b"\0")[:-1]
    parts = []
    for block in blocks:
        *full, rest = (block[at : at + 254] for at in range(0, len(block) + 1, 254))
        parts += [b"\xff" + run for run in full]
        parts.append(bytes([len(rest) + 1]) + rest)
    return b"".join(parts) + b"\0"


def _decode_decision(head: Packet, content: bytes) -> Decision | None:
    if len(content) != _CLASS.size:
        return None
    class_index, score = _CLASS.unpack(content)
    return Decision(**_head_fields(head), class_index=_class_number(class_index), score=score)


def _decode_outputs(head: Packet, content: bytes) -> Decision | None:
    start = _CLASS.size + _VALUES.size
    if len(content) < start:
        return None
    class_index, score = _CLASS.unpack_from(content)
    size_bytes, count = _VALUES.unpack_from(content, _CLASS.size)
    code = _VALUE_TYPES.get(size_bytes)
    if code is None or len(content) != start + size_bytes * count:
        return None
    values = struct.unpack_from(f"<{count}{code}", content, start)
    return Decision(
        **_head_fields(head), class_index=_class_number(class_index), score=score, values=values
    )


def _decode_answer(head: Packet, content: bytes) -> CommandAnswer | None:
    if len(content) != _ADAPTED.size:
        return None
    number, result = _ADAPTED.unpack(content)
    name = COMMANDS[number - 1] if 0 < number <= len(COMMANDS) else f"command {number}"
    return CommandAnswer(**_head_fields(head), command=name, result=result)


def _decode_status(head: Packet, content: bytes) -> Status | None:
    names = Status.__match_args__[len(Packet.__match_args__) :]
    if len(content) != _STATUS.size:
        return None
    counts = zip(names, _STATUS.unpack(content), strict=True)
    return Status(**_head_fields(head), **dict(counts))


def _decode_start(head: Packet, content: bytes) -> Start | None:
    if len(content) != _START.size:
        return None
    digest, channels, rate_mhz, classes, cause = _START.unpack(content)
    return Start(
        **_head_fields(head),
        digest=digest.hex(),
        channels=channels,
        rate_hz=rate_mhz / 1000,
        classes=classes,
        restart=_RESTARTS[cause] if cause < len(_RESTARTS) else f"cause {cause}",
    )


def _head_fields(head: Packet) -> dict[str, Any]:
    return {name: getattr(head, name) for name in Packet.__match_args__}


def _class_number(number: int) -> int | None:
    return None if number == NO_CLASS else number


_CONTENTS: dict[int, Callable[[Packet, bytes], Record | None]] = {
    1: _decode_decision,
    2: _decode_status,
    3: _decode_start,
    4: _decode_outputs,
    5: _decode_answer,
}
