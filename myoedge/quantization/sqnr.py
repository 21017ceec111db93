# SPDX-License-Identifier: Apache-2.0
"""Signal to quantisation noise ratio of integers against floats, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import dequantize, quantize
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.interpreter import PRE, every_value, integer_step, run_integer
from myoedge.quantization.calibrate import Samples, each_sample
from myoedge.quantization.masked_ranges import counted, rows_of
from myoedge.quantization.scales import QuantGraph

FINAL = ("softmax", "log_softmax", "argmax", "ctc_greedy")
SYMBOLS = ("ctc_greedy", "ctc_new")  # of which none has a label
LEAST = 1e-30  # share of the signal: what overflows has no logarithm
BEHIND = ("reshape", "ctc_new", "majority")  # further on, and not measured either


@dataclass
class Noise:
    """Sums of squares, so far."""

    signal: float = 0.0
    error: float = 0.0

    def add(self, real: Array, quantized: Array) -> None:
        exact = real.astype(np.float64)
        self.signal += float(np.sum(exact**2))
        self.error += float(np.sum((exact - quantized) ** 2))

    @property
    def db(self) -> float | None:
        """10 log10(signal / error), at least -300; None without signal, infinite without error."""
        if self.signal == 0.0:
            return None
        share = self.signal / self.error if self.error else math.inf
        return 10.0 * math.log10(share) if share > LEAST else 10.0 * math.log10(LEAST)


@dataclass(frozen=True)
class Fidelity:
    """SQNR of the quantised network and of its layers.

    local       dB per tensor, this operator alone quantised
    cumulative  dB per tensor, everything up to it quantised
    outputs_db  dB per output, over all samples, before a final softmax or sigmoid, without what has
                no share in the softmax
    total_db    dB over all outputs, measured there
    outputs     float and integer outputs per sample, dequantised
    final_functions   at the end, which the dB are measured before: "softmax"
    """

    local: Mapping[str, float | None]
    cumulative: Mapping[str, float | None]
    outputs_db: Mapping[str, float | None]
    total_db: float | None
    real: tuple[tuple[Array, ...], ...] = field(repr=False)
    integer: tuple[tuple[Array, ...], ...] = field(repr=False)
    final_functions: tuple[str, ...] = ()


def quantized_inputs(q: QuantGraph, sample: Mapping[str, Array]) -> dict[str, Array]:
    """Integer inputs of one sample, as the host makes them (border factors first)."""
    return {name: q.input_integers(name, x) for name, x in sample.items()}


def real_values(q: QuantGraph, name: str, values: Array) -> Array:
    """Integers of a tensor as the floats they stand for."""
    return dequantize(values, q.params[name]) if name in q.params else values


def before_final(q: QuantGraph, name: str) -> str:
    """The tensor that SQNR is measured on for an output: its logits where it ends in a softmax."""
    node = q.graph.producer.get(name)
    if node is not None and node.op in FINAL:
        return node.inputs[0]
    return before_final(q, node.inputs[0]) if node is not None and node.op in BEHIND else name


def measured_tensor(q: QuantGraph, output: str) -> str:
    """Name of the tensor that an output's SQNR is measured on; `name.pre` where a sigmoid is a
    table fused into a layer."""
    name = before_final(q, output)
    node = q.graph.producer.get(name)
    is_sigmoid = node is not None and node.attrs.get("act") == (("sigmoid",),)
    return name + PRE if is_sigmoid else name


def _final_function(q: QuantGraph, output: str) -> str | None:
    """The function between the measured tensor and the output: "softmax"; None where there is
    none."""
    if measured_tensor(q, output).endswith(PRE):
        return "sigmoid"
    node = q.graph.producer.get(output)
    if node is not None and node.op in BEHIND:
        return _final_function(q, node.inputs[0])
    return node.op if node is not None and node.op in FINAL else None


def measure(q: QuantGraph, samples: Samples, *, layers: bool = True) -> Fidelity:
    """Runs every sample in floats and integers; compares all tensors, or the outputs only."""
    names = [step.node.name for step in q.steps if step.node.name in q.params and layers]
    local = {name: Noise() for name in names}
    cumulative = {name: Noise() for name in names}
    total, reals, integers = Noise(), [], []
    outputs, rows = {name: Noise() for name in q.graph.outputs}, rows_of(q.graph)
    steps = {step.node.name: step for step in q.steps}
    for sample in each_sample(samples):
        real = every_value(q.graph, sample)
        values = run_integer(q.steps, q.constants, quantized_inputs(q, sample))
        alone = _alone(q, [steps[name] for name in names], real)
        for name in names:
            counts = counted(rows, name, real)
            for noises, result in ((local, alone[name]), (cumulative, values[name])):
                noises[name].add(real[name][counts], real_values(q, name, result)[counts])
        for output, noise in outputs.items():
            name = measured_tensor(q, output)
            counts = counted(rows, name, real)
            quantized = real_values(q, name, _integers_of(name, values, steps))
            noise.add(real[name][counts], quantized[counts])
            total.add(real[name][counts], quantized[counts])
        reals.append(tuple(real[name] for name in q.graph.outputs))
        integers.append(tuple(real_values(q, name, values[name]) for name in q.graph.outputs))
    return Fidelity(
        {name: noise.db for name, noise in local.items()},
        {name: noise.db for name, noise in cumulative.items()},
        {name: noise.db for name, noise in outputs.items()},
        total.db,
        tuple(reals),
        tuple(integers),
        tuple(dict.fromkeys(filter(None, (_final_function(q, x) for x in q.graph.outputs)))),
    )


def _alone(
    q: QuantGraph, steps: Sequence[QuantizedNode], real: Mapping[str, Array]
) -> dict[str, Array]:
    """Integers of each operator alone: of operands without the errors of those before it."""
    exact = {x: quantize(real[x], q.params[x]) for x in real if steps and x in q.params}
    exact |= {x: real[x] for x in q.graph.tensors if steps and x not in q.params}
    exact |= q.constants
    return {
        step.node.name: integer_step(step, [exact[x] for x in step.operands]).reshape(step.out)
        for step in steps
    }


def _integers_of(
    name: str, values: Mapping[str, Array], steps: Mapping[str, QuantizedNode]
) -> Array:
    """Integers of a tensor, or of one before a table that is fused into a layer."""
    if not name.endswith(PRE):
        return values[name]
    step = steps[name.removesuffix(PRE)]
    integers = OPS[step.node.op].integer(step, *(values[x] for x in step.operands))
    return integers.reshape(step.out)


def class_axis(graph: Graph, frames: int | None = None) -> int | None:
    """The axis of the first output along which classes lie; None where nothing tells.

    frames   labels of a sample, where every frame has one
    The axis of a final softmax, the only one that is longer than 1, or else the one besides which
    there are as many numbers as labels.
    """
    name = graph.outputs[0]
    shape, node = graph.shape(name), graph.producer.get(name)
    if node is not None and node.op in ("softmax", "log_softmax"):
        return int(node.attrs["axis"] % len(shape))
    long = [d for d, n in enumerate(shape) if n > 1]
    if len(long) < 2:
        return long[0] if long else len(shape) - 1
    size = math.prod(shape)
    fitting = [d for d in long if size // shape[d] == frames]
    return fitting[0] if len(fitting) == 1 else None


def judges(graph: Graph) -> bool:
    """Whether labels say anything of the first output: nothing of a list of symbols."""
    made = graph.producer.get(graph.outputs[0])
    return made is None or made.op not in SYMBOLS


def accuracy(graph: Graph, outputs: tuple[tuple[Array, ...], ...], labels: Array) -> float | None:
    """Share of frames whose class in the first output, scores or indices, is the label's.

    labels   [samples], of all frames of a sample, or [samples, frames]
    None where the classes' axis is not known, or the output is a list of symbols.
    """
    if not judges(graph):
        return None
    frames = labels.shape[1] if labels.ndim > 1 else None
    axis = class_axis(graph, frames)
    if graph.tensors[graph.outputs[0]].dtype == "float32" and axis is None:
        return None
    scores = [first[0] for first in outputs]  # or indices of classes
    classes = [(x if x.dtype.kind == "i" else x.argmax(axis)).reshape(-1) for x in scores]
    if frames is not None and classes[0].size != frames:
        return None
    pairs = zip(classes, labels, strict=True)
    return float(np.mean([np.mean(best == label) for best, label in pairs]))
