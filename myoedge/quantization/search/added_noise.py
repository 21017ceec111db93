# SPDX-License-Identifier: Apache-2.0
"""Noise of single changes to the float network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import groupby

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams, dequantize, rounded
from myoedge.operators.batches import Batch, BatchedNode, batched_node
from myoedge.operators.interpreter import PRE, has_table, stated_node
from myoedge.operators.turns import IN_LOOPS, has_loops, moved, turns
from myoedge.quantization.calibrate import InputArrays, each_sample
from myoedge.quantization.float_runs import float_values
from myoedge.quantization.judged import judged, rows_of

BATCH_BYTES = 2**26  # bytes of all values of a batch of runs
FLOATS: Mapping[str, QuantParams] = {}  # parameters of tensors, if none are rounded


@dataclass(frozen=True)
class FloatChange:
    """A change to the float network.

    constants   constant -> its changed values
    rounded     inputs and computed tensors that are rounded to their parameters
    """

    constants: Mapping[str, Array]
    rounded: frozenset[str] = frozenset()


def added_noise(
    graph: Graph,
    samples: InputArrays,
    measured: Sequence[str],
    changes: Sequence[FloatChange],
    params: Mapping[str, QuantParams] = FLOATS,
) -> Array:
    """Return the noise power relative to the signal that each change to the float network causes,
    [changes, measured tensors].

    measured   names of tensors; `name.pre` for the value before a fused table
    params     as in `propagated`
    """
    error, signal = np.zeros((len(changes), len(measured))), np.zeros(len(measured))
    rows = rows_of(graph)
    for reals in _float_batches(graph, samples):
        tensors = [[judged(rows, name, real) for name in measured] for real in reals]
        signal += np.sum([[tensor.signal for tensor in sample] for sample in tensors], axis=0)
        size = _changes_at_once(graph, reals)
        for first in range(0, len(changes), size):
            part = changes[first : first + size]
            values = propagated(graph, reals, part, params)
            for at, name in enumerate(measured):
                for run, value in enumerate(values.get(name, ())):
                    change, sample = divmod(run, len(reals))
                    error[first + change, at] += tensors[sample][at].error(value)
    return np.asarray(error / np.maximum(signal, 1e-30))


def _float_batches(graph: Graph, samples: InputArrays) -> Iterator[list[dict[str, Array]]]:
    """Yield the float values of samples in batches: of all, if the network has loops, whose calls
    are many and small; otherwise of one."""
    reals = (float_values(graph, sample) for sample in each_sample(samples))
    if has_loops(graph):
        yield [*reals]
    else:
        yield from ([real] for real in reals)


def _changes_at_once(graph: Graph, reals: Sequence[Mapping[str, Array]]) -> int:
    """Return the number of changes in a batch of runs; without loops 1, of which only the layers
    behind the change run."""
    if not has_loops(graph):
        return 1
    return max(1, BATCH_BYTES // sum(x.nbytes for real in reals for x in real.values()))


def propagated(
    graph: Graph,
    reals: Sequence[Mapping[str, Array]],
    changes: Sequence[FloatChange],
    params: Mapping[str, QuantParams] = FLOATS,
) -> dict[str, Array]:
    """Return the values of all tensors that any change changes, [changes * samples, *shape].

    reals    per sample, the values of all tensors in the float network
    params   parameters to which tensors are rounded, and to whose limits infinities, such as log 0,
             are clipped
    """
    runs = _BatchedRuns(graph, len(reals), changes)
    values = _TensorValues([*reals] * len(changes), runs.batch.constants)
    changed = runs.begin(values, params)
    for layer, node, step in turns(graph.nodes, [_BatchedNode(runs, node) for node in graph.nodes]):
        name = node.name
        if node.op in IN_LOOPS or not changed.isdisjoint(node.inputs):
            before, after = layer.run(step, values)
            values[name] = _saturate_to_range(after, params.get(name))
            changed.add(name)
            if has_table(node):
                values[name + PRE] = before
                changed.add(name + PRE)
        if layer.rounded:
            values[name] = runs.rounded(values[name], layer.rounded, params[name])
            changed.add(name)
    return {name: values[name] for name in changed - runs.batch.shared}


class _TensorValues(dict[str, Array]):
    """Values of tensors, [runs, *shape]; of constants as in `Batch`; of tensors without change, on
    first reading, those of the float network.

    reals       per run, the values of all tensors in the float network
    constants   constants by name
    """

    def __init__(self, reals: Sequence[Mapping[str, Array]], constants: Mapping[str, Array]):
        super().__init__(constants)
        self._reals = reals

    def __missing__(self, name: str) -> Array:
        self[name] = np.stack([real[name] for real in self._reals])
        return self[name]


@dataclass(frozen=True)
class _BatchedRuns:
    """A batch of runs of the float network: all changes on all samples, change by change.

    samples   number of samples
    """

    graph: Graph
    samples: int
    changes: Sequence[FloatChange]

    @cached_property
    def batch(self) -> Batch:
        count = len(self.changes) * self.samples
        return Batch.of(self.graph.nodes, self.graph.arrays, count)

    def rows(self, first: int, end: int) -> slice:
        """Return the runs of a range of changes."""
        return slice(first * self.samples, end * self.samples)

    def rounding(self, name: str) -> list[slice]:
        """Return the runs in which a tensor is rounded."""
        changes = enumerate(self.changes)
        return [self.rows(at, at + 1) for at, change in changes if name in change.rounded]

    @staticmethod
    def rounded(value: Array, runs: Sequence[slice], params: QuantParams) -> Array:
        value = value.copy()
        for rows in runs:
            value[rows] = rounded(value[rows], params)
        return value

    def begin(self, values: _TensorValues, params: Mapping[str, QuantParams]) -> set[str]:
        """Change the constants that loops read and the inputs; return the names of all that
        change."""
        for name in self.graph.inputs:
            if runs := self.rounding(name):
                values[name] = self.rounded(values[name], runs, params[name])
        for at, change in enumerate(self.changes):
            for name in change.constants.keys() - self.batch.shared:
                values[name] = values[name].copy()
                values[name][self.rows(at, at + 1)] = change.constants[name]
        inputs = (name for name in self.graph.inputs if name in values)
        return {*inputs, *(name for change in self.changes for name in change.constants)}


@dataclass(frozen=True)
class _BatchedNode:
    """A node in a batch of runs."""

    runs: _BatchedRuns
    node: Node

    @cached_property
    def rounded(self) -> list[slice]:
        """The runs in which the result is rounded."""
        return self.runs.rounding(self.node.name)

    @cached_property
    def _split_runs(self) -> list[tuple[slice, Mapping[str, Array], BatchedNode]]:
        """The runs in parts that read the same constants: their rows, the changed constants, and
        the node as it computes them."""
        runs, made = self.runs, []
        read = runs.batch.shared.intersection(self.node.inputs)
        own = [at for at, x in enumerate(runs.changes) if not read.isdisjoint(x.constants)]
        for change, part in groupby(range(len(runs.changes)), lambda x: x if x in own else None):
            first, *more = part
            rows = runs.rows(first, first + 1 + len(more))
            constants = {} if change is None else runs.changes[change].constants
            batch = replace(runs.batch, count=rows.stop - rows.start)
            made.append((rows, constants, batched_node(runs.graph, self.node, batch)))
        return made

    def run(self, step: int, values: _TensorValues) -> Sequence[Array]:
        """Compute the node in iteration `step` of its loop; return its values before and after the
        fused activation."""
        if (moved_values := moved(self.node, step, values, axis=1)) is not None:
            return moved_values, moved_values
        made = []
        for rows, constants, batched in self._split_runs:
            pairs = zip(self.node.inputs, batched.shared, strict=True)
            given = [
                constants.get(x, values[x]) if shared else values[x][rows] for x, shared in pairs
            ]
            made.append(batched.run(partial(stated_node, self.runs.graph, batched.node), given))
        return made[0] if len(made) == 1 else [np.concatenate(y) for y in zip(*made, strict=True)]


def _saturate_to_range(x: Array, params: QuantParams | None) -> Array:
    if params is None or np.isfinite(x).all():
        return x
    low, high = (dequantize(np.array(q), params) for q in (params.low, params.high))
    return np.nan_to_num(x, posinf=float(high), neginf=float(low))
