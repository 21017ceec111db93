# SPDX-License-Identifier: Apache-2.0
"""Conditions on the plan of a quantised network, by which its weight bits are chosen."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from myoedge.building import budget
from myoedge.building.budget import EXTERNAL, memories
from myoedge.building.plans import first_plan
from myoedge.building.request import BuildRequest
from myoedge.plan.cost.network import energy_bytes, latency_s, modelled_cycles, waits
from myoedge.plan.plan import Plan
from myoedge.power.model import Coefficients, energy, typical
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.moves.weight_steps import Keeps
from myoedge.quantization.search.state import NO_READING, ConstantReading


def reading(network: QuantGraph, request: BuildRequest) -> ConstantReading:
    """Return how the first plan reads constants from memories behind L2; NO_READING if it reads
    none, or if no plan fits."""
    plan = first_plan(network, request)
    if plan is None or not plan.constant_transfers:
        return NO_READING
    cycles_of = {level.name: 1.0 / level.bytes_per_cycle for level in plan.chip.levels}
    turns, cycles = max((x.chunk.turns, cycles_of[x.level]) for x in plan.constant_transfers)
    return ConstantReading(turns, cycles if waits(plan) else 0.0)


def keeper(request: BuildRequest, coefficients: Coefficients) -> Keeps | None:
    """Return a function network -> whether it fits the requested L2 without L3 and the allowed
    parts beside the chip, and meets the requested latency and energy, by estimated cycles; None
    without such limits."""
    limits = request.limits
    excluded = EXTERNAL in memories(limits, request.chip)
    if not excluded and all(
        x is None for x in (limits.l2_bytes, limits.latency_s, limits.energy_j)
    ):
        return None
    return partial(_make_energy_check, request=request, coefficients=coefficients)


def _make_energy_check(
    network: QuantGraph, request: BuildRequest, coefficients: Coefficients
) -> bool:
    plan, limits = first_plan(network, request), request.limits
    if plan is None or not leaves_room_for_code(plan, request):
        return False
    if limits.l2_bytes is not None and plan.image_bytes("l3"):
        return False
    if limits.latency_s is not None and (latency_s(plan) or 0.0) > limits.latency_s:
        return False
    if limits.energy_j is None:
        return True
    activity = typical(modelled_cycles(plan), *energy_bytes(plan), layers=len(plan.steps))
    return energy(activity, request.chip_at_point.point, coefficients).joules <= limits.energy_j


def leaves_room_for_code(plan: Plan, request: BuildRequest) -> bool:
    """Return whether L2 has room for a plan's data beside code, as it is estimated: plans without
    memory levels may take all of L2, as linking tells the code's size."""
    limits = replace(request.limits, l2_bytes=request.limits.l2_bytes or request.chip.l2_bytes)
    code = budget.code_bytes(limits, request.chip, len(plan.steps))
    return plan.l2_bytes + code <= (limits.l2_bytes or 0)
