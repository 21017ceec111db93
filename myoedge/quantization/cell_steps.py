# SPDX-License-Identifier: Apache-2.0
"""Quantisation steps of an LSTM's cell state c and gate sums, selected from their ranges.

These values are not tensors of the graph. If the default number of fraction bits is too large or
too small, another number becomes an attribute of the nodes that write and read the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from myoedge.graph.ir import Attrs, Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.operators.recurrent.calibrated import (
    Reach,
    exceeds_cell,
    exceeds_gates,
    lstm_reach,
    rounded_bits,
    step_attrs,
)
from myoedge.quantization.calibrate import InputArrays, each_sample, subsample_evenly
from myoedge.quantization.float_runs import float_values
from myoedge.quantization.scales import QuantGraph

ROUNDED_SAMPLES = 32  # samples on which the steps of large values are compared
LSTMS = ("lstm", "lstm_cell")
ATTRIBUTES = {
    "gates": ("gate_bits",),
    "lstm": ("gate_bits", "cell_bits"),
    "lstm_cell": ("gate_bits", "cell_bits", "hidden_bits"),  # h is not returned
}
Layers = Mapping[str, Node]  # by the name of the gates node: one node per layer and direction


def with_cell_steps(graph: Graph, samples: InputArrays, older: QuantGraph | None = None) -> Graph:
    """Return the graph with finer quantisation steps for LSTMs whose ranges over the samples are
    small, and those with the least noise for a c or gate sums that exceed the default range; the
    graph itself if the default steps suffice.

    older   network of an earlier build; its steps are reused for layers of the same name
    """
    layers = _match_lstms(graph)
    if not layers:
        return graph
    reaches = _lstm_reaches(graph, samples, layers)
    bits = _least_noise_bits(graph, subsample_evenly(samples, ROUNDED_SAMPLES), layers, reaches)
    found: dict[str, Attrs] = {
        name: step_attrs(reach, bits.get(name, {})) for name, reach in reaches.items()
    }
    if older is not None:
        found |= {name: kept for name, kept in _steps_of_older_build(older) if name in layers}
    nodes = tuple(_add_step_attributes(node, found) for node in graph.nodes)
    return graph if nodes == graph.nodes else replace(graph, nodes=nodes)


def _add_step_attributes(node: Node, found: Mapping[str, Attrs]) -> Node:
    """Return a node with the step attributes of the LSTM to which it belongs."""
    steps = found.get(node.inputs[0] if node.op in LSTMS else node.name, {})
    more = {name: steps[name] for name in ATTRIBUTES.get(node.op, ()) if name in steps}
    return node.but(attrs={**node.attrs, **more}) if more else node


def _match_lstms(graph: Graph) -> Layers:
    """Match LSTMs: each gates node with the nodes for h of all steps and for the last c, its only
    readers."""
    found: dict[str, Node] = {}
    for node in graph.nodes:
        readers = graph.users.get(node.name, ()) if node.op == "gates" else ()
        if readers and all(x.op in LSTMS and x.inputs == readers[0].inputs for x in readers):
            found[node.name] = readers[0]
    return found


def _lstm_reaches(graph: Graph, samples: InputArrays, layers: Layers) -> dict[str, Reach]:
    found: dict[str, Reach] = {}
    for sample in each_sample(samples):
        values = float_values(graph, sample)
        for name, node in layers.items():
            reach = lstm_reach(node.attrs, *(values[x] for x in node.inputs))
            found[name] = reach.with_other(found[name]) if name in found else reach
    return found


def _least_noise_bits(
    graph: Graph, samples: InputArrays, layers: Layers, reaches: Mapping[str, Reach]
) -> dict[str, dict[str, int]]:
    """Return the fraction bits of c and of gate sums with the least noise, for LSTMs whose values
    exceed the default ranges."""
    large = {
        x: n for x, n in layers.items() if exceeds_cell(reaches[x]) or exceeds_gates(reaches[x])
    }
    if not large:
        return {}
    values = _joined_values(graph, samples, [x for n in large.values() for x in n.inputs[:-1]])
    found: dict[str, dict[str, int]] = {}
    for name, node in large.items():
        operands = [*(values[x] for x in node.inputs[:-1]), graph.array(node.inputs[-1])]
        has_cell = any(x.op == "lstm_cell" for x in graph.users[name])
        found[name] = rounded_bits(node.attrs, operands, reaches[name], reads_cell=has_cell)
    return found


def _joined_values(graph: Graph, samples: InputArrays, names: Iterable[str]) -> dict[str, Array]:
    """Return the float values of gates [T, N, 4H] and states [N, H], all samples along N."""
    found: dict[str, list[Array]] = {name: [] for name in names}
    for sample in each_sample(samples):
        values = float_values(graph, sample)
        for name, every in found.items():
            every.append(values[name])
    return {name: np.concatenate(every, axis=-2) for name, every in found.items()}


def _steps_of_older_build(older: QuantGraph) -> Iterator[tuple[str, Attrs]]:
    """Yield (gates node, step attributes) of each LSTM of another network."""
    for step in older.steps:
        if step.node.op in LSTMS:
            kept = ATTRIBUTES["lstm_cell"]
            yield step.node.inputs[0], {k: v for k, v in step.attrs.items() if k in kept}
