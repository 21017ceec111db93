# SPDX-License-Identifier: Apache-2.0
"""Noise sources: for a layer with low SQNR, the tensor whose rounding causes most of the noise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from myoedge.graph.ir import Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import rounded
from myoedge.operators.base import QuantizedNode
from myoedge.operators.interpreter import stated_node
from myoedge.quantization.calibrate import InputArrays, each_sample
from myoedge.quantization.fidelity import Fidelity, Noise
from myoedge.quantization.float_runs import float_values
from myoedge.quantization.judged import judged, rows_of
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import WEAK_DB, alone, moves_integers, real_values

MAX_SAMPLES = 4  # samples on which the sources are determined
MOST = 0.5  # fraction of a layer's noise that an operand has to cause


def with_sources(q: QuantGraph, fidelity: Fidelity, samples: InputArrays) -> Fidelity:
    """Return a copy of `fidelity` with noise sources: for the weakest layer and all layers below
    WEAK_DB, the tensor that causes most of the noise."""
    known = {name: db for name, db in fidelity.local.items() if db is not None}
    weakest = min(known, key=known.__getitem__, default=None)
    names = [name for name, db in known.items() if db < WEAK_DB or name == weakest]
    if not names:
        return fidelity
    few = {name: values[:MAX_SAMPLES] for name, values in samples.items()}
    return replace(fidelity, sources=noise_sources(q, names, few))


def noise_sources(q: QuantGraph, names: Iterable[str], samples: InputArrays) -> dict[str, str]:
    """Return layer -> tensor that causes most of its noise: an operand whose rounding causes at
    least half, otherwise the layer's own result."""
    steps = {step.node.name: step for step in q.steps}
    asked = [steps[name] for name in names]
    total = {step.node.name: Noise() for step in asked}
    by_operand = {
        (step.node.name, x): Noise() for step in asked for x in _rounded_operands(q, step)
    }
    rows = rows_of(q.graph)
    for sample in each_sample(samples):
        real = float_values(q.graph, sample)
        for name, integers in alone(q, asked, real):
            total[name].add_judged(judged(rows, name, real), real_values(q, name, integers))
        for (name, x), noise in by_operand.items():
            noise.add_judged(
                judged(rows, name, real), _result_with_rounded_operand(q, steps[name].node, x, real)
            )
    return {name: _noise_source(q, name, total[name], by_operand) for name in total}


def _rounded_operands(q: QuantGraph, step: QuantizedNode) -> list[str]:
    """Return the operands of a layer that are rounded: inputs and computed tensors."""
    return [x for x in dict.fromkeys(step.node.inputs) if x in q.params and x not in q.constants]


def _result_with_rounded_operand(
    q: QuantGraph, node: Node, operand: str, real: Mapping[str, Array]
) -> Array:
    """Return a layer's float result with one operand rounded."""
    values = [rounded(real[x], q.params[x]) if x == operand else real[x] for x in node.inputs]
    return stated_node(q.graph, node, values)[1]


def _noise_source(
    q: QuantGraph, name: str, total: Noise, by_operand: Mapping[tuple[str, str], Noise]
) -> str:
    errors = {x: noise.error for (reader, x), noise in by_operand.items() if reader == name}
    most = max(errors, key=errors.__getitem__, default=name)
    if errors.get(most, 0.0) < MOST * total.error:
        return name
    return _integer_producer(q, most)


def _integer_producer(q: QuantGraph, name: str) -> str:
    """Follow data movement back to the tensor that computes a tensor's integers."""
    node = q.graph.producer.get(name)
    if node is None or len(node.inputs) != 1 or not moves_integers(q, node):
        return name
    return _integer_producer(q, node.inputs[0])
