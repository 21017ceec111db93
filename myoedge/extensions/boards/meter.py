# SPDX-License-Identifier: Apache-2.0
"""Power meters, which record a board's supply current and a pad that is high during inference.

The PPK2's commands, words and conversion follow Nordic's own application (pc-nrfconnect-ppk),
without its filter of spikes.
"""

from __future__ import annotations

import csv
import io
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from myoedge.backends.serial_port import SerialLine, SerialPort, open_port, unplug_errors
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.system.notebook import Card, Shown

PPK2_RATE_HZ = 100_000
START, STOP, POWER, METADATA, MODE = b"\x06", b"\x07", b"\x0c", b"\x19", b"\x11"
AMPERE, ON = b"\x01", b"\x01"

RANGES = 5
_ADC_VOLTS = 1.8 / 163840
ANSWER_TIMEOUT_S = 3.0
_SETTLE_S = 0.1
PART_S = 0.1  # parts of a measurement whose means show how it varies
WIRES = "connect the board's power pad to the meter's D0, and the grounds"
_COUNTER = 64  # a sample's counter is modulo this
_ROW = re.compile(r"^(R|GS|GI|O|S|I|UG)([0-4]):\s*(-?[0-9.]+(?:e-?\d+)?)\s*$", re.MULTILINE)
_SHUNTS = (1031.64, 101.65, 10.15, 0.94, 0.043)  # ohms, if the device does not report them
_NEUTRAL = {"GS": 1.0, "GI": 1.0, "O": 0.0, "S": 0.0, "I": 0.0, "UG": 1.0}


@dataclass(frozen=True)
class PowerTrace:
    """Consecutive samples of a power meter.

    amps      supply current of the board
    high      whether the board's power pad, which marks inferences, was high
    rate_hz   samples per second
    """

    amps: Array
    high: Array
    rate_hz: float


class PowerMeter(Protocol):
    """Protocol of a power meter, which records the supply current during a function call."""

    def record(self, work: Callable[[], None]) -> PowerTrace: ...


@dataclass(frozen=True)
class MeasuredEnergy(Shown):
    """Energy per inference, integrated while the power pad was high.

    inferences   number of inferences
    joules, spread_joules   mean and standard deviation of the energy
    seconds      mean duration
    watts        mean power while the pad was high
    """

    inferences: int
    joules: float
    spread_joules: float
    seconds: float
    watts: float

    def _card(self) -> Card:
        facts = (
            ("energy", f"{self.joules * 1e6:,.1f} µJ, +- {self.spread_joules * 1e6:,.1f}"),
            ("power", f"{self.watts * 1e3:,.2f} mW while the pad is high"),
            ("time", f"{self.seconds * 1e3:,.2f} ms"),
            ("inferences", self.inferences),
        )
        return Card("measured energy of an inference", facts)


def energy_of(trace: PowerTrace, supply_v: float, inferences: int) -> MeasuredEnergy:
    """Return the energy per inference from the samples of a power meter.

    trace        the samples
    supply_v     supply voltage of the board
    inferences   number of inferences, each with the power pad high
    Errors: E614 the pad was not high once per inference.
    """
    starts, ends = _runs(trace.high)
    if len(starts) != inferences:
        facts = {"needs": f"{inferences} times high", "has": len(starts)}
        raise _unexpected_signal("the number of runs that the meter saw is wrong", facts, WIRES)
    return _mean_energy(trace, supply_v, starts, ends)


def _runs(high: Array) -> tuple[Array, Array]:
    """Return where the power pad rises and where it falls again, as numbers of samples."""
    edges = np.diff(np.concatenate([[0], high.astype(np.int8), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def _mean_energy(trace: PowerTrace, supply_v: float, starts: Array, ends: Array) -> MeasuredEnergy:
    total = np.concatenate([[0.0], np.cumsum(trace.amps)])
    joules = (total[ends] - total[starts]) * supply_v / trace.rate_hz
    seconds = (ends - starts) / trace.rate_hz
    watts = float(joules.sum() / seconds.sum())
    return MeasuredEnergy(
        len(starts), float(joules.mean()), float(joules.std()), float(seconds.mean()), watts
    )


def _unexpected_signal(title: str, facts: Mapping[str, object], remedy: str) -> MyoedgeError:
    return MyoedgeError("E614", title, facts, [remedy])


@dataclass(frozen=True)
class MeasuredPower(Shown):
    """Power of a chip that waits.

    watts, spread_watts   mean and standard deviation of parts of PART_S
    seconds               duration
    operating_point       of the build
    """

    watts: float
    spread_watts: float
    seconds: float
    operating_point: str

    @property
    def row(self) -> str:
        """Row of the measurements of `energy calibrate`."""
        return calibration_row("idle", self.operating_point, power_w=self.watts)

    def _card(self) -> Card:
        facts = (
            ("power", f"{self.watts * 1e3:,.3f} mW, +- {self.spread_watts * 1e3:,.3f}"),
            ("time", f"{self.seconds:g} s"),
            ("row", self.row),
        )
        return Card("measured power of a chip that waits", facts)


def power_of(trace: PowerTrace, supply_v: float, operating_point: str) -> MeasuredPower:
    """Return the power of a chip that waits, from the samples of a power meter.

    trace      the samples
    supply_v   supply voltage of the board
    Errors: E614 an inference ran meanwhile.
    """
    if trace.high.any():
        facts = {"needs": "no inference", "has": f"the pad high in {trace.high.mean():.1%}"}
        stop = "stop the front end: no data-ready, or no samples on the line"
        raise _unexpected_signal("the chip did not only wait", facts, stop)
    watts, spread = _mean_power(trace.amps * supply_v, trace.rate_hz)
    return MeasuredPower(watts, spread, len(trace.amps) / trace.rate_hz, operating_point)


def _mean_power(watts: Array, rate_hz: float) -> tuple[float, float]:
    """Return the mean, and the standard deviation of the means of parts of PART_S."""
    parts = np.array_split(watts, max(round(len(watts) / (PART_S * rate_hz)), 1))
    return float(watts.mean()), float(np.std([part.mean() for part in parts]))


def calibration_row(
    build: str,
    operating_point: str,
    *,
    energy_j: float = 0.0,
    power_w: float = 0.0,
    phase: str = "",
) -> str:
    """Return a row of the measurements of `energy calibrate`, of an energy or of a power."""
    numbers = (f"{x:.4g}" if x else "" for x in (1e6 * energy_j, 1e3 * power_w))
    row = io.StringIO()
    csv.writer(row, lineterminator="").writerow([build, operating_point, *numbers, "", phase])
    return row.getvalue()


@dataclass(frozen=True)
class MeasuredPhases(Shown):
    """Powers of an application at work, by whether its power pad was high.

    passes                    energy of a pass of the network, of complete passes
    between_w, spread_w       power between passes: mean and standard deviation of parts of PART_S
    watts                     mean power of the application
    seconds                   duration
    rows                      rows of the measurements of `energy calibrate`
    """

    passes: MeasuredEnergy
    between_w: float
    spread_w: float
    watts: float
    seconds: float
    rows: tuple[str, ...]

    def lines(self) -> list[tuple[str, str]]:
        """Return name and text of each figure."""
        a_pass = self.passes
        return [
            ("passes", f"{a_pass.inferences} in {self.seconds:g} s"),
            (
                "pass",
                f"{a_pass.joules * 1e6:,.2f} µJ, +- {a_pass.spread_joules * 1e6:,.2f}; "
                f"{a_pass.seconds * 1e3:,.3f} ms of {a_pass.watts * 1e3:,.2f} mW",
            ),
            ("between", f"{self.between_w * 1e3:,.3f} mW, +- {self.spread_w * 1e3:,.3f}"),
            ("average", f"{self.watts * 1e3:,.3f} mW"),
        ]

    def _card(self) -> Card:
        return Card("measured power of an application", (*self.lines(), ("rows", self.rows)))


def phases_of(
    trace: PowerTrace, supply_v: float, build: str, operating_point: str, *, same_passes: bool
) -> MeasuredPhases:
    """Return the powers of an application at work, from the samples of a power meter.

    trace         the samples
    supply_v      supply voltage of the board
    build         the build's folder, for the rows
    same_passes   whether all passes run the whole network; if a gate ends some, their mean energy
                  is in no row
    Errors: E614 no complete pass, or no time between passes.
    """
    starts, ends = _runs(trace.high)
    are_complete = (starts > 0) & (ends < len(trace.high))
    if not are_complete.any():
        facts = {"needs": "passes of the network", "has": f"high in {trace.high.mean():.1%}"}
        raise _unexpected_signal("the meter saw no complete pass", facts, WIRES)
    passes = _mean_energy(trace, supply_v, starts[are_complete], ends[are_complete])
    watts = trace.amps * supply_v
    between_w, spread_w = _mean_power(watts[~trace.high], trace.rate_hz)
    rows = [calibration_row(build, operating_point, power_w=between_w, phase="between")]
    if same_passes:
        rows.insert(
            0, calibration_row(build, operating_point, energy_j=passes.joules, phase="pass")
        )
    seconds = len(watts) / trace.rate_hz
    return MeasuredPhases(passes, between_w, spread_w, float(watts.mean()), seconds, tuple(rows))


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
        return PowerTrace(amps, (samples >> 24 & 1).astype(bool), PPK2_RATE_HZ)


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
    factors: dict[str, Array] = {name: np.full(RANGES, x) for name, x in _NEUTRAL.items()}
    factors["R"] = np.array(_SHUNTS)
    for name, step, value in rows:
        if name != "R" or float(value) != 0.0:
            factors[name][int(step)] = float(value)
    return factors


@contextmanager
def open_ppk2(port: str, supply_v: float) -> Iterator[Ppk2]:
    """Context manager that opens a PPK2 at a serial port. Errors: E501, E603 .. E605, E607."""
    with open_port(SerialLine(port, 115_200)) as opened:
        yield Ppk2(opened, _read_calibration(opened), supply_v)
