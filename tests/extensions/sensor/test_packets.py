"""Packets of the sensor application: decoded from sound lines, from pieces, and after damage."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myoedge.backends.packets import (
    BrokenFrame,
    Decision,
    Flags,
    Packet,
    Start,
    Status,
    decoded,
    record_of,
    records,
    unstuffed,
)
from tests.extensions.sensor.packets import CAUSES, crc16, encoded, stuffed
from tests.support.each import each

U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
HEAD = {
    "sequence": U16,
    "time_us": U32,
    "frame": U32,
    "flags": st.builds(Flags, st.integers(0, 255)),
}
INT16 = st.integers(-(1 << 15), (1 << 15) - 1)
DECISIONS = st.builds(Decision, **HEAD, class_index=st.none() | st.integers(0, 0xFFFE), score=INT16)
OUTPUTS = st.builds(
    Decision,
    **HEAD,
    class_index=st.none() | st.integers(0, 0xFFFE),
    score=INT16,
    values=st.lists(st.integers(-128, 127), min_size=1, max_size=600).map(tuple),
)
COUNTS = [name for name in Status.__match_args__ if name not in Packet.__match_args__]
STATUSES = st.builds(
    Status, **HEAD, **{**dict.fromkeys(COUNTS, U32), "open_electrodes": st.integers(0, 2**64 - 1)}
)
STARTS = st.builds(
    Start,
    **HEAD,
    digest=st.binary(min_size=8, max_size=8).map(bytes.hex),
    channels=U16,
    rate_hz=U32.map(lambda n: n / 1000),
    classes=U16,
    restart=st.sampled_from([*CAUSES]),
)
PACKETS = st.lists(DECISIONS | OUTPUTS | STATUSES | STARTS, max_size=6)


def found_in(line: bytes) -> list[object]:
    return [record for _, record in decoded(line)]


def test_the_crc_is_the_one_of_the_catalogue() -> None:
    assert crc16(b"123456789") == 0x29B1  # CRC-16/CCITT-FALSE's check value


@pytest.mark.parametrize(
    ("plain", "frame"),
    [  # Cheshire and Baker, and the tables that are cited for it
        ("00", "0101"),
        ("0000", "010101"),
        ("00 11 00", "01021101"),
        ("11 22 00 33", "031122 0233"),
        ("11 22 33 44", "0511223344"),
        ("11 00 00 00", "0211010101"),
        (bytes(range(1, 255)).hex(), "ff" + bytes(range(1, 255)).hex()),
        (bytes(range(255)).hex(), "01ff" + bytes(range(1, 255)).hex()),
        (bytes(range(1, 256)).hex(), "ff" + bytes(range(1, 255)).hex() + "02ff"),
        ((bytes(range(2, 256)) + b"\0").hex(), "ff" + bytes(range(2, 256)).hex() + "0101"),
        ((bytes(range(3, 256)) + b"\0\1").hex(), "fe" + bytes(range(3, 256)).hex() + "0201"),
    ],
)
def test_published_frames(plain: str, frame: str) -> None:
    assert unstuffed(bytes.fromhex(frame)) == bytes.fromhex(plain)


@given(st.binary(max_size=1200) | st.lists(st.sampled_from(b"\0\1\xff"), max_size=900).map(bytes))
def test_stuffing_is_undone(data: bytes) -> None:
    frame = stuffed(data)
    assert frame.index(0) == len(frame) - 1
    assert unstuffed(frame[:-1]) == data


@given(PACKETS)
def test_a_sound_line_gives_its_packets_and_where_they_end(packets: list[Packet]) -> None:
    frames = [encoded(packet) for packet in packets]
    ends = [len(b"".join(frames[: n + 1])) - 1 for n in range(len(frames))]
    assert decoded(b"".join(frames)) == [*zip(ends, packets, strict=True)]


@given(PACKETS, st.lists(st.integers(0, 3000), max_size=8))
def test_pieces_give_the_same_records_wherever_they_are_cut(
    packets: list[Packet], cuts: list[int]
) -> None:
    line = b"\0" + b"".join(map(encoded, packets)) + b"\1\2" + bytes([9]) * 5000 + b"\0"
    edges = [0, *sorted(cuts), len(line)]
    chunks = [line[a:b] for a, b in itertools.pairwise(edges)]
    assert [*records(chunks)] == found_in(line) == [*packets, BrokenFrame("no end")]


@given(PACKETS, st.sampled_from([1, 2, 4]), st.randoms(use_true_random=False))
def test_values_have_one_two_or_four_bytes(
    packets: list[Packet], size: int, rng: random.Random
) -> None:
    limit = 1 << (8 * size - 1)
    values = tuple(rng.randrange(-limit, limit) for _ in range(5))
    sent = [Decision(1, 2, 3, Flags(0), None, 7, values)]
    assert found_in(encoded(sent[0], size)) == sent


def damaged(line: bytes, rng: random.Random) -> tuple[bytes, set[int]]:
    """A line with drawn bit errors, lost and added bytes; the places that they touch."""
    data, touched = [*line], set()
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(line))
        touched.add(at)
        data[at] = rng.choice([data[at] ^ 1 << rng.randrange(8) if data[at] >= 0 else -1, -1])
    return bytes(x for x in data if x >= 0), touched


@each("seed", range(200))
def test_damage_costs_only_the_frames_that_it_touches(seed: int) -> None:
    """Every frame is found whose bytes, and the zero byte before, are untouched; no other packet
    is found than one that was sent."""
    rng = random.Random(seed)
    sent = [
        Decision(n, rng.getrandbits(32), n * 16, Flags(rng.randrange(256)), rng.randrange(9), n - 9)
        for n in range(20)
    ]
    frames = [encoded(packet) for packet in sent]
    line, touched = damaged(b"".join(frames), rng)
    ends = [sum(map(len, frames[: n + 1])) for n in range(20)]
    sound = [
        packet
        for packet, frame, end in zip(sent, frames, ends, strict=True)
        if touched.isdisjoint(range(end - len(frame) - 1, end))
    ]
    found = [record for record in found_in(line) if not isinstance(record, BrokenFrame)]
    assert [packet for packet in sound if packet not in found] == []
    assert [packet for packet in found if packet not in sent] == []


@each("seed", range(50))
def test_every_error_of_one_or_two_bits_in_the_content_is_found(seed: int) -> None:
    """CRC-16/CCITT finds them in packets of this length; the frame's structure the others."""
    rng = random.Random(seed)
    frame = bytearray(encoded(Decision(seed, 7, 16, Flags(0), 3, 5))[:-1])
    for bit in rng.sample(range(8 * len(frame)), rng.choice([1, 2])):
        frame[bit // 8] ^= 1 << bit % 8
    assert {type(record) for record in found_in(bytes(frame) + b"\0")} <= {BrokenFrame}


def framed(*values: int, more: bytes = b"") -> bytes:
    body = bytes(values) + bytes(12) + more
    return stuffed(body + crc16(body).to_bytes(2, "little"))[:-1]


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (b"\5ab", "no COBS frame"),
        (b"\1", "0 bytes are too few"),
        (framed(1, 2, more=bytes(4)), "packet of kind 1, version 2"),
        (framed(9, 1, more=bytes(4)), "packet of kind 9, version 1"),
        (framed(1, 1, more=bytes(5)), "packet of kind 1 with 19 bytes"),
        (framed(4, 1, more=bytes(4) + b"\3\1\0" + bytes(3)), "packet of kind 4 with 24 bytes"),
        (framed(4, 1, more=bytes(6)), "packet of kind 4 with 20 bytes"),
    ],
)
def test_what_is_no_packet_has_a_reason(frame: bytes, why: str) -> None:
    assert record_of(frame) == BrokenFrame(why)
