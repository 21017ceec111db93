# SPDX-License-Identifier: Apache-2.0
"""Bits of weights, within [budget] sqnr: with `--weights auto` as few per layer as [budget] l2,
latency and energy need; by default as few as save cycles where a loop reads weights from external
memory in every step, and 8 beside an int16 operand where these save cycles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from myoedge.building.config_tables import BudgetTable
from myoedge.building.request import LEAST_BITS
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import PRE
from myoedge.numerics.element_type import INT8
from myoedge.operators.turns import times_run
from myoedge.quantization.few_bits import layers_with_int16_weights
from myoedge.quantization.layer_rules import LayerRule
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.goal import Goal
from myoedge.quantization.search.moves.weight_bits import (
    Keeps,
    Stops,
    WeightBudget,
    with_chosen_bits,
)
from myoedge.quantization.search.state import Network, TriedMove, Workshop

if TYPE_CHECKING:
    from myoedge.graph.ir import Graph

AUTO = "auto"
ENOUGH = 1.02  # planned cycles at which bits are not reduced further, of those with the fewest bits


def is_chosen(word: str | None, budget: BudgetTable, *, has_limits: bool) -> bool:
    """Return whether weight bits are chosen automatically.

    word         value of --weights, or of [calib] weights
    has_limits   whether L2, latency or energy is limited
    Errors: E203 another word, E245 no budget.
    """
    if word is None:
        return False
    if word != AUTO:
        tries = ["--weights auto", '[quant] "*" = { weights = 4 }']
        raise MyoedgeError("E203", f"there is no --weights {word}", {"has": AUTO}, tries)
    if budget.sqnr is None and not has_limits:
        facts = {"needs": "[budget] sqnr, l2, latency or energy", "has": "none of them"}
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
) -> tuple[Network, tuple[TriedMove, ...]]:
    """Reduce the weight bits of a network as far as its SQNR goal allows, or until it meets the
    limits; return the network, and the reductions tried.

    stops    the network with all reductions -> the condition that ends the reductions; None: none
             does
    layers   layers whose weights are reduced -> fewest bits; None: all
    """

    def quantise(graph: Graph) -> Network:
        return workshop.make(replace(network.design, graph=graph), network)

    planes = workshop.planes(network.engined)
    budget = WeightBudget(goal.limits(network.cores), stops, planes, layers)
    return with_chosen_bits(network, workshop.bench, workshop.rules, budget, quantise)


def fewest_bits(
    workshop: Workshop,
    network: Network,
    cycles: Callable[[QuantGraph], float],
    *,
    is_read_again: bool,
) -> dict[str, int]:
    """Return the layers whose weights may have fewer bits by default -> fewest bits: those in loops
    that read weights in every step; those of int16, if 8 bits for all of these take fewer cycles.

    cycles          network -> estimated cycles of its plan
    is_read_again   whether loops read weights from external memory in every step
    """
    wide = {name.removesuffix(PRE) for name in layers_with_int16_weights(network.cores)}
    of_8_bits = dict.fromkeys(wide, INT8.bits)
    if is_read_again:
        times = times_run(network.design.graph.nodes)
        return {**of_8_bits, **{name: LEAST_BITS for name, count in times.items() if count > 1}}
    if not wide:
        return {}
    narrow = replace(workshop, rules=(LayerRule("*", weight_bits=INT8.bits), *workshop.rules))
    made = narrow.make(network.design)
    return of_8_bits if cycles(made.engined) < cycles(network.engined) else {}


def with_less_reading(
    workshop: Workshop,
    network: Network,
    goal: Goal,
    cycles: Callable[[QuantGraph], float],
    least: Mapping[str, int],
) -> tuple[Network, tuple[TriedMove, ...]]:
    """Reduce the bits of some layers' weights, in a network that meets its SQNR goal without a
    margin, if its plan then takes fewer cycles; return the network, and the reductions tried.

    cycles   network -> estimated cycles of its plan
    least    layers whose weights are reduced -> fewest bits
    """
    noise = workshop.bench.measure(network.engined).noise()
    if (noise > replace(goal, margin_db=0.0).limits(network.cores)).any():
        return network, ()

    def stops(most: QuantGraph) -> Keeps:
        enough_cycles = ENOUGH * cycles(most)
        return lambda other: other is most or cycles(other) <= enough_cycles

    found, tried = with_weights(workshop, network, goal, stops, least)
    before, after = cycles(network.engined), cycles(found.engined)
    if not tried or after >= before:
        return network, tuple(replace(move, is_kept=False) for move in tried)
    more = after / before - 1.0
    return found, tuple(replace(x, more_cycles=more) if x.is_kept else x for x in tried)
