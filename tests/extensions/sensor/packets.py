"""The sender's side of the packets, by definition: bit-serial CRC, COBS run by run."""

from __future__ import annotations

import struct

from myoedge.backends.packets import Decision, Packet, Start, Status

CAUSES = {"reset": 0, "watchdog": 1, "deep sleep": 2, "software": 3}


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: the remainder of the message's polynomial, bit by bit."""
    remainder = 0xFFFF
    for bit in (byte >> n & 1 for byte in data for n in range(7, -1, -1)):
        top = remainder >> 15
        remainder = (remainder << 1) & 0xFFFF ^ (0x1021 if top ^ bit else 0)
    return remainder


def stuffed(data: bytes) -> bytes:
    """COBS with the zero byte at its end: bytes up to a zero, or 254 of them, after their count."""
    left, frame = data + b"\0", b""
    while left:
        size = left.index(0)
        block = left[: min(size, 254)]
        frame += bytes([len(block) + 1]) + block
        left = left[len(block) :] if size >= 254 else left[size + 1 :]
    return frame + b"\0"


def encoded(packet: Packet, value_bytes: int = 1) -> bytes:
    """A packet as the firmware sends it."""
    kind, content = _content(packet, value_bytes)
    head = (kind, 1, packet.sequence, packet.time_us, packet.frame, packet.flags)
    body = struct.pack("<BBHIIH", *head) + content
    return stuffed(body + struct.pack("<H", crc16(body)))


def _content(packet: Packet, value_bytes: int) -> tuple[int, bytes]:
    if isinstance(packet, Status):
        counts = (packet.frames_lost, packet.saturated, packet.spi_errors, packet.resets)
        more = (packet.passes_skipped, packet.overruns, packet.watchdog_restarts)
        return 2, struct.pack("<7IQ", *counts, *more, packet.open_electrodes)
    if isinstance(packet, Start):
        digest, rate = bytes.fromhex(packet.digest), round(packet.rate_hz * 1000)
        cause = CAUSES[packet.restart]
        return 3, digest + struct.pack("<HIHB", packet.channels, rate, packet.classes, cause)
    assert isinstance(packet, Decision)
    index = 0xFFFF if packet.class_index is None else packet.class_index
    content = struct.pack("<Hh", index, packet.score)
    if not packet.values:
        return 1, content
    code = {1: "b", 2: "h", 4: "i"}[value_bytes]
    count = len(packet.values)
    return 4, content + struct.pack(f"<BH{count}{code}", value_bytes, count, *packet.values)
