# SPDX-License-Identifier: Apache-2.0
"""Estimated cycles of a network: of layers in tiles, and roughly of all other layers."""

from __future__ import annotations

import math

from myoedge.operators.base import OPS, QuantizedNode
from myoedge.plan.l3.transfers import Computed, Rate, timeline
from myoedge.plan.plan import Plan


def layer_cycles(plan: Plan) -> tuple[int, ...]:
    """Modelled cycles of every step."""
    return tuple(
        round(_in_l2(plan, step) if cycles is None else cycles)
        for step, cycles in zip(plan.steps, plan.cycles, strict=True)
    )


def _in_l2(plan: Plan, step: QuantizedNode) -> float:
    """Estimated cycles of a layer that works on L2 without tiles."""
    graph, node, cost = plan.quant.graph, step.node, plan.chip.transfers
    phases = OPS[node.op].phases
    if phases is not None:
        cores = plan.chip.engines[0].cores
        return cost.l2_layer_cycles + sum(
            math.ceil(n / cores) * cycles for n, cycles in phases(step)
        )
    shapes = [graph.shape(name) for name in node.inputs]
    nest = OPS[node.op].nest(node.attrs, shapes, graph.shape(node.name))
    return cost.l2_layer_cycles + cost.l2_iteration_cycles * nest.iterations


def computed(plan: Plan) -> Computed:
    """Estimated cycles of computation of each timeline step."""
    found = [0.0] * (plan.timeline_steps.count + 1)
    nine_cores: set[int] = set()
    rows = zip(layer_cycles(plan), plan.tilings, strict=True)
    for index, (cycles, tiling) in enumerate(rows):
        enter, leave = plan.timeline_steps.enters[index : index + 2]
        tiles = leave - enter - 1
        found[enter + 1 : leave] = [cycles / tiles] * tiles
        if tiling is not None and tiling.kernel.nine_cores:
            nine_cores.update(range(enter + 1, leave))
    return Computed(found, nine_cores)


def modelled_cycles(plan: Plan) -> float:
    """Estimated cycles of a run, with waiting for L3."""
    if not plan.l3_transfers:
        return float(sum(layer_cycles(plan)))
    return waiting_cycles(plan, computed(plan))


def waiting_cycles(plan: Plan, computed: Computed) -> float:
    """Estimated cycles of a run with these computations, with waiting for its transfers."""
    rate = Rate.of(plan.chip)
    costs = [rate.cycles(l3_transfer.chunk) for l3_transfer in plan.l3_transfers]
    begins, needed = [h.begins for h in plan.l3_transfers], [h.needed for h in plan.l3_transfers]
    return timeline(costs, begins, needed, computed).cycles


def latency_s(plan: Plan) -> float | None:
    """Modelled time of an inference at the chip's first operating point; None without a clock."""
    clock_hz = plan.chip.point.clock_hz
    return modelled_cycles(plan) / clock_hz if clock_hz else None
