# SPDX-License-Identifier: Apache-2.0
"""[wake]: a gate in front of the network, which runs only on windows that reach a limit: by their
energy, or by an output of the network that is computed first.

The energy of a window of N samples is the sum over channels of N * sum(q * q) - sum(q) ** 2, for
the integers q of the network's input: N * N times the sum of the channels' variances. Offsets do
not change it. The value of an output is its integer; of several, the largest one less that of rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.building.loading import GATE, WEIGHTS, WHOLE
from myoedge.codegen.network import exit_layer
from myoedge.errors import MyoedgeError
from myoedge.frontend.detect import ModelFormat, sniff
from myoedge.frontend.file_refusals import missing, refuse
from myoedge.frontend.refusals import EXPORT_LINES
from myoedge.numerics.arrays import Array

if TYPE_CHECKING:
    from myoedge.building.config import Found
    from myoedge.extensions.sensor.program import SensorProgram
    from myoedge.plan.plan import Plan


# --- keys and ranges ------------------------------------------------------------------------------


MOST_HOLD, MOST_CLASS = 1 << 16, 0xFFFE  # 0xFFFF in a packet: no class
MOST_THRESHOLD = 1e9


@dataclass(frozen=True, slots=True)
class WakeTable:
    """[wake]: when the network of the sensor application runs.

    threshold   value of a window from which the network runs: its RMS around the mean of each
                channel, in the unit of [sensor]; with `model` or `output` that of the gate's
                output; None: chosen by `miss`
    miss        maximum share of the calibration windows with another decision than `rest` that may
                lie below the threshold, which is midway between them and those of rest; 0 to 1;
                None: 0.01
    hold        windows that run although they are below, after one above
    rest        class that is reported while the network does not run
    model       file of a network on the same window that decides whether the other one runs
    output      name of an output of the network that decides whether the layers behind it run
    rest_output   index of rest among the values of the gate's output
    """

    threshold: float | None = None
    miss: float | None = None
    hold: int = 5
    rest: int = 0
    model: str | None = None
    output: str | None = None
    rest_output: int = 0

    @property
    def by_energy(self) -> bool:
        """Whether the energy of a window decides, and no output of a network."""
        return self.model is None and self.output is None


def rules(table: WakeTable) -> Iterator[tuple[str, bool]]:
    """Yield the ranges of the numbers of [wake], each with whether it is satisfied."""
    threshold, miss = table.threshold, table.miss
    least = 0 if table.by_energy else -MOST_THRESHOLD
    yield (
        f"wake.threshold must be {least:,.0f} to {MOST_THRESHOLD:,.0f}",
        threshold is None or least <= threshold <= MOST_THRESHOLD,
    )
    yield "wake.miss must be at least 0 and less than 1", miss is None or 0 <= miss < 1
    yield "wake.miss chooses the threshold: state one of the two", None in (threshold, miss)
    yield f"wake.hold must be 0 to {MOST_HOLD:,} windows", 0 <= table.hold <= MOST_HOLD
    yield f"wake.rest must be 0 to {MOST_CLASS:,}", 0 <= table.rest <= MOST_CLASS
    yield from _output_rules(table)


def _output_rules(table: WakeTable) -> Iterator[tuple[str, bool]]:
    """Yield the rules of the keys that concern an output of a network."""
    is_one = None in (table.model, table.output)
    yield "wake.model must name a file", table.model != ""
    yield "wake.output is one of the network itself: not with wake.model", is_one
    is_used = table.rest_output == 0 or not table.by_energy
    yield "wake.rest_output needs wake.model or wake.output", is_used
    yield "wake.rest_output must be 0 or more", table.rest_output >= 0


# --- gate -----------------------------------------------------------------------------------------


CODE = "E265"
NO_GATE = "a build without [wake]"
OTHER_GATES = {  # key of [wake] -> remedy that uses it; "": neither of them
    "": "[wake] without output and model: the RMS of a window decides",
    "model": '[wake] model = "rest.pt2" in place of output: a small network on the same windows',
    "output": 'return {"classes": y, "early": g} in forward, [wake] output = "early": '
    "g from few layers, y from those and others",
}
INTEGER_BITS, SUM_BITS, ENERGY_BITS = 16, 31, 63  # of the C code: |q|, a sum of q, an energy


def gate_options(found: Found) -> dict[str, Any]:
    """Return the options of a build by which [wake] model or output comes first.

    Errors: E101 .. E107 the file, relative to the folder of myoedge.toml, holds no whole network.
    """
    table: WakeTable | None = found.settings.tables.get("wake")
    if table is None or table.model is None:
        return {} if table is None or table.output is None else {"first": table.output}
    path = found.base / table.model
    kind = sniff(path)
    if kind is ModelFormat.MISSING:
        raise missing(path, f"[wake] model of {found.file}")
    if kind in WEIGHTS:
        facts = {"named by": f"[wake] model of {found.file}", "needs": "a file with its network"}
        raise MyoedgeError("E106", f"{path} is {kind}", facts, [EXPORT_LINES])
    if kind not in WHOLE:
        refuse(kind, path)
    return {"gate": path, "first": GATE}


# --- the gate of a build --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GateOutput:
    """An output of the network by which the gate decides.

    number   of the output
    values   its number of values
    rest     index of rest among them; with one value it is not used
    dtype    element type
    layers   number of layers of the network up to this output
    """

    number: int
    values: int
    rest: int
    dtype: str
    layers: int

    def value(self, output: Array) -> int:
        """Return the value of an output: its only integer, or the largest of the other integers
        less the integer of rest."""
        q = [int(x) for x in output.ravel()]
        return q[0] if len(q) == 1 else max(q[: self.rest] + q[self.rest + 1 :]) - q[self.rest]


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate of a build.

    limit       least value with which a window runs: its energy, or that of `output`
    hold, rest  as in [wake]
    threshold   the limit as an RMS in the unit of [sensor], or as a real number of the output
    miss        share that chose the threshold; None: it was given
    windows     number of calibration windows that were judged; 0: random ones are not
    others      number of them whose decision is not `rest`
    missed      number of the others below the limit
    below       number of all below the limit
    at_rest     number of all on which the network would rest, in this order, with `hold`
    output      output of the network that decides; None: the energy does
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
    at_rest: int = 0
    output: GateOutput | None = None

    @property
    def layers(self) -> int:
        """Number of layers that run on every window."""
        return 0 if self.output is None else self.output.layers

    def resting(self, values: Iterable[int]) -> list[bool]:
        """Return for each window whether the network does not run on it.

        values   energies or outputs of the windows, from a start of the application or the end of
                 a gap on: the first `hold` windows run
        """
        left, found = self.hold, []
        for value in values:
            above = value >= self.limit
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


def unit_energy(program: SensorProgram) -> Fraction:
    """Return the energy of a window whose channels all have an RMS of 1 unit of [sensor]."""
    made, sensor = program.conversion, program.sensor
    squares = [Fraction(m, 1 << made.shift) ** 2 for m in made.multipliers]  # of a count's integers
    mean = sum(squares, Fraction(0)) / len(squares) / sensor.count_units**2
    return mean * program.layout.samples**2 * sensor.channels


# --- what a network has to fulfil -----------------------------------------------------------------


def check_wake(table: WakeTable, program: SensorProgram) -> None:
    """Raise E265 if the network's input or decisions do not allow a gate."""
    reach = max(map(abs, (program.conversion.low, program.conversion.high)))
    samples, channels = program.layout.samples, program.sensor.channels
    classes = {"largest": program.results, "index": MOST_CLASS + 1}.get(program.classes, 0)
    needs = {
        "windows: a stream needs every frame": not program.is_stream,
        "an output of classes": classes > 0,
        f"rest = 0 to {classes - 1}, a class of the output": table.rest < classes,
    }
    if table.by_energy:
        fits = (
            samples * reach < 1 << SUM_BITS and channels * (samples * reach) ** 2 < 1 << ENERGY_BITS
        )
        needs |= {
            "windows of two samples or more": samples > 1,
            f"an input of at most {INTEGER_BITS} bits": reach < 1 << INTEGER_BITS,
            "shorter windows, whose energy fits 63 bits": fits,
        }
    for need, holds in needs.items():
        if not holds:
            raise wake_error(need, NO_GATE)


def gate_output(table: WakeTable, plan: Plan) -> GateOutput | None:
    """Return the output that decides whether the network runs; None: the energy decides.

    Errors: E265 there is no such output, or it holds no values of at most 16 bits along one axis.
    """
    if table.by_energy:
        return None
    labels = plan.quant.graph.output_labels
    number = _output_number(table, labels)
    name = plan.graph_outputs[number]
    shape, q = plan.quant.graph.shape(name), plan.quant
    size, layers = math.prod(shape), exit_layer(plan, number) + 1
    needs = {
        "real numbers of at most 16 bits": name in q.params and q.element_type(name).bits <= 16,
        "one axis of values": max(shape, default=1) == size,
        f"rest_output = 0{f' to {size - 1}' if size > 1 else ''}": table.rest_output < size,
        "it in L2": not plan.where[name].in_level,
        "layers of its own, and layers behind it": 0 < layers < len(plan.steps),
    }
    for need, holds in needs.items():
        if not holds:
            tries = [*OTHER_GATES.values()]
            if need.startswith("rest_output"):
                tries = ["[wake] rest_output = 0"]
            raise wake_error(f"in output {labels[number]}: {need}", *tries, has=f"{[*shape]}")
    return GateOutput(number, size, table.rest_output, q.dtype(name), layers)


def _output_number(table: WakeTable, labels: tuple[str, ...]) -> int:
    if table.output is not None:
        if table.output not in labels[1:]:
            others = [f'[wake] output = "{label}"' for label in labels[1:]]
            needs = "an output after the first one, which decides whether the others are computed"
            raise wake_error(needs, *(others or OTHER_GATES.values()), has=", ".join(labels))
        return labels.index(table.output)
    of_gate = [n for n, label in enumerate(labels) if label.startswith(f"{GATE}.")]
    if len(of_gate) != 1:
        tries = [*OTHER_GATES.values()]
        raise wake_error("one output of [wake] model", *tries, has=f"{len(of_gate)} outputs")
    return of_gate[0]


def wake_error(needs: str, *tries: str, **facts: object) -> MyoedgeError:
    title = "the network does not fit the gate of [wake]"
    return MyoedgeError(CODE, title, {"needs": needs, **facts}, tries)
