# SPDX-License-Identifier: Apache-2.0
"""Recordings played to programs: GPIO, SPI master and the models of front ends, bit by bit."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from myoedge.errors import MyoedgeError
from myoedge.simulator import Fault, Playback, Simulation
from tests.simulator.c_programs import Noted, run_c

CLOCK_HZ, RATE_HZ, CHIP_CLOCK_HZ = 370_000_000, 2000, 2_048_000
PERIOD = CLOCK_HZ // RATE_HZ
MOST, LEAST = 2**23 - 1, -(2**23)


def recording(frames: int, channels: int, seed: int = 0) -> npt.NDArray[np.int32]:
    rng = np.random.default_rng(seed)
    return rng.integers(LEAST + 1, MOST, (frames, channels)).astype(np.int32)


def play(counts: npt.NDArray[np.int32], *defines: str, chips: int = 1, **more: Any) -> Noted:
    playback = Playback(counts, more.pop("rate_hz", RATE_HZ), chips=chips, **more)
    return run_c("front_end", f"CHIPS={chips}", *defines, playback=playback)


def frames_of(run: Simulation, chips: int = 1) -> npt.NDArray[np.uint8]:
    """Bytes [frames, chips, 27] as they came over the bus."""
    return np.frombuffer(run.line, np.uint8).reshape(-1, chips, 27)


def counts_of(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    parts = frames[:, :, 3:].reshape(len(frames), -1, 3).astype(np.int32)
    value = parts[..., 0] << 16 | parts[..., 1] << 8 | parts[..., 2]
    return np.where(value > MOST, value - 2**24, value)


# ---- chips


@pytest.mark.parametrize("chips", [1, 2, 8])
def test_every_frame_of_a_chain_comes_bit_for_bit(chips: int) -> None:
    counts = recording(40, 8 * chips)
    run = play(counts, chips=chips).run
    frames = frames_of(run, chips)
    np.testing.assert_array_equal(counts_of(frames), counts)
    assert (frames[:, :, :3] == [0xC0, 0, 0]).all()
    assert list(run.ready_frames) == list(range(40))


def test_registers_are_the_data_sheets_and_hold_what_is_written() -> None:
    notes = play(recording(3, 8)).notes
    assert notes[:3] == (0x92, 0x0640, 0x8440)
    assert play(recording(3, 8), front_end="ads1299").notes[:2] == (0x3E, 0x96C0)


def test_the_first_frame_is_there_when_the_filter_has_settled_and_none_drifts() -> None:
    noted = play(recording(50, 8), rate_hz=Fraction(RATE_HZ), clock_hz=CLOCK_HZ + 1)
    ready = list(noted.run.ready_cycles)
    settled = 4.5 * PERIOD + 8 * CLOCK_HZ / CHIP_CLOCK_HZ
    assert 0 <= ready[0] - noted.notes[3] - settled < 40
    exact = Fraction(CLOCK_HZ + 1, RATE_HZ)
    assert [cycle - ready[0] for cycle in ready] == [int(k * exact) for k in range(50)]


def test_a_recording_that_starts_later_is_waited_for() -> None:
    assert play(recording(3, 8), start_s=0.05).run.ready_cycles[0] == 0.05 * CLOCK_HZ


def test_the_run_ends_some_time_after_the_last_frame() -> None:
    run = play(recording(30, 8), tail_s=0.002).run
    assert run.cycles == run.ready_cycles[0] + 30 * PERIOD + 0.002 * CLOCK_HZ


def test_interrupt_and_transfer_take_their_time() -> None:
    noted = play(recording(3, 8))
    assert 10 < noted.notes[9] - noted.run.ready_cycles[0] < 100
    bits = 27 * 8 * 46
    assert bits < noted.notes[10] - noted.notes[9] < bits + 300


def test_inputs_at_the_end_of_the_range_are_off_in_the_status_word() -> None:
    counts = recording(3, 8)
    counts[1, 2], counts[1, 7] = MOST, LEAST
    status = frames_of(play(counts).run)[:, 0, :3]
    assert [bytes(word).hex() for word in status] == ["c00000", "c04800", "c00000"]


def test_another_rate_than_the_recordings_gives_other_frames() -> None:
    """At 1 kHz every other frame, as the world goes on."""
    run = play(recording(20, 8), "CONFIG1=0x85").run
    assert list(run.ready_frames) == list(range(0, 20, 2))


def test_without_the_chain_the_other_chips_are_silent() -> None:
    frames = frames_of(play(recording(3, 16), "CONFIG1=0xC4", chips=2).run, 2)
    assert frames[:, 0].any()
    assert not frames[:, 1].any()


# ---- others


def test_an_interrupt_of_the_other_edge_never_comes() -> None:
    """Nobody reads, so that data-ready stays low: a pulse up before the next frame is an edge."""
    run = play(recording(5, 8), "EDGE=1u").run
    assert len(frames_of(run)) == 4


def test_a_plain_device_gives_the_bytes_of_the_frame() -> None:
    rows = np.random.default_rng(1).integers(0, 256, (30, 18)).astype(np.uint8)
    playback = Playback(rows, 500, front_end="spi", start_s=0.001)
    run = run_c("front_end", "PLAIN", "FRAME_BYTES=18", playback=playback).run
    assert run.line == rows.tobytes()
    assert run.ready_cycles[1] - run.ready_cycles[0] == CLOCK_HZ // 500


def test_a_front_end_may_send_by_itself() -> None:
    rows = np.random.default_rng(2).integers(0, 256, (30, 12)).astype(np.uint8)
    playback = Playback(rows, 1000, front_end="uart", start_s=0.001)
    run = run_c("uart_in", playback=playback).run
    assert run.line == rows.tobytes()
    assert run.line_cycles[-1] < run.cycles


# ---- what goes wrong


def test_late_missed_and_doubled_frames() -> None:
    counts = recording(12, 8)
    faults = (Fault(7, "doubled", 40_000), Fault(3, "missed"), Fault(5, "jitter", 1234))
    run = play(counts, faults=faults).run
    assert list(run.ready_frames) == [k for k in range(12) if k != 3]
    seen = [0, 1, 2, 4, 5, 6, 7, 7, 8, 9, 10, 11]
    np.testing.assert_array_equal(counts_of(frames_of(run)), counts[seen])
    gaps = [b - a for a, b in pairwise(run.ready_cycles)]
    assert gaps[2:5] == [2 * PERIOD, PERIOD + 1234, PERIOD - 1234]


def test_a_bit_that_is_wrong_on_the_line() -> None:
    counts = recording(4, 8)
    run = play(counts, faults=(Fault(2, "bit", 24 + 23),)).run
    wrong = counts.copy()
    wrong[2, 0] ^= 1
    np.testing.assert_array_equal(counts_of(frames_of(run)), wrong)


def test_a_reset_forgets_the_registers_and_converts_as_after_power_up() -> None:
    """START is high: 250 a second from then on."""
    run = play(recording(60, 8), faults=(Fault(10, "reset"),)).run
    assert list(run.ready_frames[:10]) == list(range(10))
    gaps = [b - a for a, b in pairwise(run.ready_cycles[10:])]
    assert gaps == [8 * PERIOD] * len(gaps)
    assert len(gaps) > 0


def test_a_receiver_that_is_not_ready_stalls_a_uart_with_cts() -> None:
    stall = Fault(2, "stall", 3 * PERIOD // 2)
    free = play(recording(8, 8), "UART_SETUP=0x10106u", faults=(stall,)).run
    held = play(recording(8, 8), "UART_SETUP=0x10506u", faults=(stall,)).run
    first = next(k for k, cycle in enumerate(held.line_cycles) if cycle > held.ready_cycles[2])
    assert held.line_cycles[first] >= held.ready_cycles[2] + 3 * PERIOD // 2
    assert free.line_cycles[first] < free.ready_cycles[2] + PERIOD


@pytest.mark.parametrize(("channels", "chips"), [(9, 1), (0, 1), (8, 19)])
def test_impossible_recordings_are_refused(channels: int, chips: int) -> None:
    with pytest.raises(MyoedgeError) as caught:
        play(np.zeros((4, channels), np.int32), chips=chips)
    assert caught.value.code == "E266"


@pytest.mark.parametrize("wiring", [{"data_ready": 90}, {"start": -1}, {"spi": 4}, {"uart": 4}])
def test_wires_that_lead_nowhere_are_refused(wiring: dict[str, int]) -> None:
    with pytest.raises(MyoedgeError) as caught:
        play(recording(2, 8), **wiring)
    assert caught.value.code == "E266"
