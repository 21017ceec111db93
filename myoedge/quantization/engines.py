# SPDX-License-Identifier: Apache-2.0
"""Engines of a quantised network's layers: choices, and integers for accelerators."""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace

from myoedge.graph.ir import Node
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.engine_choice import AUTO, CORES, FASTEST, EngineChoice
from myoedge.quantization.scales import QuantGraph, equal, quantize_node
from myoedge.quantization.stated_widths import LayerRule, matches
from myoedge.system.toml_text import toml_text

MISSED = "an output missed its SQNR with the accelerator's integers"
# Layer -> estimated cycles on the cores minus those on the accelerator that supports it.
Gain = Callable[[QuantizedNode], float]


@dataclass(frozen=True, slots=True)
class EngineRules:
    """Rules that choose an engine for every layer.

    accelerators   names of the chip's accelerators
    usual          engine choice for layers that no pattern matches
    patterns       (module-path pattern, engine); the last match wins
    gain           layer -> estimated cycles saved on an accelerator that supports it
    """

    accelerators: frozenset[str] = frozenset()
    usual: EngineChoice = FASTEST
    patterns: tuple[tuple[str, str], ...] = ()
    gain: Gain = lambda step: math.inf

    def choice(self, node: Node) -> EngineChoice:
        """Return the engine requested for a layer."""
        found = [(p, name) for p, name in self.patterns if matches(p, node)]
        if not found:
            return self.usual
        pattern, name = found[-1]
        moves = OPS[node.op].same_scale  # patterns for layers do not mean data movement
        return EngineChoice(name, f'[engine] {toml_text(pattern)} = "{name}"', forced=not moves)


@dataclass(frozen=True)
class EngineIntegers:
    """Function that requantises the layers of a network which accelerators will run.

    An accelerator cannot pre-shift sums. A layer is requantised without a pre-shift if it then
    takes fewer estimated cycles there; the cores compute the same results from these integers.
    engines   rules that choose an engine for every layer
    rules     layer rules of [quant]
    older     network of an earlier build; layers keep its integers, unless they are forced onto an
              accelerator that needs other integers
    """

    engines: EngineRules
    rules: tuple[LayerRule, ...] = ()
    older: QuantGraph | None = None
    _steps_by_id: dict[int, tuple[QuantizedNode, QuantizedNode]] = field(default_factory=dict)

    def __call__(self, network: QuantGraph) -> QuantGraph:
        before = {} if self.older is None else {step.node.name: step for step in self.older.steps}
        for step in network.steps:
            if id(step) not in self._steps_by_id:
                given = (self.engines, self.rules, before.get(step.node.name))
                self._steps_by_id[id(step)] = step, _with_engine(network, step, *given)
        steps = tuple(self._steps_by_id[id(step)][1] for step in network.steps)
        return replace(network, steps=steps)

    def again(self, network: QuantGraph) -> QuantGraph:
        """Return a network whose engines were chosen by other rules with the engines of these.
        Layers that an output needs on the cores stay there."""
        cores = replace(network, steps=tuple(self._on_cores(network, x) for x in network.steps))
        stay = {step.node.name for step in network.steps if step.engine.source == MISSED}
        return with_cores_integers(cores, self(cores), stay)

    def _on_cores(self, network: QuantGraph, step: QuantizedNode) -> QuantizedNode:
        """Return a layer with the cores' integers."""
        if not any(kernel.unsigned_sums for kernel in OPS[step.node.op].kernels):
            return step
        return quantize_node(network.graph, step.node, network.params, self.rules)


def _with_engine(
    network: QuantGraph,
    step: QuantizedNode,
    engines: EngineRules,
    rules: tuple[LayerRule, ...],
    before: QuantizedNode | None,
) -> QuantizedNode:
    choice = engines.choice(step.node)
    kernels = [
        kernel
        for kernel in OPS[step.node.op].kernels
        if kernel.unsigned_sums and kernel.engine in engines.accelerators
    ]
    if not kernels or choice.name == CORES:
        return replace(_restore_core_integers(network, step, rules, before), engine=choice)
    if choice.name == AUTO and _equals_older_layer(step, before):
        return _on_cores(step, "the older build's integers, which are the cores'")
    again = quantize_node(network.graph, step.node, network.params, rules, unsigned_sums=True)
    broken = [kernel.broken_rule(again) for kernel in kernels]
    if None not in broken:
        return replace(step, engine=replace(choice, broken_rule=broken[0]))
    again = replace(again, engine=choice)
    is_free = choice.name == AUTO and not _equals_older_layer(again, before)
    gain = engines.gain(again) if is_free else math.inf
    if gain > 0:
        return again
    engine = kernels[broken.index(None)].engine
    return _on_cores(step, more_cycles(engine, -gain))


def _restore_core_integers(
    network: QuantGraph,
    step: QuantizedNode,
    rules: tuple[LayerRule, ...],
    before: QuantizedNode | None,
) -> QuantizedNode:
    """Return a layer for the cores: with accelerator integers, which the cores support too, if the
    older build used them."""
    has_others = any(kernel.unsigned_sums for kernel in OPS[step.node.op].kernels)
    if before is None or not has_others or equal(step, before):
        return step
    again = quantize_node(network.graph, step.node, network.params, rules, unsigned_sums=True)
    return again if equal(again, before) else step


def _equals_older_layer(step: QuantizedNode, before: QuantizedNode | None) -> bool:
    """Return whether a layer has the same integers as the older build's layer."""
    return before is not None and equal(step, before)


def _on_cores(step: QuantizedNode, reason: str) -> QuantizedNode:
    return replace(step, engine=EngineChoice(CORES, reason))


def on_accelerators(network: QuantGraph, engines: EngineRules) -> frozenset[str]:
    """Return the names of the layers that accelerators run, for a network returned by
    EngineIntegers."""
    return frozenset(
        step.node.name
        for step in network.steps
        if step.engine.name != CORES
        and any(
            kernel.engine in engines.accelerators and kernel.broken_rule(step) is None
            for kernel in OPS[step.node.op].kernels
        )
    )


def free_layers(cores: QuantGraph, network: QuantGraph) -> list[QuantizedNode]:
    """Return the layers with accelerator integers whose engine is not forced, so that they may use
    the cores' integers instead.

    cores, network   the network before and after EngineIntegers
    """
    pairs = zip(network.steps, cores.steps, strict=True)
    return [new for new, old in pairs if new.engine.name == AUTO and not equal(new, old)]


def with_cores_integers(
    cores: QuantGraph, network: QuantGraph, names: Container[str]
) -> QuantGraph:
    """Return the network in which the layers `names` have the integers of `cores`."""
    pairs = zip(network.steps, cores.steps, strict=True)
    steps = (_on_cores(old, MISSED) if old.node.name in names else step for step, old in pairs)
    return replace(network, steps=tuple(steps))


def more_cycles(engine: str, more: float) -> str:
    """Return a reason against an engine, for messages: that it takes more estimated cycles, or has
    no tile (infinitely many); "" if they round to none."""
    if math.isinf(more):
        return f"{engine}: no tile in L1"
    return f"{engine}: {more:,.0f} estimated cycles more" if round(more) else ""
