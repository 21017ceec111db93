# SPDX-License-Identifier: Apache-2.0
"""Power meters: the current into a board while it works, and a pad that shows when.

The PPK2's commands, words and conversion are those of Nordic's own application
(pc-nrfconnect-ppk), without its filter of spikes.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from myoedge.backends.console import Line, Port, open_port, unplugged
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array

PPK2_USB = "1915:c00a"
PPK2_RATE_HZ = 100_000
START, STOP, POWER, METADATA, MODE = b"\x06", b"\x07", b"\x0c", b"\x19", b"\x11"
AMPERE, ON = b"\x01", b"\x01"

RANGES = 5
_ADC_VOLTS = 1.8 / 163840
_ANSWER_S = 3.0
_SETTLE_S = 0.1
_COUNTER = 64  # what a word's counter wraps at
_ROW = re.compile(r"^(R|GS|GI|O|S|I|UG)([0-4]):\s*(-?[0-9.]+(?:e-?\d+)?)\s*$", re.MULTILINE)
_SHUNTS = (1031.64, 101.65, 10.15, 0.94, 0.043)  # ohms, where the device does not say
_NEUTRAL = {"GS": 1.0, "GI": 1.0, "O": 0.0, "S": 0.0, "I": 0.0, "UG": 1.0}


@dataclass(frozen=True)
class Recorded:
    """Samples, one behind the other.

    amps   into the board          high   whether the board's power pad was high
    """

    amps: Array
    high: Array
    rate_hz: float


class PowerMeter(Protocol):
    """Records while something is done."""

    def record(self, work: Callable[[], None]) -> Recorded: ...


@dataclass(frozen=True)
class Energy:
    """Of an inference, by the time in which the pad was high.

    joules     mean of all          spread_joules   standard deviation between them
    seconds    mean                 watts           while the pad was high
    """

    inferences: int
    joules: float
    spread_joules: float
    seconds: float
    watts: float


def energy_of(recorded: Recorded, supply_v: float, inferences: int) -> Energy:
    """Energy by inference. Errors: E614 the pad rose another number of times."""
    edges = np.diff(np.concatenate([[0], recorded.high.astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    if len(starts) != inferences:
        facts = {"needs": f"{inferences} times high", "has": len(starts)}
        tries = ["connect the board's power pad to the meter's D0, and the grounds"]
        raise MyoedgeError("E614", "the meter saw other runs than there were", facts, tries)
    total = np.concatenate([[0.0], np.cumsum(recorded.amps)])
    each = (total[ends] - total[starts]) * supply_v / recorded.rate_hz
    seconds = (ends - starts) / recorded.rate_hz
    watts = float(each.sum() / seconds.sum())
    return Energy(inferences, float(each.mean()), float(each.std()), float(seconds.mean()), watts)


@dataclass(frozen=True)
class Ppk2:
    """Nordic's Power Profiler Kit II as an ampere meter; D0 is the power pad.

    factors   the device's own calibration, by letter, for each of its five ranges
    """

    port: Port
    factors: dict[str, Array]
    supply_v: float

    def record(self, work: Callable[[], None]) -> Recorded:
        """Samples from before the work to after it. Errors: E607 unplugged, E614 samples lost."""
        heard, over = bytearray(), threading.Event()
        reader = threading.Thread(target=_read_until, args=(self.port, over, heard))
        with unplugged():
            self.port.write(MODE + AMPERE + POWER + ON)
            self.port.write(START)
        reader.start()
        try:
            work()
            time.sleep(_SETTLE_S)
        finally:
            over.set()
            reader.join()
            with unplugged():
                self.port.write(STOP)
        return self._samples(bytes(heard))

    def _samples(self, data: bytes) -> Recorded:
        words = np.frombuffer(data[: len(data) // 4 * 4], "<u4")
        if len(words) == 0:
            raise MyoedgeError("E604", "the meter says nothing", {"waited": f"{_SETTLE_S:g} s"})
        counted: Array = (words >> 18 & 0x3F).astype(np.int64)
        gaps: Array = (counted[1:] - counted[:-1]) % _COUNTER
        if lost := int((gaps - 1).clip(0).sum() + (gaps == 0).sum()):
            facts = {"lost": f"{lost:,} of {len(words) + lost:,}"}
            tries = ["a USB port without a hub", "fewer --times"]
            raise MyoedgeError("E614", "the meter lost samples", facts, tries)
        amps = amperes(words, self.factors, self.supply_v)
        return Recorded(amps, (words >> 24 & 1).astype(bool), PPK2_RATE_HZ)


def amperes(words: Array, factors: dict[str, Array], supply_v: float) -> Array:
    """The PPK2's words as currents."""
    step = np.minimum(words >> 14 & 7, RANGES - 1)
    f = {name: values[step] for name, values in factors.items()}
    raw = ((words & 0x3FFF) * 4.0 - f["O"]) * (_ADC_VOLTS / f["R"])
    bent: Array = f["UG"] * (raw * (f["GS"] * raw + f["GI"]) + (f["S"] * supply_v + f["I"]))
    return bent


def _read_until(port: Port, over: threading.Event, heard: bytearray) -> None:
    """What breaks is told by whoever writes to the port next."""
    try:
        while not over.is_set():
            heard += port.read(1 << 16)
    except OSError:
        return


def _calibration(port: Port) -> dict[str, Array]:
    """What the device says of itself. Errors: E604 nothing, E605 something else."""
    with unplugged():
        port.write(METADATA)
        text, end = b"", time.monotonic() + _ANSWER_S
        while b"END" not in text and time.monotonic() < end:
            text += port.read(4096)
    if not text:
        raise MyoedgeError("E604", "the meter says nothing", {"waited": f"{_ANSWER_S:g} s"})
    rows = _ROW.findall(text.decode("latin-1"))
    if b"END" not in text or not rows:
        tries = ["--meter PORT: a PPK2 has two serial ports, the other one may be it"]
        raise MyoedgeError("E605", "what is at that port is no PPK2", {"says": text[:60]}, tries)
    factors: dict[str, Array] = {name: np.full(RANGES, x) for name, x in _NEUTRAL.items()}
    factors["R"] = np.array(_SHUNTS)
    for name, step, value in rows:
        if name != "R" or float(value) != 0.0:
            factors[name][int(step)] = float(value)
    return factors


@contextmanager
def open_ppk2(port: str, supply_v: float) -> Iterator[Ppk2]:
    """A PPK2 at a serial port. Errors: E501, E603 .. E605, E607."""
    with open_port(Line(port, 115_200)) as opened:
        yield Ppk2(opened, _calibration(opened), supply_v)
