# SPDX-License-Identifier: Apache-2.0
"""Power meters, which record a board's supply current and a pad that is high during inference.

The PPK2's commands, words and conversion follow Nordic's own application (pc-nrfconnect-ppk),
without its filter of spikes.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from myoedge.backends.serial_port import SerialLine, SerialPort, open_port, unplug_errors
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array

PPK2_RATE_HZ = 100_000
START, STOP, POWER, METADATA, MODE = b"\x06", b"\x07", b"\x0c", b"\x19", b"\x11"
AMPERE, ON = b"\x01", b"\x01"

RANGES = 5
_ADC_VOLTS = 1.8 / 163840
ANSWER_TIMEOUT_S = 3.0
_SETTLE_S = 0.1
_COUNTER = 64  # a sample's counter is modulo this
_ROW = re.compile(r"^(R|GS|GI|O|S|I|UG)([0-4]):[^\S\n]*(\S+)\s*$", re.MULTILINE)
_SHUNTS = (1031.64, 101.65, 10.15, 0.94, 0.043)  # ohms, if the device does not report them
_NEUTRAL = {"GS": 1.0, "GI": 1.0, "O": 0.0, "S": 0.0, "I": 0.0, "UG": 1.0}


@dataclass(frozen=True)
class PowerTrace:
    """Consecutive samples of a power meter.

    amps      supply current of the board
    high      whether the board's power pad, which marks inferences, was high
    rate_hz   samples per second
    unseen    number of samples that the meter may lose at once without a gap in its numbers; so may
              a multiple of it; 0: none
    """

    amps: Array
    high: Array
    rate_hz: float
    unseen: int = 0


class PowerMeter(Protocol):
    """Protocol of a power meter, which records the supply current during a function call."""

    def record(self, work: Callable[[], None]) -> PowerTrace: ...


@dataclass(frozen=True)
class Ppk2:
    """Nordic's Power Profiler Kit II as an ampere meter; D0 is the power pad.

    factors   calibration of the device, by letter, for each of its five ranges
    """

    port: SerialPort
    factors: dict[str, Array]
    supply_v: float

    def record(self, work: Callable[[], None]) -> PowerTrace:
        """Call `work` and return the power trace recorded during the call.

        Errors: E607 unplugged, E614 samples lost.
        """
        received, finished = bytearray(), threading.Event()

        def read() -> None:  # write reports a broken line
            with suppress(OSError):
                while not finished.is_set():
                    received.extend(self.port.read(1 << 16))

        reader = threading.Thread(target=read)
        with unplug_errors():
            self.port.write(MODE + AMPERE + POWER + ON)
            self.port.write(START)
        reader.start()
        try:
            work()
            time.sleep(_SETTLE_S)
        finally:
            finished.set()
            reader.join()
            with unplug_errors():
                self.port.write(STOP)
        return self._parse_samples(bytes(received))

    def _parse_samples(self, data: bytes) -> PowerTrace:
        samples = np.frombuffer(data[: len(data) // 4 * 4], "<u4")
        if len(samples) == 0:
            raise MyoedgeError("E604", "the meter does not answer", {"waited": f"{_SETTLE_S:g} s"})
        counters: Array = (samples >> 18 & 0x3F).astype(np.int64)
        gaps: Array = (counters[1:] - counters[:-1]) % _COUNTER
        if lost_samples := int((gaps - 1).clip(0).sum() + (gaps == 0).sum()):
            facts = {"lost": f"{lost_samples:,} of {len(samples) + lost_samples:,}"}
            tries = ["a USB port without a hub", "fewer --times"]
            raise MyoedgeError("E614", "the meter lost samples", facts, tries)
        amps = amperes(samples, self.factors, self.supply_v)
        high = (samples >> 24 & 1).astype(bool)
        return PowerTrace(amps, high, PPK2_RATE_HZ, unseen=_COUNTER)


def amperes(samples: Array, factors: dict[str, Array], supply_v: float) -> Array:
    """Convert the PPK2's 32-bit samples to currents in A.

    factors    calibration of the device, by letter, for each of its five ranges
    supply_v   supply voltage
    """
    range_index = np.minimum(samples >> 14 & 7, RANGES - 1)
    f = {name: values[range_index] for name, values in factors.items()}
    raw = ((samples & 0x3FFF) * 4.0 - f["O"]) * (_ADC_VOLTS / f["R"])
    corrected: Array = f["UG"] * (raw * (f["GS"] * raw + f["GI"]) + (f["S"] * supply_v + f["I"]))
    return corrected


def _read_calibration(port: SerialPort) -> dict[str, Array]:
    """Return the calibration factors that a PPK2 reports. Errors: E604 no answer, E605 no PPK2."""
    with unplug_errors():
        port.write(METADATA)
        text, deadline = b"", time.monotonic() + ANSWER_TIMEOUT_S
        while b"END" not in text and time.monotonic() < deadline:
            text += port.read(4096)
    if not text:
        facts: dict[str, object] = {"waited": f"{ANSWER_TIMEOUT_S:g} s"}
        raise MyoedgeError("E604", "the meter does not answer", facts)
    rows = _ROW.findall(text.decode("latin-1"))
    if b"END" not in text or not rows:
        facts = {"answer": text[:60]}
        tries = ["--meter PORT: a PPK2 has two serial ports, try the other one"]
        raise MyoedgeError("E605", "the device at that port is no PPK2", facts, tries)
    return _calibration_factors(rows)


def _calibration_factors(rows: Iterable[tuple[str, str, str]]) -> dict[str, Array]:
    """Return the factors by letter, from letter, range and text of each. Errors: E605 no number."""
    factors: dict[str, Array] = {name: np.full(RANGES, x) for name, x in _NEUTRAL.items()}
    factors["R"] = np.array(_SHUNTS)
    for name, step, text_of_value in rows:
        try:
            value = float(text_of_value)
        except ValueError:
            facts = {"needs": f"a number as {name}{step}", "has": text_of_value[:60]}
            title = "the meter's own calibration is damaged"
            raise MyoedgeError("E605", title, facts, ["another PPK2"]) from None
        if math.isfinite(value) and (name != "R" or value != 0.0):  # some tell -nan
            factors[name][int(step)] = value
    return factors


@contextmanager
def open_ppk2(port: str, supply_v: float) -> Iterator[Ppk2]:
    """Context manager that opens a PPK2 at a serial port. Errors: E501, E603 .. E605, E607."""
    with open_port(SerialLine(port, 115_200)) as opened:
        yield Ppk2(opened, _read_calibration(opened), supply_v)
