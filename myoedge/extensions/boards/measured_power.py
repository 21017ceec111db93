# SPDX-License-Identifier: Apache-2.0
"""Energies and powers of a board, from the samples of a power meter and of the power pad."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.extensions.boards.meter import PowerTrace
from myoedge.numerics.arrays import Array
from myoedge.system.notebook import Card, Shown

PART_S = 0.1  # parts of a measurement whose means show how it varies
WIRES = "connect the board's power pad to the meter's D0, and the grounds"


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
