# SPDX-License-Identifier: Apache-2.0
"""Energies and powers of a board, from the samples of a power meter and of the power pad."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.extensions.boards.meter import PowerTrace
from myoedge.numerics.arrays import Array
from myoedge.system.notebook import Card, Shown

PART_S = 0.1  # parts of a measurement whose means show how it varies
FACTOR = 2.0  # between a build's durations and counts, and those of a record that can be of it
CLOCKS = 2e-4  # by which the clocks of meter and computer differ at most: crystals, with a margin
LEAST_PASSES = 4  # that show which of the times between them is another one
FEW = 10  # periods, which a front end's clock that is off by a few percent does not change
NO_HUB = "a USB port without a hub"
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
    watts = _checked_power(float(joules.sum() / seconds.sum()))
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
    return _checked_power(float(watts.mean())), float(np.std([part.mean() for part in parts]))


def _checked_power(watts: float) -> float:
    """Return the power. Errors: E614 it is none, as of a meter that is not between supply and
    board."""
    if watts > 0:
        return watts
    facts = {"needs": "above 0 mW", "has": f"{watts * 1e3:.3g} mW"}
    raise _unexpected_signal("the meter measured no power", facts, "the supply through the meter")


def check_duration(trace: PowerTrace, seconds: float) -> None:
    """Raise E614 if the record has fewer samples than `seconds` have: a loss of `trace.unseen`
    samples leaves no gap in their numbers. Samples recorded after `seconds` hide as many."""
    needs, has = math.floor((1.0 - CLOCKS) * seconds * trace.rate_hz), len(trace.amps)
    if has < needs:
        facts = {"needs": f"{needs:,} samples or more", "has": f"{has:,}"}
        raise _unexpected_signal("the meter lost samples", facts, NO_HUB)


def check_period(starts: Array, period: float, trace: PowerTrace) -> None:
    """Raise E614 if the time between two passes differs from a multiple of the period by half of
    the samples that the meter may lose at once unseen. Passes so far apart that the error of the
    front end's clock is larger are not compared.

    starts   numbers of the samples at which passes begin
    period   samples from one to the next, by the build; the front end's clock may differ from it
    """
    if not trace.unseen:
        return
    if len(starts) < LEAST_PASSES:
        facts = {"needs": f"{LEAST_PASSES} passes or more, to see lost samples", "has": len(starts)}
        raise _unexpected_signal("too few passes", facts, "more seconds of --phases")
    gaps, most_off = np.diff(starts), trace.unseen / 2
    period, error = _period_of(gaps, period, trace.unseen)
    known = gaps[gaps / period * error < most_off / 2]
    off = np.abs(known - np.maximum(np.rint(known / period), 1) * period)
    if off.max(initial=0.0) >= most_off:
        ms, has_ms = 1e3 * period / trace.rate_hz, 1e3 * known[off.argmax()] / trace.rate_hz
        facts = {"needs": f"{ms:,.3f} ms from pass to pass, or multiples", "has": f"{has_ms:,.3f}"}
        title = "the meter lost samples, or passes come irregularly"
        raise _unexpected_signal(title, facts, NO_HUB)


def _period_of(gaps: Array, nominal: float, unseen: int) -> tuple[float, float]:
    """Return the period, as the mean of gaps of a few periods, and its standard error, at least
    that of a clock, both in samples; without such gaps the nominal period, error infinite."""
    few = gaps[gaps < FEW * nominal]
    if not len(few):
        return nominal, math.inf
    counts = np.maximum(np.rint(few / nominal), 1)
    off = np.abs(few - counts * np.median(few / counts))
    is_regular = off < unseen / 2
    if not is_regular.any():
        return nominal, 0.0
    total = counts[is_regular].sum()
    period = float(few[is_regular].sum() / total)
    jitter = max(float(off[is_regular].max()), unseen / 8)
    return period, max(CLOCKS * period, jitter * math.sqrt(is_regular.sum()) / total)


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


@dataclass(frozen=True)
class ExpectedPasses:
    """Passes of the network, as a build says they are.

    pass_s      seconds of one
    period_s    seconds from one to the next
    are_whole   whether all run the whole network; a gate ends some, or leaves them out
    """

    pass_s: float
    period_s: float
    are_whole: bool = True

    def check(self, passes_s: Array, seconds: float, sample_s: float) -> None:
        """Raise E614 if passes of these durations, in a record of so many seconds, cannot be the
        build's: by more than FACTOR."""
        low, high = float(passes_s.min()), float(passes_s.max())
        least_s = self.pass_s / FACTOR - sample_s if self.are_whole else 0.0
        if not least_s <= low <= high <= FACTOR * self.pass_s + sample_s:
            needs = f"about {self.pass_s * 1e3:,.3f} ms"
            facts = {"needs": needs, "has": f"{low * 1e3:,.3f} to {high * 1e3:,.3f} ms"}
            raise _unexpected_signal("the pad was not high for passes of the build", facts, WIRES)
        count = seconds / self.period_s
        least = count / FACTOR - 1 if self.are_whole else 0.0
        if not least <= len(passes_s) <= FACTOR * count + 1:
            facts = {"needs": f"about {count:,.0f} in {seconds:g} s", "has": f"{len(passes_s):,}"}
            raise _unexpected_signal("the number of passes is not the build's", facts, WIRES)


def phases_of(
    trace: PowerTrace, supply_v: float, build: str, operating_point: str, expected: ExpectedPasses
) -> MeasuredPhases:
    """Return the powers of an application at work, from the samples of a power meter.

    trace      the samples
    supply_v   supply voltage of the board
    build      the build's folder, for the rows
    expected   the build's passes; if a gate ends some, their mean energy is in no row
    Errors: E614 no complete pass, no time between passes, other passes than the build's, or lost
    samples.
    """
    starts, ends = _runs(trace.high)
    are_complete = (starts > 0) & (ends < len(trace.high))
    if not are_complete.any():
        facts = {"needs": "passes of the network", "has": f"high in {trace.high.mean():.1%}"}
        raise _unexpected_signal("the meter saw no complete pass", facts, WIRES)
    starts, ends = starts[are_complete], ends[are_complete]
    seconds = len(trace.amps) / trace.rate_hz
    expected.check((ends - starts) / trace.rate_hz, seconds, 1.0 / trace.rate_hz)
    check_period(starts, expected.period_s * trace.rate_hz, trace)
    passes = _mean_energy(trace, supply_v, starts, ends)
    watts = trace.amps * supply_v
    between_w, spread_w = _mean_power(watts[~trace.high], trace.rate_hz)
    name = f"./{build}" if build == "idle" else build  # alone, it is a chip that waits
    rows = [calibration_row(name, operating_point, power_w=between_w, phase="between")]
    if expected.are_whole:
        rows.insert(0, calibration_row(name, operating_point, energy_j=passes.joules, phase="pass"))
    return MeasuredPhases(passes, between_w, spread_w, float(watts.mean()), seconds, tuple(rows))
