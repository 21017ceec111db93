# SPDX-License-Identifier: Apache-2.0
"""Move: int8 weights rounded to fit the samples, as in GPTQ, if that takes only seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from myoedge.numerics.element_type import INT8
from myoedge.operators.base import QuantizedNode
from myoedge.operators.interpreter import PRE
from myoedge.quantization.calibrate import Samples
from myoedge.quantization.few_bits import layers_to_round, rounding_work, with_rounded_weights
from myoedge.quantization.layer_rules import LayerRule
from myoedge.quantization.search.goal import UNLIMITED
from myoedge.quantization.search.state import Design, Proposal, Proposals, Search, SearchState

MOST_ROUNDING = 2_000_000_000  # products for rounding weights, where cycles count: some seconds


def rounded_weights(search: Search, state: SearchState) -> Proposals:
    """Propose weights that are rounded to minimise the error on the samples; only those of small
    layers if cycles are limited."""
    workshop, design = search.workshop, state.design
    graph, steps = design.graph, state.network.engined.steps
    of_8_bits = {
        s.node.name.removesuffix(PRE) for s in steps if _has_int8_weights(s, workshop.rules)
    }
    nodes = layers_to_round(graph, [node for node in graph.nodes if node.name in of_8_bits])
    is_quick = rounding_work(graph, nodes) <= MOST_ROUNDING
    if not nodes or not (is_quick or search.goal.budgets == UNLIMITED):
        return
    bits = {node.name: INT8.bits for node in nodes}

    def fit(samples: Samples) -> Design:
        return replace(design, graph=with_rounded_weights(graph, samples, bits))

    yield Proposal("weights rounded for the samples", fit(workshop.bench.samples), fit)


def _has_int8_weights(step: QuantizedNode, rules: Sequence[LayerRule]) -> bool:
    """Return whether a layer's int8 weights may be rounded: not from a file, with one scale per
    channel."""
    weight = step.integers.arrays.get("weight")
    has_rule = any(r.weights == "per_tensor" and r.matches(step.node) for r in rules)
    return weight is not None and weight.dtype == INT8.dtype and not has_rule
