# SPDX-License-Identifier: Apache-2.0
"""Parameters of an older build for the unchanged layers of a network that was fine-tuned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from myoedge.graph.ir import Graph, Node, plain
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.interpreter import PRE
from myoedge.quantization.scales import LayerRule, QuantGraph, quantize_node
from myoedge.quantization.shared_scales import operand_names


@dataclass(frozen=True, slots=True)
class Reuse:
    """Layers with the integers of an older build (`kept`) and the others, by label; its digest."""

    digest: str
    kept: tuple[str, ...]
    requantised: tuple[str, ...]


def with_params_of(graph: Graph, old: QuantGraph, rules: tuple[LayerRule, ...]) -> Graph:
    """The graph with the old parameters carried by all operands and results of unchanged layers.

    A layer is unchanged if its float weights become the old integers under the old parameters, one
    without weights if all layers before it are unchanged. Parameters that the graph carries already
    stay.
    """
    steps = {step.node.name: step for step in old.steps}
    same: set[str] = {name for name in graph.inputs if _shape(old, name) == graph.shape(name)}
    kept: dict[str, QuantParams] = {}
    for node in graph.nodes:
        before = steps.get(node.name)
        if before is not None and _unchanged(graph, node, before, old, rules, same):
            same.add(node.name)
            names = (*operand_names(node), node.name, node.name + PRE)
            kept |= {name: old.params[name] for name in names if name in old.params}
    return replace(graph, quant_params={**kept, **graph.quant_params})


def _shape(old: QuantGraph, name: str) -> object:
    return old.graph.shape(name) if name in old.graph.tensors else None


def _unchanged(
    graph: Graph,
    node: Node,
    before: QuantizedNode,
    old: QuantGraph,
    rules: tuple[LayerRule, ...],
    same: set[str],
) -> bool:
    alike = before.node.op == node.op and plain(before.node.attrs) == plain(node.attrs)
    shapes = tuple(map(graph.shape, operand_names(node)))
    if not alike or (before.operands, before.shapes) != (operand_names(node), shapes):
        return False
    if not OPS[node.op].weights:
        return same.issuperset(x for x in node.inputs if not graph.is_const(x))
    return equal(quantize_node(graph, node, old.params, rules), before)


def equal(a: QuantizedNode, b: QuantizedNode) -> bool:
    """Whether two quantised nodes have equal integers, bit for bit."""
    left, right = a.integers, b.integers
    numbers = dict(left.scalars) == dict(right.scalars) and (a.low, a.high) == (b.low, b.high)
    return (
        numbers
        and left.arrays.keys() == right.arrays.keys()
        and all(
            x.dtype == right.arrays[name].dtype and np.array_equal(x, right.arrays[name])
            for name, x in left.arrays.items()
        )
    )


def reused_layers(network: QuantGraph, old: QuantGraph) -> Reuse:
    """Layers of the network that have the integers of the old one; views are no layers."""
    steps = {step.node.name: step for step in old.steps}
    kept: list[QuantizedNode] = []
    others: list[QuantizedNode] = []
    for step in network.steps:
        if not OPS[step.node.op].view:
            before = steps.get(step.node.name)
            (kept if before is not None and equal(step, before) else others).append(step)
    return Reuse(old.digest, _labels(kept), _labels(others))


def shares_weights(network: QuantGraph, old: QuantGraph) -> bool:
    """Whether a layer has its old weights, or no layer has weights."""
    steps = {step.node.name: step for step in old.steps}
    weighted = [step for step in network.steps if OPS[step.node.op].weights]
    pairs = [(step, steps.get(step.node.name)) for step in weighted]
    same = (before is not None and equal(step, before) for step, before in pairs)
    return not weighted or any(same)


def _labels(steps: Iterable[QuantizedNode]) -> tuple[str, ...]:
    return tuple(step.node.label for step in steps)
