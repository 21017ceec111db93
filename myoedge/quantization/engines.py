# SPDX-License-Identifier: Apache-2.0
"""Engines of the layers of a quantised network: choices, and integers that accelerators compute."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from myoedge.graph.ir import Node
from myoedge.numerics.arrays import ceil_div
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.kernel import AUTO, CORES, FASTEST, EngineChoice
from myoedge.quantization.calibrate import Samples
from myoedge.quantization.reuse import equal
from myoedge.quantization.scales import (
    LayerRule,
    QuantGraph,
    matches,
    quantize_node,
)
from myoedge.quantization.sqnr import ROUNDED_DB, Fidelity, measure
from myoedge.quantization.trials import ENOUGH_DB

MOST_LOST_DB = 0.5  # of an output's SQNR, for layers on accelerators

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
    older   network of another build, whose integers layers keep that have them already; not those
            that are to run on an accelerator and can only with other integers
    """
    before = _by_name(older)
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
        return replace(_as_before(network, step, rules, before), engine=choice)
    if choice.name == AUTO and _is_older(step, before):
        return _on_cores(step, "the older build's integers, which are the cores'")
    again = quantize_node(network.graph, step.node, network.params, rules, unsigned_sums=True)
    broken = [kernel.broken_rule(again) for kernel in kernels]
    if None not in broken:
        return replace(step, engine=replace(choice, broken_rule=broken[0]))
    again = replace(again, engine=choice)
    is_free = choice.name == AUTO and not _is_older(again, before)
    gain = engines.gain(again) if is_free else math.inf
    if gain > 0:
        return again
    engine = kernels[broken.index(None)].engine
    more = f"{-gain:,.0f} estimated cycles more" if math.isfinite(gain) else "no tile in L1"
    return _on_cores(step, f"{engine}: {more}")


def _as_before(
    network: QuantGraph,
    step: QuantizedNode,
    rules: tuple[LayerRule, ...],
    before: QuantizedNode | None,
) -> QuantizedNode:
    """A layer for the cores, with the integers for an accelerator where the older build had them:
    the cores compute these too."""
    has_others = any(kernel.unsigned_sums for kernel in OPS[step.node.op].kernels)
    if before is None or not has_others or equal(step, before):
        return step
    again = quantize_node(network.graph, step.node, network.params, rules, unsigned_sums=True)
    return again if equal(again, before) else step


def _is_older(step: QuantizedNode, before: QuantizedNode | None) -> bool:
    """Whether a layer has the integers that it had in the older build."""
    return before is not None and equal(step, before)


def _on_cores(step: QuantizedNode, reason: str) -> QuantizedNode:
    return replace(step, engine=EngineChoice(CORES, reason))


def on_accelerators(network: QuantGraph, engines: EngineRules) -> frozenset[str]:
    """Layers, by name, that accelerators run in a network of with_engines."""
    return frozenset(
        step.node.name
        for step in network.steps
        if step.engine.name != CORES
        and any(
            kernel.engine in engines.accelerators and kernel.broken_rule(step) is None
            for kernel in OPS[step.node.op].kernels
        )
    )


def within_sqnr(
    cores: QuantGraph,
    network: QuantGraph,
    samples: Samples,
    older: QuantGraph | None = None,
    known: Fidelity | None = None,
    wanted_db: float = 0.0,
    tuned: Callable[[QuantGraph], QuantGraph] = lambda network: network,
) -> tuple[QuantGraph, Fidelity]:
    """The network, with the cores' integers again for layers that were free to have others where
    an output's SQNR is more than MOST_LOST_DB below the cores', and below ENOUGH_DB; and the SQNR
    of its outputs.

    cores     the network with the cores' integers in all layers
    older     as with_engines has it
    known     SQNR with the cores' integers, where it was measured
    wanted_db   that an output is to keep: where it is more than ENOUGH_DB, it takes its place
    tuned     network -> the same with ranges for the accelerators' integers: where the cores keep
              ENOUGH_DB, and an output loses too much below ROUNDED_DB
    Layer by layer both integers have the same noise, within 0.01 dB. What an output loses is
    chance, and other ranges win it back: for 43.4 instead of 36.3 dB fer_minixception took 1.8
    times the cycles on the cores. Of the layers those return first whose own SQNR fell most: half
    of them at a time.
    """
    changed = [
        new for new, old in zip(network.steps, cores.steps, strict=True) if not equal(new, old)
    ]
    reached = known if known and not changed else measure(network, samples, layers=False)
    if not changed:
        return network, reached
    before = known or measure(cores, samples, layers=False)
    enough_db = max(ROUNDED_DB if network.graph.has_fake_quantized else ENOUGH_DB, wanted_db)
    if lose_too_much(before, reached, max(ROUNDED_DB, wanted_db)) and _keeps(before, ENOUGH_DB):
        found = tuned(network)
        fidelity = reached if found is network else measure(found, samples, layers=False)
        is_better = (fidelity.worst_judged_db or 0.0) > (reached.worst_judged_db or 0.0)
        if is_better and not lose_too_much(before, fidelity, enough_db):
            return found, fidelity
    free = _free_names(changed, older)
    if not free or not lose_too_much(before, reached, enough_db):
        return network, reached
    own, other = measure(cores, samples).local, measure(network, samples).local
    free.sort(key=lambda name: (other[name] or 0.0) - (own[name] or 0.0))
    while free and lose_too_much(before, reached, enough_db):
        half = ceil_div(len(free), 2)
        network = with_cores_integers(cores, network, free[:half])
        free, reached = free[half:], measure(network, samples, layers=False)
    return network, reached


def _free_names(changed: Sequence[QuantizedNode], older: QuantGraph | None) -> list[str]:
    """Layers with integers for an accelerator that may have the cores'."""
    kept = _by_name(older)
    return [
        step.node.name
        for step in changed
        if step.engine.name == AUTO and not _is_older(step, kept.get(step.node.name))
    ]


def _keeps(fidelity: Fidelity, db: float) -> bool:
    """Whether every output keeps so many decibels."""
    return (fidelity.worst_judged_db or 0.0) >= db


def lose_too_much(before: Fidelity, after: Fidelity, enough_db: float = math.inf) -> bool:
    """Whether an output's SQNR has fallen by more than MOST_LOST_DB, and below enough_db; outputs
    without a signal have none."""
    pairs = ((db, after.computed_db.get(name)) for name, db in before.computed_db.items())
    below = ((old, new) for old, new in pairs if new is not None and new < enough_db)
    return any(_lost_db(old, new) > MOST_LOST_DB for old, new in below)


def _lost_db(before_db: float, after_db: float) -> float:
    return 0.0 if before_db == after_db else before_db - after_db  # both may be infinite


def with_cores_integers(cores: QuantGraph, network: QuantGraph, names: Sequence[str]) -> QuantGraph:
    """The network with the cores' integers in these layers."""
    reason = f"an output's SQNR was more than {MOST_LOST_DB} dB lower"
    pairs = zip(network.steps, cores.steps, strict=True)
    steps = (_on_cores(old, reason) if old.node.name in names else step for step, old in pairs)
    return replace(network, steps=tuple(steps))


def _by_name(network: QuantGraph | None) -> dict[str, QuantizedNode]:
    return {} if network is None else {step.node.name: step for step in network.steps}
