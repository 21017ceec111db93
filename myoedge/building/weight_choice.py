# SPDX-License-Identifier: Apache-2.0
"""Bits of weights, within [budget] sqnr: with `--weights auto` as few per layer as [budget] l2,
latency and energy need; with `--weights fast` as few as save cycles of an accelerator, or of a run
that waits for weights; by default as few as save cycles where a loop reads weights from external
memory in every step, and 8 beside an int16 operand where these save cycles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from myoedge.building.config_tables import AUTO, FAST, BudgetTable
from myoedge.building.request import LEAST_BITS
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import PRE, Node
from myoedge.numerics.element_type import INT8
from myoedge.numerics.weight_format import WeightFormat
from myoedge.operators.turns import has_loops, times_run
from myoedge.quantization.few_bits import (
    Weight,
    layers_to_round,
    layers_with_int16_weights,
    nearest_format,
    rounding_work,
    weight_of,
)
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.goal import Goal
from myoedge.quantization.search.moves.weight_bits import with_chosen_bits
from myoedge.quantization.search.moves.weight_steps import (
    MOST_ROUNDING,
    PROBED_BITS,
    Accepts,
    Keeps,
    Stops,
    WeightBudget,
)
from myoedge.quantization.search.state import (
    NO_READING,
    ConstantReading,
    Design,
    Network,
    TriedMove,
    Workshop,
)
from myoedge.quantization.stated_widths import LayerRule, weight_rule

if TYPE_CHECKING:
    from myoedge.graph.ir import Graph

LEAST_SAVED = 0.01  # fraction of the network's cycles, by PROBED_BITS in one layer
ENOUGH = 1.02  # planned cycles at which bits are not reduced further, of those with the fewest bits


def is_chosen(word: str | None, budget: BudgetTable, *, has_limits: bool) -> bool:
    """Return whether weight bits are chosen for a budget.

    word         value of --weights, or of [calib] weights
    has_limits   whether L2, external parts, latency or energy are limited
    Errors: E203 another word, E245 no budget.
    """
    if word in (None, FAST):
        return False
    has_budget = has_limits or budget.sqnr is not None
    if word != AUTO:
        tries = ["--weights fast", '[quant] "*" = { weights = 4 }']
        tries += ["--weights auto"] * has_budget
        has = {"has": f"{AUTO}, {FAST}"}
        raise MyoedgeError("E203", f"there is no --weights {word}", has, tries)
    if not has_budget:
        facts = {"needs": "[budget] sqnr, l2, external, latency or energy", "has": "none of them"}
        tries = ["[budget] sqnr = 25.0", "build --l2 900KiB", '[quant] "*" = { weights = 4 }']
        title = "bits of weights are chosen for a budget, and none is given"
        raise MyoedgeError("E245", title, facts, tries)
    return True


def with_weights(
    workshop: Workshop,
    network: Network,
    goal: Goal,
    stops: Stops | None,
    layers: Mapping[str, int] | None = None,
    cycles: Mapping[str, float] | None = None,
    accepts: Accepts | None = None,
) -> tuple[Network, tuple[TriedMove, ...]]:
    """Reduce the weight bits of a network as far as its SQNR goal allows, or until it meets the
    limits; return the network, and the reductions tried.

    stops    the network with all reductions -> the condition that ends the reductions; None: none
             does
    layers, cycles, accepts   as in WeightBudget
    """

    def quantise(graph: Graph) -> Network:
        return workshop.make(replace(network.design, graph=graph), network)

    planes = workshop.planes(network.engined)
    budget = WeightBudget(goal.limits(network.cores), stops, planes, layers, cycles, accepts)
    return with_chosen_bits(network, workshop.bench, workshop.rules, budget, quantise)


@dataclass(frozen=True)
class CycleSaving:
    """Conditions for reducing weight bits to save cycles.

    cycles          network -> estimated cycles of its plan
    accepts         as in WeightBudget
    reading         network -> reading of its constants from memories behind L2
    is_fast         whether bits are also reduced where an accelerator reads weights bit by bit, or
                    where a run waits for weights
    """

    cycles: Callable[[QuantGraph], float]
    accepts: Accepts
    reading: Callable[[QuantGraph], ConstantReading]
    is_fast: bool = False


def with_fewer_bits(
    workshop: Workshop, network: Network, goal: Goal, by: CycleSaving
) -> tuple[Network, tuple[TriedMove, ...]]:
    """Reduce weight bits if the plan of the network then takes fewer cycles: where loops read
    weights again, and of int16 weights, then for shorter jobs of an accelerator and shorter waits;
    return the network, and the reductions tried."""
    is_read = by.is_fast or has_loops(network.engined.graph)
    reading = by.reading(network.engined) if is_read else NO_READING
    least, tried = _fewest_bits(workshop, network, by, reading), tuple[TriedMove, ...]()
    if least:
        network, tried = _reduce_bits_read(workshop, network, goal, by, least)
    saved = _cycles_saved_per_bit(workshop, network, by, reading) if by.is_fast else {}
    if not saved:
        return network, tried
    layers = dict.fromkeys(saved, PROBED_BITS)
    found = with_weights(workshop, network, goal, None, layers, saved, by.accepts)
    network, more = _keep_if_faster(network, *found, by.cycles)
    return network, (*tried, *more)


def _fewest_bits(
    workshop: Workshop, network: Network, by: CycleSaving, reading: ConstantReading
) -> dict[str, int]:
    """Return the layers whose weights may have fewer bits by default -> fewest bits: those in loops
    that read weights in every step; those of int16, if 8 bits for all of these take fewer
    cycles."""
    wide = {name.removesuffix(PRE) for name in layers_with_int16_weights(network.cores)}
    of_8_bits = dict.fromkeys(wide, INT8.bits)
    if reading.turns > 1:
        times = times_run(network.design.graph.nodes)
        return {**of_8_bits, **{name: LEAST_BITS for name, count in times.items() if count > 1}}
    if not wide:
        return {}
    narrow = replace(workshop, rules=(LayerRule("*", weight_bits=INT8.bits), *workshop.rules))
    made = narrow.make(network.design)
    return of_8_bits if by.cycles(made.engined) < by.cycles(network.engined) else {}


def _reduce_bits_read(
    workshop: Workshop, network: Network, goal: Goal, by: CycleSaving, least: Mapping[str, int]
) -> tuple[Network, tuple[TriedMove, ...]]:
    """Reduce the bits of some layers' weights, in a network that meets its SQNR goal without a
    margin.

    least   layers whose weights are reduced -> fewest bits
    """
    noise = workshop.bench.measure(network.engined).noise()
    if (noise > replace(goal, margin_db=0.0).limits(network.cores)).any():
        return network, ()

    def stops(most: QuantGraph) -> Keeps:
        enough_cycles = ENOUGH * by.cycles(most)
        return lambda other: other is most or by.cycles(other) <= enough_cycles

    found = with_weights(workshop, network, goal, stops, least, accepts=by.accepts)
    return _keep_if_faster(network, *found, by.cycles)


def _cycles_saved_per_bit(
    workshop: Workshop, network: Network, by: CycleSaving, reading: ConstantReading
) -> dict[str, float]:
    """Return layer -> estimated cycles that a bit less of its weights saves, of layers whose cycles
    depend much on the bits; the first of them by cycles per work of rounding, up to MOST_ROUNDING.
    A layer takes the longer of computing and, where the run waits, reading its constants.
    """
    if reading.cycles_of_byte:
        workshop, network = workshop.reads(network, reading, by.cycles(network.engined))
    graph = network.design.graph
    free = [x for x in graph.nodes if weight_rule(workshop.rules, x) is None]
    nodes = layers_to_round(graph, free)
    other = workshop.make(_with_bits(network, nodes), network)
    before, after = network.cycles_of_layers, other.cycles_of_layers
    saved = {x.name: before[x.name] - after[x.name] for x in nodes}
    work = {x.name: rounding_work(graph, [x]) for x in nodes}
    left, found = MOST_ROUNDING, dict[str, float]()
    for name in sorted(saved, key=lambda name: -saved[name] / work[name]):
        if work[name] <= left and saved[name] >= LEAST_SAVED * network.cycles:
            left -= work[name]
            found[name] = saved[name] / (INT8.bits - PROBED_BITS)
    return found


def _with_bits(network: Network, nodes: Sequence[Node]) -> Design:
    """Return the network's design with weights of PROBED_BITS in some layers, rounded to nearest,
    to estimate their cycles."""
    graph, params, used = network.design.graph, network.cores.params, WeightFormat(PROBED_BITS)
    weights = {x.name: Weight((weight_of(x),), (x,)) for x in nodes}
    formats = {
        weight_of(x): nearest_format(graph, weights[x.name], used, params[x.inputs[0]])
        for x in nodes
    }
    return replace(network.design, graph=graph.with_formats(formats))


def _keep_if_faster(
    before: Network,
    found: Network,
    tried: tuple[TriedMove, ...],
    cycles: Callable[[QuantGraph], float],
) -> tuple[Network, tuple[TriedMove, ...]]:
    """Return a network with fewer bits if its plan takes fewer cycles, otherwise the one before;
    and the reductions tried."""
    if found is before:
        return before, tried
    old, new = cycles(before.engined), cycles(found.engined)
    if new >= old:
        return before, tuple(replace(move, is_kept=False) for move in tried)
    more = new / old - 1.0
    return found, tuple(replace(x, more_cycles=more) if x.is_kept else x for x in tried)
