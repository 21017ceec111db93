# SPDX-License-Identifier: Apache-2.0
"""The limit of a gate: from [wake] threshold, or from the calibration windows that it may miss."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from myoedge.catalogue import warning
from myoedge.errors import Notice
from myoedge.extensions.sensor.wake import (
    ENERGY_BITS,
    INTEGER_BITS,
    Gate,
    GateOutput,
    WakeTable,
    energies,
    gate_output,
    unit_energy,
    wake_error,
)
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import one_blas_thread, run_int
from myoedge.quantization.sqnr import quantized_inputs

if TYPE_CHECKING:
    from myoedge.extensions.sensor.program import SensorProgram
    from myoedge.plan.plan import Plan
    from myoedge.quantization.samples import Data

DEFAULT_MISS = 0.01
MOST_JUDGED = 500  # calibration windows, on which the reference runs
LEAST_SHARE = 0.05  # of the windows of rest that a gate keeps, and of the others that wake


def gate_of(table: WakeTable, plan: Plan, program: SensorProgram, data: Data) -> Gate:
    """Return the gate of a planned network.

    data   calibration windows, by which a threshold is chosen if none is given
    Errors: E265 no calibration window has another decision than `rest`; as gate_output.
    """
    output, threshold, miss = gate_output(table, plan), table.threshold, table.miss
    if threshold is not None:
        limit = _limit_of(threshold, plan, program, output)
        if data.is_random:
            return Gate(limit, table.hold, table.rest, threshold, output=output)
    values, classes = _judged(plan, program, data, output)
    others = np.sort(values[classes != table.rest])
    if threshold is None:
        if data.is_random or not len(others):
            needs = f"recorded calibration windows with other decisions than class {table.rest}"
            tries = ["[wake] threshold = 12.5, for example", "[wake] rest = 1, another class"]
            raise wake_error(needs, *tries, has=data.source)
        miss = DEFAULT_MISS if miss is None else miss
        most = int(others[math.floor(Fraction(str(miss)) * len(others))])
        limit = limit_between(np.sort(values[classes == table.rest]), most, miss, output)
        if output is None:
            threshold = math.sqrt(limit / unit_energy(program))
        else:
            scale, zero = _scale_of(plan, output)
            threshold = float((limit - zero) * scale)
    counts = (len(values), len(others), int((others < limit).sum()), int((values < limit).sum()))
    gate = Gate(limit, table.hold, table.rest, threshold, miss, *counts, output=output)
    return replace(gate, at_rest=sum(gate.resting(map(int, values))))


def unable(gate: Gate) -> Iterator[Notice]:
    """Yield W213 if nearly none of the calibration windows of rest lies below the limit, or nearly
    all of the others do."""
    rest, resting = gate.windows - gate.others, gate.below - gate.missed
    awake = gate.others - gate.missed
    wakeless = awake < LEAST_SHARE * gate.others
    restless = not rest or resting < LEAST_SHARE * rest
    if not gate.windows or not (wakeless or restless):
        return
    counts = {"windows": gate.windows, "others": gate.others, "rest": rest}
    yield warning(
        "W213",
        {
            **counts,
            "awake": awake,
            "resting": resting,
            "class_": gate.rest,
            "wakeless": wakeless,
            "unseen": not rest,
            "given": gate.miss is None,
            "several": gate.output is not None and gate.output.values > 1,
        },
    )


def limit_between(rest: Array, most: int, miss: float, output: GateOutput | None) -> int:
    """Return the limit midway between the windows of rest and of other classes, by RMS or by the
    output's value, so that weaker gestures than those of the calibration wake the network too;
    `most` if the two overlap.

    rest   values of the windows of rest, sorted; the share `miss` of them may lie above
    most   largest limit that misses no more than the share `miss` of the other windows
    """
    count = math.ceil((1 - Fraction(str(miss))) * len(rest))
    if count == 0 or (end := int(rest[count - 1])) >= most:
        return most
    return math.isqrt(end * most) + 1 if output is None else (end + most + 1) // 2


def _only(values: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
    return {name: values[name] for name in names}


def _limit_of(
    threshold: float, plan: Plan, program: SensorProgram, output: GateOutput | None
) -> int:
    if output is None:
        limit = math.ceil(Fraction(threshold) ** 2 * unit_energy(program))
        return min(limit, 1 << ENERGY_BITS)
    scale, zero = _scale_of(plan, output)
    most = 1 << (INTEGER_BITS + 1)  # beyond all values
    return min(max(math.ceil(Fraction(threshold) / scale) + zero, -most), most)


def _scale_of(plan: Plan, output: GateOutput) -> tuple[Fraction, int]:
    """Return scale and zero point of the value of an output: a difference has no zero point."""
    params = plan.quant.params[plan.graph_outputs[output.number]]
    return Fraction(float(params.scale)), int(params.zero_point) if output.values == 1 else 0


def _judged(
    plan: Plan, program: SensorProgram, data: Data, output: GateOutput | None
) -> tuple[Array, Array]:
    """Return the gate's value and the class, by the reference, of evenly spread calibration
    windows."""
    q, name, layout = plan.quant, plan.graph_inputs[0], program.layout
    count = min(data.count, MOST_JUDGED)
    numbers = [n * data.count // count for n in range(count)]
    outputs_of = partial(_only, names=plan.graph_outputs)
    windows = [quantized_inputs(q, {name: data.inputs[name][n]})[name] for n in numbers]
    with one_blas_thread():
        runs = [outputs_of(run_int(q.steps, q.constants, {name: x})) for x in windows]
    results = [run[plan.graph_outputs[0]].ravel() for run in runs]
    classes = [int(x[0] if program.classes == "index" else np.argmax(x)) for x in results]
    if output is not None:
        gates = [output.value(run[plan.graph_outputs[output.number]]) for run in runs]
        return np.array(gates), np.array(classes)
    arranged = np.stack(windows).reshape(count, layout.outer, layout.samples, layout.inner)
    return energies(arranged, 2), np.array(classes)
