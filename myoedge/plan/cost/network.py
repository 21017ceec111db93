# SPDX-License-Identifier: Apache-2.0
"""Estimated cycles of a network, including waits for L3."""

from __future__ import annotations

from myoedge.plan.l3.transfers import ComputeCycles, L3TransferCost, timeline
from myoedge.plan.loops import turns_of
from myoedge.plan.plan import Plan

WAITS = 1.03  # factor on the compute cycles above which a plan waits for L3


def layer_cycles(plan: Plan) -> tuple[int, ...]:
    """Return the estimated cycles of every layer."""
    return tuple(round(cycles) for cycles in plan.cycles)


def computed(plan: Plan) -> ComputeCycles:
    """Return the estimated compute cycles of every timeline step, from one barrier to the next; in
    loops, of one iteration."""
    cycles_of = [0.0] * (plan.timeline_steps.count + 1)
    nine_cores: set[int] = set()
    rows = zip(layer_cycles(plan), plan.tilings, strict=True)
    for index, (cycles, tiling) in enumerate(rows):
        enter, leave = plan.timeline_steps.enters[index : index + 2]
        tiles = leave - enter - 1
        cycles_of[enter + 1 : leave] = [cycles / turns_of(plan.loops, index) / tiles] * tiles
        if tiling.kernel.nine_cores:
            nine_cores.update(range(enter + 1, leave))
    return ComputeCycles(cycles_of, nine_cores, plan.timeline_steps.loops)


def modelled_cycles(plan: Plan) -> float:
    """Return the estimated cycles of a run, including waits for L3."""
    if not plan.l3_transfers:
        return float(sum(layer_cycles(plan)))
    return waiting_cycles(plan, computed(plan))


def waits_for_l3(plan: Plan) -> bool:
    """Return whether a run waits for L3 so long that another plan may be faster."""
    return modelled_cycles(plan) > WAITS * sum(layer_cycles(plan))


def waiting_cycles(plan: Plan, computed: ComputeCycles) -> float:
    """Return the estimated cycles of a run with the given compute cycles, including waits for the
    plan's L3 transfers."""
    rate = L3TransferCost.of(plan.chip)
    costs = [rate.cycles(l3_transfer.chunk) for l3_transfer in plan.l3_transfers]
    begins, needed = [h.begins for h in plan.l3_transfers], [h.needed for h in plan.l3_transfers]
    return timeline(costs, begins, needed, computed).cycles


def latency_s(plan: Plan) -> float | None:
    """Return the estimated seconds of an inference at the chip's first operating point; None if it
    has no clock frequency."""
    clock_hz = plan.chip.point.clock_hz
    return modelled_cycles(plan) / clock_hz if clock_hz else None
