# SPDX-License-Identifier: Apache-2.0
"""Measurement of the noise of quantised networks."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.batches import Batch, batch_of_step, has_small_calls
from myoedge.operators.queries import macs
from myoedge.operators.turns import has_loops, times_run
from myoedge.quantization.calibrate import InputArrays, each_sample, subsample_evenly
from myoedge.quantization.float_runs import float_values
from myoedge.quantization.judged import JudgedTensor, judged, rows_of
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.goal import judged_rows
from myoedge.quantization.sqnr import (
    integer_runs,
    integers_of,
    is_passed_through,
    quantized_inputs,
    real_values,
    samples_at_once,
)

MOST_RUNS = 24  # networks that one search measures, including the result on the evaluation samples
MEASURED = (8, 64)  # minimum and maximum number of samples
MEASURED_MACS = 500_000_000  # budget over all samples, if more than the minimum are run
KEPT_BYTES = 2**27  # bytes of cached integers of the preceding network


@dataclass(frozen=True)
class MeasuredNoise:
    """Noise of a quantised network, per sample and measured tensor.

    error    sum of squared errors over the elements, [samples, measured tensors]
    signal   sum of squared float values over the elements, [samples, measured tensors]
    """

    error: Array = field(repr=False)
    signal: Array = field(repr=False)

    def noise(self, half: int | None = None) -> Array:
        """Return the noise power relative to the signal, [measured tensors]; 0 without noise.

        half   0 or 1: only the first or second half of the samples; None: all
        """
        rows = slice(None) if half is None else rows_of_half(len(self.error), half)
        error, signal = self.error[rows].sum(axis=0), self.signal[rows].sum(axis=0)
        return np.asarray(np.where(signal > 0.0, error / np.maximum(signal, 1e-300), 0.0))

    def missing_db(self, limits: Array, half: int | None = None) -> float:
        """Return the decibels by which the noise exceeds its limits, summed over the measured
        tensors; 0 if it exceeds none.

        limits   maximum noise power relative to the signal, [measured tensors]
        half     as for `noise`
        """
        over = np.maximum(self.noise(half) / limits, 1.0)
        return float(np.sum(10 * np.log10(over)))

    @property
    def worst_db(self) -> float:
        """Return the lowest SQNR in dB; infinity without noise."""
        return worst_db(self.noise())


def worst_db(noise: Array) -> float:
    """Return the lowest SQNR in dB of measured tensors with this noise; infinity without noise."""
    worst = float(noise.max(initial=0.0))
    return float(-10 * np.log10(worst)) if worst else np.inf


@dataclass
class Bench:
    """Samples on which quantised networks are compared with one float network.

    graph     the float network
    samples   the samples
    others    samples on which networks are not compared
    runs      number of networks measured so far
    """

    graph: Graph
    samples: InputArrays
    others: InputArrays = field(default_factory=dict)
    runs: int = 0
    _earlier_runs: dict[tuple[int, int], tuple[dict[str, QuantizedNode], dict[str, Array]]] = field(
        default_factory=dict
    )
    _float_references: list[dict[str, JudgedTensor]] = field(default_factory=list)

    @staticmethod
    def of(graph: Graph, samples: InputArrays) -> Bench:
        every = {"row": np.arange(len(next(iter(samples.values()))))}
        # More samples for small networks, whose SQNR varies more
        least, most = MEASURED
        count = max(least, min(most, MEASURED_MACS // max(network_macs(graph), 1)))
        rows = subsample_evenly(every, count)["row"]
        measured = {name: values[rows] for name, values in samples.items()}
        others = {name: np.delete(values, rows, axis=0) for name, values in samples.items()}
        return Bench(graph, measured, others)

    @property
    def is_spent(self) -> bool:
        return self.runs >= MOST_RUNS - 2

    @property
    def halves(self) -> tuple[InputArrays, InputArrays]:
        """Return the first and the second half of the samples."""
        rows = [rows_of_half(self.count, half) for half in (0, 1)]
        first, second = ({n: x[at] for n, x in self.samples.items()} for at in rows)
        return first, second

    @property
    def count(self) -> int:
        return len(next(iter(self.samples.values())))

    def measure(self, network: QuantGraph, half: int | None = None) -> MeasuredNoise:
        """Run a quantised network on the samples and return its noise.

        half   0 or 1: only the first or second half of the samples; the noise of the rest is 0;
               None: all
        """
        self.runs += 1
        rows = judged_rows(network)
        measured = range(self.count)[
            slice(None) if half is None else rows_of_half(self.count, half)
        ]
        error, signal = np.zeros((2, self.count, len(rows)))
        known = self._judged_tensors(rows)
        for at, values in self._integers(network, measured):
            for row, (_, name) in enumerate(rows):
                if name in known[at]:
                    found = real_values(network, name, integers_of(network, name, values))
                    error[at, row] = known[at][name].error(found)
                    signal[at, row] = known[at][name].signal
        return MeasuredNoise(error, signal)

    def _integers(
        self, network: QuantGraph, measured: Sequence[int]
    ) -> Iterator[tuple[int, dict[str, Array]]]:
        """Yield (sample, all integer values of it); without loops, steps that did not change are
        not computed again."""
        if has_loops(network.graph):
            given = {name: x[measured] for name, x in self.samples.items()}
            yield from zip(measured, integer_runs(network, given), strict=True)
            return
        size = samples_at_once(network.graph) if has_small_calls(network.graph) else 1
        for first in range(0, len(measured), size):
            rows = measured[first : first + size]
            values = self._changed_values(network, rows)
            for at, row in enumerate(rows):
                yield row, {**network.constants, **{name: x[at] for name, x in values.items()}}

    def _changed_values(self, network: QuantGraph, rows: Sequence[int]) -> dict[str, Array]:
        """Return all computed integer values of some samples, [samples, *shape]; steps and operands
        unchanged since the previous run are not computed again."""
        steps, before = self._earlier_runs.pop((rows[0], len(rows)), ({}, {}))
        made, nodes = self._inputs_of(network, rows), [step.node for step in network.steps]
        batch = Batch.of(nodes, {**network.graph.arrays, **network.constants}, len(rows))
        values = ChainMap(made, dict(network.constants))
        same = {x for x in values.keys() & before if np.array_equal(values[x], before[x])}
        for step in network.steps:
            name = step.node.name
            if steps.get(name) is step and same.issuperset(step.operands):
                made[name] = before[name]
                same.add(name)
            else:
                made[name] = batch_of_step(network.graph, step, batch, values)
        if sum(x.nbytes for x in made.values()) * (self.count // len(rows)) <= KEPT_BYTES:
            known = {step.node.name: step for step in network.steps}, {**values}
            self._earlier_runs[rows[0], len(rows)] = known
        return made

    def _inputs_of(self, network: QuantGraph, rows: Sequence[int]) -> dict[str, Array]:
        given = [{name: x[row] for name, x in self.samples.items()} for row in rows]
        inputs = [quantized_inputs(network, sample) for sample in given]
        return {name: np.stack([x[name] for x in inputs]) for name in inputs[0]}

    def _judged_tensors(self, rows: Sequence[tuple[str, str]]) -> list[dict[str, JudgedTensor]]:
        """Return the judged tensors of each sample; outputs that only pass inputs through are left
        out unless there are no others."""
        if not self._float_references:
            passed = {output for output, _ in rows if is_passed_through(self.graph, output)}
            names = [name for output, name in rows if output not in passed]
            judged_names, compared = names or [name for _, name in rows], rows_of(self.graph)
            for sample in each_sample(self.samples):
                real = float_values(self.graph, sample)
                self._float_references.append(
                    {name: judged(compared, name, real) for name in judged_names}
                )
        return self._float_references


def rows_of_half(count: int, half: int) -> slice:
    """Return the rows of the first (0) or second (1) half of the samples; a single sample is in
    both halves.

    Halves are blocks: samples in a row often come from one person or recording, and every other
    sample would put each recording into both halves.
    """
    if count < 2:
        return slice(None)
    return slice(count // 2) if half == 0 else slice(count // 2, None)


def network_macs(graph: Graph) -> int:
    """Return the multiply-accumulates per sample."""
    times = times_run(graph.nodes)
    return sum(
        macs(node, [graph.shape(name) for name in node.inputs], graph.shape(node.name))
        * times[node.name]
        for node in graph.nodes
    )
