# SPDX-License-Identifier: Apache-2.0
"""Engines of the layers of a quantised network: choices, and integers that accelerators compute."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from myoedge.graph.ir import Node
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.kernel import AUTO, CORES, FASTEST, EngineChoice
from myoedge.quantization.calibrate import Samples
from myoedge.quantization.reuse import equal
from myoedge.quantization.scales import LayerRule, QuantGraph, matches, quantize_node
from myoedge.quantization.sqnr import Fidelity, measure

MOST_LOST_DB = 0.5  # of a network's SQNR, for layers on accelerators

# Layer -> estimated cycles on the cores less those on the accelerator that accepts it.
Gain = Callable[[QuantizedNode], float]


@dataclass(frozen=True, slots=True)
class EngineRules:
    """Choice of an engine for every layer.

    accelerators   of the chip, by name
    usual          of layers that no pattern matches
    patterns       of module paths, with the engine's name; of several the last counts
    gain           of layers that an accelerator accepts
    """

    accelerators: frozenset[str] = frozenset()
    usual: EngineChoice = FASTEST
    patterns: tuple[tuple[str, str], ...] = ()
    gain: Gain = lambda step: math.inf

    def choice(self, node: Node) -> EngineChoice:
        """Engine that a layer is to run on."""
        found = [(p, name) for p, name in self.patterns if matches(p, node)]
        if not found:
            return self.usual
        pattern, name = found[-1]
        moves = OPS[node.op].same_scale  # between layers: no pattern means them
        return EngineChoice(name, f'[engine] "{pattern}" = "{name}"', forced=not moves)


def with_engines(
    network: QuantGraph,
    engines: EngineRules,
    rules: Sequence[LayerRule] = (),
    older: QuantGraph | None = None,
) -> QuantGraph:
    """The network, requantised without a pre-shift where an accelerator that a layer's choice
    allows then runs the layer in fewer estimated cycles.

    Cores compute the same integers, so that the planner may still choose them.
    older   network of another build, whose integers layers keep that have them already
    """
    before = {} if older is None else {step.node.name: step for step in older.steps}
    steps = (
        _with_engine(network, step, engines, tuple(rules), before.get(step.node.name))
        for step in network.steps
    )
    return replace(network, steps=tuple(steps))


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
        return replace(step, engine=choice)
    if choice.name == AUTO and before is not None and equal(step, before):
        return _on_cores(step, "the older build's integers, which are the cores'")
    again = quantize_node(network.graph, step.node, network.params, rules, unsigned_sums=True)
    broken = [kernel.broken_rule(again) for kernel in kernels]
    if None not in broken:
        return replace(step, engine=replace(choice, broken_rule=broken[0]))
    again = replace(again, engine=choice)
    gain = engines.gain(again) if choice.name == AUTO else math.inf
    if gain > 0:
        return again
    engine = kernels[broken.index(None)].engine
    more = f"{-gain:,.0f} estimated cycles more" if math.isfinite(gain) else "no tile in L1"
    return _on_cores(step, f"{engine}: {more}")


def _on_cores(step: QuantizedNode, reason: str) -> QuantizedNode:
    return replace(step, engine=EngineChoice(CORES, reason))


def within_sqnr(
    cores: QuantGraph, network: QuantGraph, samples: Samples
) -> tuple[QuantGraph, Fidelity]:
    """The network, with the cores' integers again for layers that were free to have others where
    an output's SQNR is more than MOST_LOST_DB below the cores'; and its SQNR.

    cores     the network with the cores' integers in all layers
    Of the layers those return first whose own SQNR fell most: half of them at a time.
    """
    reached = measure(network, samples)
    names = [step.node.name for step in _requantised(cores, network)]
    if not names:
        return network, reached
    before = measure(cores, samples, layers=False)
    if _lost_db(before, reached) <= MOST_LOST_DB:
        return network, reached
    own, other = measure(cores, samples).local, reached.local
    names.sort(key=lambda name: (own[name] or 0.0) - (other[name] or 0.0))
    while names and _lost_db(before, reached) > MOST_LOST_DB:
        names = names[: len(names) // 2]
        network = _with_cores_integers(cores, network, frozenset(names))
        reached = measure(network, samples)
    return network, reached


def _lost_db(before: Fidelity, after: Fidelity) -> float:
    """SQNR that the worst output has lost; outputs without a signal have none."""
    pairs = ((db, after.outputs_db[name]) for name, db in before.outputs_db.items())
    lost = (old - new for old, new in pairs if old is not None and new is not None and old != new)
    return max(lost, default=0.0)


def _requantised(cores: QuantGraph, network: QuantGraph) -> list[QuantizedNode]:
    """Layers without a stated engine whose integers are not the cores'."""
    return [
        step
        for step, before in zip(network.steps, cores.steps, strict=True)
        if step.engine.name == AUTO and not equal(step, before)
    ]


def _with_cores_integers(
    cores: QuantGraph, network: QuantGraph, kept: frozenset[str]
) -> QuantGraph:
    """The network with the cores' integers in all requantised layers but those that are kept."""
    again = {step.node.name for step in _requantised(cores, network)} - kept
    reason = f"an output's SQNR was more than {MOST_LOST_DB} dB lower"
    return replace(
        network,
        steps=tuple(
            _on_cores(before, reason) if step.node.name in again else step
            for step, before in zip(network.steps, cores.steps, strict=True)
        ),
    )
