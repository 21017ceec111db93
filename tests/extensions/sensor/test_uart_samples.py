# SPDX-License-Identifier: Apache-2.0
"""Samples that a device sends over the UART: their messages, and an application that takes them."""

from __future__ import annotations

import struct
from functools import reduce
from operator import or_

import numpy as np
import pytest

import myoedge
from myoedge.backends.build import Build
from myoedge.backends.packets import Flags, sample_message, stuffed, unstuffed
from myoedge.building.operating_points import planned_decision_s
from myoedge.simulator import Fault
from tests.extensions.sensor import applications, packets
from tests.support.each import each

LOST = Flags.SAMPLES_LOST


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Windows of microvolts, counts of 24 bits."""
    sensor = {"front_end": "uart", "bits": 24, "input_range": "0.4 V", "hop": 10}
    sensor |= {name: applications.ADS1298[name] for name in ("channels", "rate", "unit")}
    folder = tmp_path_factory.mktemp("line")
    return applications.built(folder, applications.Windows, 40, sensor=sensor)


@each("count", [0, 1, 253, 254, 255, 508, 700])
@each("values", [1, 2, 256])
def test_frames(count: int, values: int) -> None:
    data = np.random.default_rng(count).integers(0, values, count).astype(np.uint8).tobytes()
    assert unstuffed(stuffed(data)[:-1]) == data
    assert stuffed(data).index(0) == len(stuffed(data)) - 1
    if count % 254:  # the other form of a run of 254 bytes at the end has one byte less
        assert stuffed(data) == packets.stuffed(data)


def test_a_message() -> None:
    content = struct.pack("<BBH", 16, 1, 0xFFFE) + bytes([0, 1, 2, 0, 0, 255])
    with_crc = content + struct.pack("<H", packets.crc16(content))
    assert sample_message(0x1FFFE, content[4:]) == packets.stuffed(with_crc)


@pytest.mark.parametrize(
    ("fault", "lost", "flags"),
    [
        (None, 0, Flags(0)),
        (Fault(300, "missed"), 1, LOST),
        (Fault(300, "bit", 0), 1, LOST | Flags.SPI_ERROR),
        (Fault(300, "bit", 50), 1, LOST | Flags.SPI_ERROR),
        (Fault(300, "doubled", 8_000), 0, Flags(0)),  # cycles at 15 MHz
        (Fault(300, "jitter", 20_000), 0, Flags(0)),
    ],
)
def test_an_application(line: Build, fault: Fault | None, lost: int, flags: Flags) -> None:
    signal = np.random.default_rng(2).normal(0, 60, (500, 8))
    played = myoedge.play(line, signal, faults=[fault] if fault else [])
    assert not played.compared.wrong
    assert (played.compared.missing > 0) == bool(lost)
    assert played.samples_lost == lost
    found = [x.flags for x in played.decisions if x.flags]
    assert reduce(or_, found, Flags(0)) == flags
    assert len(found) <= 2, "an error may be known before the loss that it causes"
    assert played.latency is not None
    # a sample takes 0.32 ms on the line, and its bytes interrupt the encoding of a packet
    assert 0.0003 < played.latency.max_s <= planned_decision_s(line.report)


@pytest.mark.parametrize("late", range(0, 10_000, 1000))
def test_packets_end_while_bytes_come(line: Build, late: int) -> None:
    """At 15 MHz eight bytes come while a sample is taken, and fill the queue of events. A sample
    that is late by so many cycles moves them over the end of a packet, whose event is needed."""
    signal = np.random.default_rng(2).normal(0, 60, (500, 8))
    faults = [Fault(frame, "jitter", late) for frame in range(100, 500, 40)]
    played = myoedge.play(line, signal, faults=faults)
    assert (played.exact, played.samples_lost) == (True, 0)
