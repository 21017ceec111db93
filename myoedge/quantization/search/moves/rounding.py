# SPDX-License-Identifier: Apache-2.0
"""Moves: int8 weights rounded to fit the samples, as in GPTQ, if that takes only seconds.

With few samples, rounded weights may not generalise: such layers are rounded only if no other move
helps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.element_type import INT8
from myoedge.operators.base import QuantizedNode
from myoedge.operators.interpreter import PRE
from myoedge.quantization.calibrate import InputArrays
from myoedge.quantization.few_bits import (
    ROUNDING_SAMPLES,
    layers_to_round,
    rounding_work,
    weight_of,
    with_rounded_weights,
)
from myoedge.quantization.layer_rules import LayerRule
from myoedge.quantization.search.goal import UNLIMITED
from myoedge.quantization.search.state import Design, Proposal, Proposals, Search, SearchState

MOST_ROUNDING = 2_000_000_000  # multiply-accumulates of rounding, if cycles are limited: seconds
MANY_VECTORS = 4  # input vectors per weight of an output; half of them determine the rounding
REMEDY = "weights rounded for the samples"


def well_determined_weights(search: Search, state: SearchState) -> Proposals:
    """Propose weights rounded to fit the samples, for layers with many more input vectors than
    weights per output."""
    graph = state.design.graph
    count = min(search.workshop.bench.count, ROUNDING_SAMPLES)
    nodes = [
        node for node in _layers_to_round(search, state) if _has_many_vectors(graph, node, count)
    ]
    yield from _propose_rounding(search, state, nodes, f"{REMEDY}, of layers with many vectors")


def rounded_weights(search: Search, state: SearchState) -> Proposals:
    """Propose weights rounded to fit the samples, for all layers."""
    yield from _propose_rounding(search, state, _layers_to_round(search, state), REMEDY)


def _layers_to_round(search: Search, state: SearchState) -> list[Node]:
    graph, steps = state.design.graph, state.network.engined.steps
    rules = search.workshop.rules
    of_8_bits = {s.node.name.removesuffix(PRE) for s in steps if _has_int8_weights(s, rules)}
    return layers_to_round(graph, [node for node in graph.nodes if node.name in of_8_bits])


def _has_many_vectors(graph: Graph, node: Node, samples: int) -> bool:
    """Return whether the samples have at least MANY_VECTORS input vectors per weight."""
    vectors = samples * math.prod(graph.shape(node.name)[:-1])
    return vectors >= MANY_VECTORS * math.prod(graph.shape(weight_of(node))[1:])


def _propose_rounding(
    search: Search, state: SearchState, nodes: Sequence[Node], remedy: str
) -> Proposals:
    """Propose rounded weights for these layers, if rounding is fast enough or cycles are
    unlimited."""
    workshop, design = search.workshop, state.design
    graph = design.graph
    is_quick = rounding_work(graph, nodes) <= MOST_ROUNDING
    if not nodes or not (is_quick or search.goal.budgets == UNLIMITED):
        return
    bits = {node.name: INT8.bits for node in nodes}

    def fit(samples: InputArrays) -> Design:
        return replace(design, graph=with_rounded_weights(graph, samples, bits))

    yield Proposal(remedy, fit(workshop.bench.samples), fit)


def _has_int8_weights(step: QuantizedNode, rules: Sequence[LayerRule]) -> bool:
    """Return whether int8 weights may be rounded: a scale per channel, not from a file."""
    weight = step.integers.arrays.get("weight")
    has_rule = any(r.weights == "per_tensor" and r.matches(step.node) for r in rules)
    return weight is not None and weight.dtype == INT8.dtype and not has_rule
