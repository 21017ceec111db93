# SPDX-License-Identifier: Apache-2.0
"""Playback of a recording to a simulated program, by a simulated front end."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from myoedge.errors import MyoedgeError
from myoedge.simulator import binding

FRONT_ENDS = ("ads1298", "ads1299", "spi", "uart")  # enum FrontEndKind of peripherals.h
# Enum of playback.c.
FAULTS = (
    *("jitter", "missed", "doubled", "bit", "reset", "stall", "hold", "rise", "wake"),
    "clock",
)
CHANNELS_A_CHIP, MOST_FRAME_BYTES, MOST_RATE = 8, 512, 1 << 20
NO_PIN = 0xFFFFFFFF
PINS, PORTS = set(range(90)), set(range(4))


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault injected into a playback at a frame, of one of these kinds:

    jitter    its data-ready comes `value` cycles late
    missed    it has no data-ready
    doubled   its data-ready comes again `value` cycles later
    bit       bit `value` of its data is inverted when it is read (0: the first on the line)
    reset     the front end resets instead: registers as after power-up
    stall     the receiver of the UART holds CTS high for `value` cycles
    hold      the cluster's cores stop for `value` cycles
    rise      when the cluster's power is next switched on, it takes `value` cycles longer
    wake      the next `value` interrupts of the controller's timer do not come
    clock     the next change of the cores' clock comes `value` cycles late
    """

    frame: int
    kind: str
    value: int = 0


@dataclass(frozen=True, slots=True)
class Playback:
    """A recording that a front end delivers to the program, frame k at cycle start + k * period.

    counts             int [frames, channels] of the converter (24 bits), for ads1298 and ads1299;
                       uint8 [frames, bytes] on the line otherwise
    rate_hz            frames per second; a chip delivers what its registers say, and that is the
                       recording frame by frame only at this rate
    clock_hz           cycles per second of the cluster
    clock_divider      divider of the clock generator at which the cluster has this clock; 0: the
                       program changes no clock
    front_end, chips   name of the front end, and number of chips in the daisy chain
    spi, chip_select, uart   devices to which it is wired
    data_ready, start, reset   GPIO numbers of the pins (data-ready is low while a frame waits);
                               None: not wired
    start_s            the earliest time of frame 0: a chip's first conversion after its START
    tail_s             seconds after the last frame at which the run ends
    faults             injected faults
    """

    counts: npt.NDArray[np.generic]
    rate_hz: Fraction | float
    clock_hz: int = 370_000_000
    clock_divider: int = 0
    front_end: str = "ads1298"
    chips: int = 1
    spi: int = 1
    chip_select: int = 0
    uart: int = 1
    data_ready: int | None = 42
    start: int | None = 43
    reset: int | None = 44
    start_s: float = 0.0
    tail_s: float = 0.1
    faults: Sequence[Fault] = ()


def to_c(playback: Playback) -> binding.PlaybackStruct:
    """Return the C struct of a playback, which keeps its arrays alive. Errors: E266 data that the
    front end cannot deliver."""
    p, rate = playback, Fraction(playback.rate_hz).limit_denominator(1000)
    is_chip = p.front_end.startswith("ads")
    data = np.ascontiguousarray(p.counts, np.int32 if is_chip else np.uint8)
    _check_recording(p, rate, data)
    planned = sorted(p.faults, key=lambda fault: fault.frame)
    rows = [binding.PlannedFault(f.frame, FAULTS.index(f.kind), f.value) for f in planned]
    faults = (binding.PlannedFault * max(1, len(rows)))(*rows)
    frames, frame_bytes = data.shape
    made = binding.PlaybackStruct(
        kind=FRONT_ENDS.index(p.front_end),
        chips=p.chips,
        channels=frame_bytes,
        frames=frames,
        frame_bytes=frame_bytes,
        spi=p.spi,
        chip_select=p.chip_select,
        uart=p.uart,
        ready_pin=_pin_number(p.data_ready),
        start_pin=_pin_number(p.start),
        reset_pin=_pin_number(p.reset),
        fault_count=len(planned),
        clock_hz=p.clock_hz,
        rate_num=rate.numerator,
        rate_den=rate.denominator,
        start=round(p.start_s * p.clock_hz),
        tail=round(p.tail_s * p.clock_hz),
    )
    address = data.ctypes.data
    made.counts = made.bytes = address
    made.faults = ctypes.cast(faults, ctypes.c_void_p)
    made.kept = (data, faults)
    return made


def _pin_number(pin: int | None) -> int:
    return NO_PIN if pin is None else pin


def _check_recording(p: Playback, rate: Fraction, data: npt.NDArray[np.generic]) -> None:
    facts = {"front end": p.front_end, "recording": data.shape, "chips": p.chips, "rate": rate}
    most = CHANNELS_A_CHIP * p.chips if p.front_end.startswith("ads") else MOST_FRAME_BYTES
    possible = p.chips * (3 * CHANNELS_A_CHIP + 3) <= MOST_FRAME_BYTES and 0 < rate <= MOST_RATE
    wired = {pin for pin in (p.data_ready, p.start, p.reset) if pin is not None} <= PINS
    wired &= {p.spi, p.chip_select, p.uart} <= PORTS
    if data.ndim != 2 or not data.size or data.shape[1] > most or not (possible and wired):
        raise MyoedgeError("E266", "no front end can deliver this recording", facts)
