# SPDX-License-Identifier: Apache-2.0
"""How far the integers are from the floats: signal to quantisation noise, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from myoedge.fixedpoint import dequantize, quantize
from myoedge.ir import Array
from myoedge.op import OPS
from myoedge.quant.choose import QuantGraph
from myoedge.quant.observe import Samples, each
from myoedge.reference import PRE, at_border, every_value, integer_step, run_integer

FINAL = ("softmax", "log_softmax", "argmax", "ctc_greedy")
BEHIND = ("reshape", "ctc_new", "majority")  # further on, and not measured either


@dataclass
class Noise:
    """Sums of squares, so far."""

    signal: float = 0.0
    error: float = 0.0

    def add(self, real: Array, found: Array) -> None:
        wanted = real.astype(np.float64)
        self.signal += float(np.sum(wanted**2))
        self.error += float(np.sum((wanted - found) ** 2))

    @property
    def db(self) -> float | None:
        """10 log10(signal / error); None without a signal, infinite without an error."""
        if self.signal == 0.0:
            return None
        return math.inf if self.error == 0.0 else 10.0 * math.log10(self.signal / self.error)


@dataclass(frozen=True)
class Fidelity:
    """What quantisation costs.

    local       dB per tensor, this operator alone quantised
    cumulative  dB per tensor, everything up to it quantised
    outputs_db  dB per output, over all samples, before a final softmax or sigmoid
    total_db    dB over all outputs
    outputs     float and integer outputs per sample, dequantised
    """

    local: Mapping[str, float | None]
    cumulative: Mapping[str, float | None]
    outputs_db: Mapping[str, float | None]
    total_db: float | None
    real: tuple[tuple[Array, ...], ...] = field(repr=False)
    integer: tuple[tuple[Array, ...], ...] = field(repr=False)


def quantized_inputs(q: QuantGraph, sample: Mapping[str, Array]) -> dict[str, Array]:
    """Integer inputs of one sample, as the host makes them (border factors first)."""
    return {
        name: quantize(at_border(q.graph, name, x), q.params[name]) for name, x in sample.items()
    }


def real_values(q: QuantGraph, name: str, values: Array) -> Array:
    """Integers of a tensor as the floats they stand for."""
    return dequantize(values, q.params[name]) if name in q.params else values


def before_final(q: QuantGraph, name: str) -> str:
    """The tensor that SQNR is measured on for an output: its logits where it ends in a softmax."""
    node = q.graph.producer.get(name)
    if node is not None and node.op in FINAL:
        return node.inputs[0]
    return before_final(q, node.inputs[0]) if node is not None and node.op in BEHIND else name


def judged(q: QuantGraph, output: str) -> str:
    """The same; `name.pre` where its sigmoid is a table fused into a layer."""
    name = before_final(q, output)
    node = q.graph.producer.get(name)
    act = () if node is None else node.attrs.get("act", ())
    return name + PRE if [function for function, *_ in act] == ["sigmoid"] else name


def judged_values(q: QuantGraph, name: str, found: Mapping[str, Array]) -> Array:
    """What the integers of a judged tensor stand for."""
    if not name.endswith(PRE):
        return real_values(q, name, found[name])
    step = next(step for step in q.steps if step.node.name == name.removesuffix(PRE))
    before = OPS[step.node.op].integer(step, *(found[x] for x in step.operands))
    return real_values(q, name, before.reshape(step.out))


def measure(q: QuantGraph, samples: Samples, *, layers: bool = True) -> Fidelity:
    """Runs every sample in floats and integers; compares all tensors, or the outputs only."""
    names = [step.node.name for step in q.steps if step.node.name in q.params and layers]
    local = {name: Noise() for name in names}
    cumulative = {name: Noise() for name in names}
    total, reals, integers = Noise(), [], []
    outputs = {name: Noise() for name in q.graph.outputs}
    for sample in each(samples):
        real = every_value(q.graph, sample)
        found = run_integer(q.steps, q.constants, quantized_inputs(q, sample))
        _layers(q, real, found, local, cumulative)
        for output, noise in outputs.items():
            name = judged(q, output)
            mine = judged_values(q, name, found)
            noise.add(real[name], mine)
            total.add(real[name], mine)
        reals.append(tuple(real[name] for name in q.graph.outputs))
        integers.append(tuple(real_values(q, name, found[name]) for name in q.graph.outputs))
    return Fidelity(
        {name: noise.db for name, noise in local.items()},
        {name: noise.db for name, noise in cumulative.items()},
        {name: noise.db for name, noise in outputs.items()},
        total.db,
        tuple(reals),
        tuple(integers),
    )


def _layers(
    q: QuantGraph,
    real: Mapping[str, Array],
    found: Mapping[str, Array],
    local: Mapping[str, Noise],
    cumulative: Mapping[str, Noise],
) -> None:
    for step in q.steps:
        name = step.node.name
        if name not in local:
            continue
        alone = integer_step(step, [_exact_input(q, n, real) for n in step.operands])
        local[name].add(real[name], real_values(q, name, alone.reshape(step.out)))
        cumulative[name].add(real[name], real_values(q, name, found[name]))


def _exact_input(q: QuantGraph, name: str, real: Mapping[str, Array]) -> Array:
    return q.constants[name] if name in q.constants else quantize(real[name], q.params[name])


def accuracy(outputs: tuple[tuple[Array, ...], ...], labels: Array) -> float:
    """Share of samples whose first output is largest (or, for argmax, equal) at the label."""
    hits = [
        _predicted(first[0]) == int(label) for first, label in zip(outputs, labels, strict=True)
    ]
    return float(np.mean(hits))


def _predicted(output: Array) -> int:
    return int(output.reshape(-1)[0]) if output.dtype.kind == "i" else int(np.argmax(output))
