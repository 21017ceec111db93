# SPDX-License-Identifier: Apache-2.0
"""Engines of the layers of a quantised network: choices, and integers that accelerators compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from myoedge.graph.ir import Node
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.kernel import CORES, FASTEST, EngineChoice
from myoedge.quantization.scales import LayerRule, QuantGraph, matches, quantize_node


@dataclass(frozen=True, slots=True)
class EngineRules:
    """Choice of an engine for every layer.

    accelerators   of the chip, by name
    usual          of layers that no pattern matches
    patterns       of module paths, with the engine's name; of several the last counts
    """

    accelerators: frozenset[str] = frozenset()
    usual: EngineChoice = FASTEST
    patterns: tuple[tuple[str, str], ...] = ()

    def choice(self, node: Node) -> EngineChoice:
        """Engine that a layer is to run on."""
        found = [(p, name) for p, name in self.patterns if matches(p, node)]
        if not found:
            return self.usual
        pattern, name = found[-1]
        moves = OPS[node.op].same_scale  # between layers: no pattern means them
        return EngineChoice(name, f'[engine] "{pattern}" = "{name}"', forced=not moves)


def with_engines(
    network: QuantGraph, engines: EngineRules, rules: Sequence[LayerRule] = ()
) -> QuantGraph:
    """The network, requantised without a pre-shift where an accelerator that a layer's choice
    allows then runs the layer.

    Cores compute the same integers, so that the planner may still choose them.
    """
    steps = tuple(_with_engine(network, step, engines, tuple(rules)) for step in network.steps)
    return replace(network, steps=steps)


def _with_engine(
    network: QuantGraph, step: QuantizedNode, engines: EngineRules, rules: tuple[LayerRule, ...]
) -> QuantizedNode:
    choice = engines.choice(step.node)
    kernels = [
        kernel
        for kernel in OPS[step.node.op].kernels
        if kernel.unsigned_sums and kernel.engine in engines.accelerators
    ]
    if not kernels or choice.name == CORES:
        return replace(step, engine=choice)
    again = quantize_node(network.graph, step.node, network.params, rules, unsigned_sums=True)
    broken = [kernel.broken_rule(again) for kernel in kernels]
    if None in broken:
        return replace(again, engine=choice)
    return replace(step, engine=replace(choice, broken_rule=broken[0]))
