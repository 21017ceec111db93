# SPDX-License-Identifier: Apache-2.0
"""Signal-to-quantisation-noise ratio (SQNR) of integers relative to floats, layer by layer."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import ancestors
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import Chain
from myoedge.numerics.quant_params import dequantize, quantize
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.batches import has_small_calls, run_int_batch
from myoedge.operators.interpreter import PRE, integer_step, run_int
from myoedge.quantization.accuracy import class_axis
from myoedge.quantization.calibrate import InputArrays, each_sample
from myoedge.quantization.fidelity import Fidelity, Interval, Noise, OutputFidelity, interval_db
from myoedge.quantization.float_runs import float_values
from myoedge.quantization.formats import operand_names
from myoedge.quantization.judged import Row, judged, rows_of
from myoedge.quantization.scales import QuantGraph

WEAK_DB = 20.0  # a layer or output below it is weak: its noise exceeds 1 % of the signal's power
GOOD_DB = 30.0  # a layer or output from it on is good
ROUNDED_DB = 40.0  # no gain above it matters; quantised files reach it, as layers may be a step off
STEEP = ("log", "log2", "log10", "reciprocal", "rsqrt")  # unbounded slope near 0
# Samples that are computed together, and elements of all their tensors
BATCH, BATCH_ELEMENTS = 64, 2**26
BEHIND = ("reshape", "ctc_new", "majority")  # operators between a measured tensor and the output


def quantized_inputs(q: QuantGraph, sample: Mapping[str, Array]) -> dict[str, Array]:
    """Quantise the inputs of one sample as the host does, after its normalisation."""
    return {name: q.input_integers(name, x) for name, x in sample.items()}


def real_values(q: QuantGraph, name: str, values: Array) -> Array:
    """Dequantise the integers of a tensor."""
    return dequantize(values, q.params[name]) if name in q.params else values


def before_final(q: QuantGraph, name: str) -> str:
    """Return the tensor before an output's final softmax, followed through data movement; the
    output itself without one."""
    node = q.graph.producer.get(name)
    if node is not None and OPS[node.op].operands.are_compared:
        return node.inputs[0]
    return before_final(q, node.inputs[0]) if node is not None and node.op in BEHIND else name


def measured_tensor(q: QuantGraph, output: str) -> str:
    """Return the name of the tensor on which an output's SQNR is measured; `name.pre` for the value
    before a sigmoid fused as a table."""
    name = before_final(q, output)
    node = q.graph.producer.get(name)
    if node is None:
        return name
    # Functions of `name.pre` are fused into the operator or in a separate node.
    apart = node.op == "table" and node.inputs[0] == name + PRE
    chain: Chain = node.attrs["chain"] if apart else node.attrs.get("act", ())
    return name + PRE if chain == (("sigmoid",),) else name


def judged_tensors(q: QuantGraph, output: str) -> tuple[str, ...]:
    """Return the tensors on which an output's SQNR is measured: before its final function, and
    itself."""
    before = measured_tensor(q, output)
    has_end = _final_function(q, output) is not None and output in q.params
    return (before, output) if has_end else (before,)


def _final_function(q: QuantGraph, output: str) -> str | None:
    """Return the name of the final function between the measured tensor and the output, "softmax"
    or "sigmoid"; None without one."""
    if measured_tensor(q, output).endswith(PRE):
        return "sigmoid"
    node = q.graph.producer.get(output)
    if node is not None and node.op in BEHIND:
        return _final_function(q, node.inputs[0])
    return node.op if node is not None and OPS[node.op].operands.are_compared else None


@dataclass
class _NoiseSums:
    """Sums of signal and noise of one quantised network, accumulated sample by sample.

    names   layers to measure; empty: only outputs
    """

    q: QuantGraph
    names: Sequence[str]
    rows: Mapping[str, Row]
    local: dict[str, Noise] = field(default_factory=lambda: defaultdict(Noise))
    cumulative: dict[str, Noise] = field(default_factory=lambda: defaultdict(Noise))
    outputs: dict[str, list[Noise]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[str, Noise] = field(default_factory=lambda: defaultdict(Noise))
    integer: list[tuple[Array, ...]] = field(default_factory=list)

    def add(self, values: Mapping[str, Array], real: Mapping[str, Array]) -> None:
        """Add the signal and noise of a sample.

        values   integers of all tensors
        real     every value of the float network
        """
        q, steps = self.q, {step.node.name: step for step in self.q.steps}
        for name, of_layer in alone(q, [steps[name] for name in self.names], real):
            self._compare(self.cumulative[name], name, real, values[name])
            if not moves_integers(q, steps[name].node):
                self._compare(self.local[name], name, real, of_layer)
        for output in dict.fromkeys(q.graph.outputs):
            name, *end = judged_tensors(q, output)
            self.outputs[output].append(noise := Noise())
            self._compare(noise, name, real, integers_of(q, name, values))
            for behind in end:
                self._compare(self.ends[output], behind, real, values[behind])
        self.integer.append(tuple(real_values(q, name, values[name]) for name in q.graph.outputs))

    def _compare(self, noise: Noise, name: str, real: Mapping[str, Array], integers: Array) -> None:
        noise.add_judged(judged(self.rows, name, real), real_values(self.q, name, integers))


def measure(q: QuantGraph, samples: InputArrays, *, layers: bool = True) -> Fidelity:
    """Run the samples in floats and integers and return the SQNR of all tensors.

    layers   whether to measure all tensors, not only the outputs
    """
    return measure_each([q], samples, layers=layers)[0]


def measure_each(
    networks: Sequence[QuantGraph], samples: InputArrays, *, layers: bool = False
) -> list[Fidelity]:
    """Return the SQNR of several quantised versions of one float network, which is run only once.

    layers   as for `measure`
    """
    graph = networks[0].graph
    rows, reals = rows_of(graph), list[tuple[Array, ...]]()
    every = [
        _NoiseSums(q, [x.node.name for x in q.steps if layers and x.node.name in q.params], rows)
        for q in networks
    ]
    runs = [integer_runs(q, samples) for q in networks]
    for sample, *of_networks in zip(each_sample(samples), *runs, strict=True):
        real = float_values(graph, sample)
        for sums, values in zip(every, of_networks, strict=True):
            sums.add(values, real)
        reals.append(tuple(real[name] for name in graph.outputs))
    return [_make_fidelity(sums, reals) for sums in every]


def integer_runs(q: QuantGraph, samples: InputArrays) -> Iterator[dict[str, Array]]:
    """Yield the integers of all tensors for each sample; with loops and recurrent layers, whose
    calls are many and small, the samples are computed in batches."""
    rows = (dict(zip(samples, row, strict=True)) for row in zip(*samples.values(), strict=True))
    inputs = (quantized_inputs(q, row) for row in rows)
    if not has_small_calls(q.graph):
        yield from (run_int(q.steps, q.constants, x) for x in inputs)
        return
    while batch := [*islice(inputs, samples_at_once(q.graph))]:
        joined = {name: np.stack([x[name] for x in batch]) for name in q.graph.inputs}
        values = run_int_batch(q.graph, q.steps, q.constants, joined)
        for row in range(len(batch)):
            yield {**q.constants, **{name: x[row] for name, x in values.items()}}


def samples_at_once(graph: Graph) -> int:
    """Return the number of samples of a batch."""
    elements = sum(graph.tensors[node.name].size for node in graph.nodes)
    return max(1, min(BATCH, BATCH_ELEMENTS // max(elements, 1)))


def _make_fidelity(sums: _NoiseSums, reals: Sequence[tuple[Array, ...]]) -> Fidelity:
    graph = sums.q.graph
    return Fidelity(
        {name: sums.local[name].db for name in sums.names if name in sums.local},
        {name: sums.cumulative[name].db for name in sums.names},
        _output_fidelities(graph, sums.outputs, sums.ends, reals, sums.integer),
        tuple(reals),
        tuple(sums.integer),
        tuple(dict.fromkeys(filter(None, (_final_function(sums.q, x) for x in graph.outputs)))),
    )


def _output_fidelities(
    graph: Graph,
    noises: Mapping[str, Sequence[Noise]],
    ends: Mapping[str, Noise],
    reals: Sequence[tuple[Array, ...]],
    integers: Sequence[tuple[Array, ...]],
) -> dict[str, OutputFidelity]:
    found = {}
    for name, of_samples in noises.items():
        at = graph.outputs.index(name)
        pairs = [(x[at], y[at]) for x, y in zip(reals, integers, strict=True)]
        total = sum(of_samples, Noise())
        found[name] = OutputFidelity(
            math.inf if total == Noise() and of_samples else total.db,
            tuple(noise.db for noise in of_samples),
            _class_agreement(graph, name, pairs),
            is_passed_through(graph, name),
            end_db=ends[name].db if name in ends else None,
            interval_db=_sqnr_interval_db(of_samples, is_steep=is_steep(graph, name)),
        )
    return found


def _sqnr_interval_db(noises: Sequence[Noise], *, is_steep: bool) -> Interval | None:
    """Return the confidence interval of an output's SQNR; of a steep function, it includes the
    worst sample."""
    ends = interval_db(*np.array([(x.signal, x.error) for x in noises]).T)
    each_db = [x.db for x in noises if x.db is not None]
    return (min(ends[0], *each_db), ends[1]) if ends is not None and is_steep else ends


def is_passed_through(graph: Graph, name: str) -> bool:
    """Return whether a tensor contains only elements of inputs, moved but not computed."""
    before = ancestors(graph, [name])
    nodes = (node for node in graph.nodes if not before.isdisjoint(node.outputs))
    moves = all(OPS[node.op].is_data_movement or OPS[node.op].view for node in nodes)
    return moves and not before.isdisjoint(graph.inputs)


def is_steep(graph: Graph, name: str) -> bool:
    """Return whether a tensor is computed by functions that are steep near 0, so that few samples
    may have most of the noise."""
    before = ancestors(graph, [name])
    nodes = (node for node in graph.nodes if not before.isdisjoint(node.outputs))
    chains = (node.attrs.get(key, ()) for node in nodes for key in ("chain", "act"))
    return any(function[0] in STEEP for chain in chains for function in chain)


def _class_agreement(graph: Graph, name: str, pairs: Sequence[tuple[Array, Array]]) -> float | None:
    """Return the fraction of frames with equal classes in float and integers; None if the output
    has no class axis."""
    is_float = graph.tensors[name].dtype == "float32"
    axis = class_axis(graph, name) if is_float else None
    if is_float and (axis is None or math.prod(graph.shape(name)[axis : axis + 1]) == 1):
        return None
    same = [np.mean(_class_indices(x, axis) == _class_indices(y, axis)) for x, y in pairs]
    return float(np.mean(same)) if same else None


def _class_indices(scores: Array, axis: int | None) -> Array:
    return scores if axis is None else scores.argmax(axis)


def moves_integers(q: QuantGraph, node: Node) -> bool:
    """Return whether an operator only moves its operands' integers and so adds no noise."""
    moves = OPS[node.op].is_data_movement or OPS[node.op].view
    return moves and all(q.params.get(x) == q.params.get(node.name) for x in operand_names(node))


def alone(
    q: QuantGraph, steps: Iterable[QuantizedNode], real: Mapping[str, Array]
) -> Iterator[tuple[str, Array]]:
    """Yield (operator name, its integers) with operands rounded from the float network, so that
    only the operator's own rounding counts.

    real   float values of all tensors
    """
    for step in steps:
        operands = [_rounded_integers(q, name, real) for name in step.operands]
        yield step.node.name, integer_step(step, operands).reshape(step.out)


def _rounded_integers(q: QuantGraph, name: str, real: Mapping[str, Array]) -> Array:
    """Return the integers of a tensor rounded from its float values."""
    if name in q.constants:
        return q.constants[name]
    return quantize(real[name], q.params[name]) if name in q.params else real[name]


def integers_of(q: QuantGraph, name: str, values: Mapping[str, Array]) -> Array:
    """Return the integers of a tensor; those of `name.pre` before a fused table are computed.

    values   integers of the network's tensors by name
    """
    if name in values:
        return values[name]
    owner = name.removesuffix(PRE)
    step = next(step for step in q.steps if step.node.name == owner)
    integers = OPS[step.node.op].integer(step, *(values[x] for x in step.operands))
    return integers.reshape(step.out)
