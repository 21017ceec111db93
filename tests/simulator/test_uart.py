# SPDX-License-Identifier: Apache-2.0
"""UARTs of the uDMA: bytes, the cycle of each, events."""

from __future__ import annotations

from itertools import pairwise

import pytest

from myoedge.errors import MyoedgeError
from tests.simulator.c_programs import run_c

FIRST, SECOND = bytes([0, 255, 0x55, 0xAA, ord("x")]), bytes([1, 2, 3])
TX, SENT = 3, 88  # events: the channel's, and of a byte of UART 1
UART1, RESET, CLOCK = 0x1A102300, 0x1A102010, 0x1A102004


# bits a byte: start, data, parity, stop
@pytest.mark.parametrize(
    ("setup", "bits", "periods"),
    [(0x306, 10, 100), (0x307, 11, 100), (0x30E, 11, 100), (0x30F, 12, 37), (0x304, 9, 1)],
)
def test_bytes_follow_one_another_at_the_baud_rate(setup: int, bits: int, periods: int) -> None:
    noted = run_c("uart", f"SETUP={periods - 1 << 16 | setup}u")
    assert noted.run.line == FIRST + SECOND + SECOND
    cycles = list(noted.run.line_cycles)
    assert all(b - a == bits * periods for a, b in pairwise(cycles[:8]))
    assert 0 < cycles[0] - bits * periods - noted.notes[0] < 100


def test_peripherals_may_have_a_slower_clock() -> None:
    cycles = run_c("uart", chip={"periph_clock_x256": 96}).run.line_cycles
    assert cycles[7] - cycles[0] == 7 * -(-1000 * 256 // 96)


def test_a_channel_tells_when_its_last_byte_has_left_l2() -> None:
    noted = run_c("uart")
    cycles = noted.run.line_cycles
    assert noted.notes[1:3] == (1, 2), "busy, and under way"
    assert noted.notes[32:34] == (TX, TX)
    assert 0 < noted.notes[48] - cycles[3] < 60, "the last of the first buffer begins"
    assert 0 < noted.notes[49] - cycles[6] < 60
    assert noted.notes[4] == 0
    assert 0 < noted.notes[5] - cycles[7] < 60, "not busy any more"


def test_events_of_bytes_where_they_are_asked_for() -> None:
    noted = run_c("uart")
    assert noted.notes[34:37] == (SENT, SENT, SENT)
    assert all(0 < noted.notes[50 + k] - noted.run.line_cycles[8 + k] < 60 for k in range(3))
    assert noted.notes[6] == 5


def test_a_uart_needs_clock_and_reset() -> None:
    with pytest.raises(MyoedgeError) as caught:
        run_c("uart", "PERIPHERAL=6u")
    assert "a UART, which has no clock or is in reset" in caught.value.notice.title
