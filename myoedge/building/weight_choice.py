# SPDX-License-Identifier: Apache-2.0
"""The option `--weights auto`: as few weight bits per layer as [budget] l2 and energy need, within
[budget] sqnr."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from myoedge.building.config_tables import BudgetTable
from myoedge.building.plans import planned
from myoedge.building.request import BuildRequest
from myoedge.errors import MyoedgeError
from myoedge.plan.cost.network import modelled_cycles, moved_bytes
from myoedge.power.model import Coefficients, energy, typical
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.goal import Goal
from myoedge.quantization.search.moves.weight_bits import Keeps, WeightBudget, with_chosen_bits
from myoedge.quantization.search.state import Network, TriedMove, Workshop

if TYPE_CHECKING:
    from myoedge.plan.plan import Plan
    from myoedge.targets import Chip

AUTO = "auto"


def is_chosen(word: str | None, budget: BudgetTable, *, has_limits: bool) -> bool:
    """Return whether weight bits are chosen automatically.

    word         value of --weights, or of [calib] weights
    has_limits   whether L2 or energy is limited
    Errors: E203 another word, E245 no budget.
    """
    if word is None:
        return False
    if word != AUTO:
        tries = ["--weights auto", '[quant] "*" = { weights = 4 }']
        raise MyoedgeError("E203", f"there is no --weights {word}", {"has": AUTO}, tries)
    if budget.sqnr is None and not has_limits:
        facts = {"needs": "[budget] sqnr, l2 or energy", "has": "none of them"}
        tries = ["[budget] sqnr = 25.0", "build --l2 900KiB", '[quant] "*" = { weights = 4 }']
        title = "bits of weights are chosen for a budget, and none is given"
        raise MyoedgeError("E245", title, facts, tries)
    return True


def with_weights(
    workshop: Workshop,
    network: Network,
    goal: Goal,
    keeps: Keeps | None,
    planes: frozenset[str],
) -> tuple[Network, tuple[TriedMove, ...]]:
    """Reduce the weight bits of a network as far as its SQNR goal allows, or until it meets the
    limits; return the network, and the reductions tried.

    keeps    network -> whether it meets the limits; None without limits
    planes   layers whose weights an accelerator reads bit by bit
    """
    cores, graph = network.cores, network.design.graph
    budget = WeightBudget(goal.limits(cores), keeps, planes)
    chosen, tried = with_chosen_bits(cores, workshop.bench, workshop.rules, budget)
    if chosen is not cores:
        graph = graph.with_formats(chosen.graph.formats)
        network = workshop.make(replace(network.design, graph=graph), network)
    return network, tried


def keeper(request: BuildRequest, coefficients: Coefficients) -> Keeps | None:
    """Return a function network -> whether it fits the requested L2 without L3 and meets the
    requested energy, by estimated cycles; None without such limits."""
    if request.limits.l2_bytes is None and request.limits.energy_j is None:
        return None
    return partial(_make_energy_check, request=request, coefficients=coefficients)


def _make_energy_check(
    network: QuantGraph, request: BuildRequest, coefficients: Coefficients
) -> bool:
    found = planned(network, request)
    if found.short is not None:
        return False
    plan, most_j = next(found.candidates).plan, request.limits.energy_j
    if request.limits.l2_bytes is not None and plan.l3_bytes:
        return False
    return most_j is None or _plan_energy_j(plan, request.chip_at_point, coefficients) <= most_j


def _plan_energy_j(plan: Plan, chip: Chip, coefficients: Coefficients) -> float:
    activity = typical(modelled_cycles(plan), moved_bytes(plan)["l3"], layers=len(plan.steps))
    return energy(activity, chip.point, coefficients).joules
