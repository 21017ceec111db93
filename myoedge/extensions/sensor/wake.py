# SPDX-License-Identifier: Apache-2.0
"""[wake]: a gate in front of the network, which runs only on windows with enough energy.

The energy of a window of N samples is the sum over channels of N * sum(q * q) - sum(q) ** 2, for
the integers q of the network's input: N * N times the sum of the channels' variances. Offsets do
not change it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import one_blas_thread, run_int
from myoedge.quantization.sqnr import quantized_inputs
from myoedge.reports.tables import ReportTable
from myoedge.reports.wording import percent, several, three_digits

if TYPE_CHECKING:
    from myoedge.extensions.sensor.program import SensorProgram
    from myoedge.plan.plan import Plan
    from myoedge.quantization.samples import Data

CODE = "E265"
NO_GATE = "a build without [wake]"
DEFAULT_MISS = 0.01
MOST_HOLD, MOST_CLASS = 1 << 16, 0xFFFE  # 0xFFFF in a packet: no class
MOST_JUDGED = 500  # calibration windows, on which the reference runs
MOST_THRESHOLD = 1e9
INTEGER_BITS, SUM_BITS, ENERGY_BITS = 16, 31, 63  # of the C code: |q|, a sum of q, an energy


@dataclass(frozen=True, slots=True)
class WakeTable:
    """[wake]: when the network of the sensor application runs.

    threshold   RMS of a window, around the mean of each channel and in the unit of [sensor], from
                which the network runs; None: chosen by `miss`
    miss        maximum share of the calibration windows with another decision than `rest` that may
                lie below the threshold, 0 to 1; None: DEFAULT_MISS
    hold        windows that run although they are below, after one above
    rest        class that is reported while the network does not run
    """

    threshold: float | None = None
    miss: float | None = None
    hold: int = 5
    rest: int = 0


def rules(table: WakeTable) -> Iterator[tuple[str, bool]]:
    """Yield the ranges of the numbers of [wake], each with whether it is satisfied."""
    threshold, miss = table.threshold, table.miss
    yield (
        f"wake.threshold must be 0 to {MOST_THRESHOLD:,.0f}",
        threshold is None or 0 <= threshold <= MOST_THRESHOLD,
    )
    yield "wake.miss must be at least 0 and less than 1", miss is None or 0 <= miss < 1
    yield "wake.miss chooses the threshold: state one of the two", None in (threshold, miss)
    yield f"wake.hold must be 0 to {MOST_HOLD:,} windows", 0 <= table.hold <= MOST_HOLD
    yield f"wake.rest must be 0 to {MOST_CLASS:,}", 0 <= table.rest <= MOST_CLASS


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate of a build.

    limit       least energy with which a window runs
    hold, rest  as in [wake]
    threshold   the limit as an RMS in the unit of [sensor]
    miss        share that chose the threshold; None: it was given
    windows     number of calibration windows that were judged, for `miss`
    others      number of them whose decision is not `rest`
    missed      number of the others below the limit
    below       number of all below the limit
    """

    limit: int
    hold: int
    rest: int
    threshold: float
    miss: float | None = None
    windows: int = 0
    others: int = 0
    missed: int = 0
    below: int = 0

    def resting(self, integers: Array, window: int, hop: int, first: int = 0) -> list[bool]:
        """Return for each window whether the network does not run on it.

        integers    [samples, channels] of the network's input
        window      samples per window
        hop, first  samples between the starts of two windows, and start of the first one; it is a
                    start of the application, or the end of a gap: the first `hold` windows run
        """
        left, found = self.hold, []
        for start in range(first, len(integers) - window + 1, hop):
            (energy,) = energies(integers[None, start : start + window], 1)
            above = int(energy) >= self.limit
            found.append(not above and left == 0)
            left = self.hold if above else max(left - 1, 0)
        return found


def energies(windows: Array, axis: int) -> Array:
    """Return the energy of each window, int64 [windows].

    windows   integers [windows, ...]
    axis      of samples; the others are channels
    """
    q = windows.astype(np.int64)
    spread = q.shape[axis] * (q * q).sum(axis) - q.sum(axis) ** 2
    return np.asarray(spread.reshape(len(q), -1).sum(1))


def check_wake(table: WakeTable, program: SensorProgram) -> None:
    """Raise E265 if the network's input or decisions do not allow a gate."""
    reach = max(map(abs, (program.conversion.low, program.conversion.high)))
    samples, channels = program.layout.samples, program.sensor.channels
    classes = {"largest": program.results, "index": MOST_CLASS + 1}.get(program.classes, 0)
    needs = {
        "windows: a stream needs every frame": not program.is_stream,
        "windows of two samples or more": samples > 1,
        f"an input of at most {INTEGER_BITS} bits": reach < 1 << INTEGER_BITS,
        "shorter windows, whose energy fits 63 bits": (
            samples * reach < 1 << SUM_BITS and channels * (samples * reach) ** 2 < 1 << ENERGY_BITS
        ),
        "an output of classes": classes > 0,
        f"rest = 0 to {classes - 1}, a class of the output": table.rest < classes,
    }
    for need, holds in needs.items():
        if not holds:
            raise _wake_error(need, NO_GATE)


def _wake_error(needs: str, *tries: str, **facts: object) -> MyoedgeError:
    title = "the network does not fit the gate of [wake]"
    return MyoedgeError(CODE, title, {"needs": needs, **facts}, tries)


def unit_energy(program: SensorProgram) -> Fraction:
    """Return the energy of a window whose channels all have an RMS of 1 unit of [sensor]."""
    made, sensor = program.conversion, program.sensor
    squares = [Fraction(m, 1 << made.shift) ** 2 for m in made.multipliers]  # of a count's integers
    mean = sum(squares, Fraction(0)) / len(squares) / sensor.count_units**2
    return mean * program.layout.samples**2 * sensor.channels


def gate_of(table: WakeTable, plan: Plan, program: SensorProgram, data: Data) -> Gate:
    """Return the gate of a planned network.

    data   calibration windows, by which a threshold is chosen if none is given
    Errors: E265 no calibration window has another decision than `rest`.
    """
    unit = unit_energy(program)
    if table.threshold is not None:
        limit = math.ceil(Fraction(table.threshold) ** 2 * unit)
        return Gate(min(limit, 1 << ENERGY_BITS), table.hold, table.rest, table.threshold)
    miss = DEFAULT_MISS if table.miss is None else table.miss
    energy, classes = _judged(plan, program, data)
    others = np.sort(energy[classes != table.rest])
    if data.is_random or not len(others):
        needs = f"recorded calibration windows with other decisions than class {table.rest}"
        tries = ["[wake] threshold = 12.5, for example", "[wake] rest = 1, another class"]
        raise _wake_error(needs, *tries, has=data.source)
    limit = int(others[math.floor(Fraction(str(miss)) * len(others))])
    return Gate(
        limit,
        table.hold,
        table.rest,
        math.sqrt(limit / unit),
        miss,
        windows=len(energy),
        others=len(others),
        missed=int((others < limit).sum()),
        below=int((energy < limit).sum()),
    )


def _judged(plan: Plan, program: SensorProgram, data: Data) -> tuple[Array, Array]:
    """Return energy and class, by the reference, of evenly spread calibration windows."""
    q, name, layout = plan.quant, plan.graph_inputs[0], program.layout
    count = min(data.count, MOST_JUDGED)
    numbers = [n * data.count // count for n in range(count)]
    windows = [quantized_inputs(q, {name: data.inputs[name][n]})[name] for n in numbers]
    with one_blas_thread():
        results = [
            run_int(q.steps, q.constants, {name: x})[plan.graph_outputs[0]].ravel() for x in windows
        ]
    classes = [int(x[0] if program.classes == "index" else np.argmax(x)) for x in results]
    arranged = np.stack(windows).reshape(count, layout.outer, layout.samples, layout.inner)
    return energies(arranged, 2), np.array(classes)


# --- reports --------------------------------------------------------------------------------------


def one_line(report: Mapping[str, Any]) -> str:
    """Describe when the network runs."""
    found = report["wake"]
    rms, hold = three_digits(found["threshold"]), several(found["hold"], "window")
    text = f"from an RMS of {rms} on, and {hold} after it"
    if found["miss"] is None:
        return text
    below, windows = found["below"], several(found["windows"], "calibration window")
    rest = f"class {found['rest']}"
    return f"{text}; {below:,} of {windows} below, {found['missed']:,} of these not {rest}"


def wake_table(report: Mapping[str, Any]) -> ReportTable:
    """Return the settings of the gate, and numbers of calibration windows below its limit."""
    found = report["wake"]
    rows = [
        ("RMS from which the network runs", three_digits(found["threshold"])),
        ("hold", several(found["hold"], "window")),
        ("class while it rests", str(found["rest"])),
    ]
    if found["miss"] is not None:
        rows += [
            ("windows of the calibration", f"{found['windows']:,}"),
            ("of them below the RMS", f"{found['below']:,}"),
            ("decisions other than rest", f"{found['others']:,}"),
            ("of them below the RMS", f"{found['missed']:,}; at most {percent(found['miss'])}"),
        ]
    return ReportTable(("part", "value"), tuple(rows), words=("part", "value"))


def rested(
    program: SensorProgram, resting: Sequence[bool], overruled: int, samples: int
) -> dict[str, Any] | None:
    """Return how a gate worked in a playback, the entry `wake` of schema playback/1; None without
    a gate.

    resting     whether the network rested, of each decision in order
    overruled   number of windows on which it rested and would decide another class than `rest`
    samples     of the recording
    """
    if program.gate is None:
        return None
    wake_ups = sum(before and not after for before, after in pairwise(resting))
    return {
        "passes": len(resting) - sum(resting),
        "resting": sum(resting),
        "overruled": overruled,
        "wake_ups_per_minute": float(60 * wake_ups * program.sensor.rate_hz / samples),
        "threshold": program.gate.threshold,
    }
