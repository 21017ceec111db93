# SPDX-License-Identifier: Apache-2.0
"""Estimated cycles of a network, including waits for transfers."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from myoedge.operators.queries import macs
from myoedge.plan.cost.timing import behind_waits
from myoedge.plan.l1.tile_iteration import spans
from myoedge.plan.levels.distribution import transfer_rates
from myoedge.plan.levels.transfers import ComputeCycles, Timeline, timeline
from myoedge.plan.loops import turns_of
from myoedge.plan.plan import Plan
from myoedge.targets.costs import ByteCost
from myoedge.targets.program import made_hz

WAITS = 1.03  # factor on the compute cycles above which a plan waits for transfers


def layer_cycles(plan: Plan) -> tuple[int, ...]:
    """Return the estimated cycles of every layer."""
    return tuple(round(cycles) for cycles in plan.cycles)


def layer_waits(plan: Plan) -> tuple[int, ...]:
    """Return the estimated cycles that every layer waits for transfers, in all iterations of its
    loop. Waits of copies at the end are those of the last layer."""
    waits, last = [0.0] * len(plan.steps), len(plan.steps) - 1
    if plan.transfers:
        work, steps = computed(plan), plan.timeline_steps
        starts = itertools.pairwise(_run(plan, work).starts)
        for number, ((start, end), cycles) in enumerate(zip(starts, work.cycles, strict=True)):
            waits[min(steps.layer(number), last)] += (end - start - cycles) * steps.turns(number)
    ends = (round(end) for end in itertools.accumulate(waits, initial=0.0))
    return tuple(end - start for start, end in itertools.pairwise(ends))


def layer_estimates(plan: Plan) -> list[tuple[int | None, ...]]:
    """Return the estimated cycles of every layer with waits, of these waits, and of an accelerator,
    in all iterations of its loop; None on a chip without a clock."""
    if not plan.chip.point.clock_hz:
        return [(None, None, None)] * len(plan.steps)
    found: list[tuple[int | None, ...]] = []
    for index, (own, waits) in enumerate(zip(layer_cycles(plan), layer_waits(plan), strict=True)):
        kernel, choice, units = plan.tilings[index].kernel, plan.tilings[index].choice, 0.0
        if kernel.engine in plan.chip.accelerators:  # at most as many as its jobs take
            tiles = ({axis: size for axis, (_, size) in x.items()} for x in spans(kernel, choice))
            units = sum(float(kernel.work(sizes)) for sizes in tiles)
        jobs = round(kernel.cost.unit_cycles * units * turns_of(plan.loops, index))
        found.append((own + waits, waits, jobs))
    return found


def waits_by_clock(plan: Plan) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield (highest clock of the chip, estimated waits of every layer) for each range of clocks in
    which transfers take equal cycles; nothing if they do at all clocks. Clocks are those that
    programs set."""
    chip, used = plan.chip, {x.level for x in plan.transfers}
    clocks = [level.clock for level in chip.levels if level.clock and level.name in used]
    most_hz = max((hz for _, hz in chip.voltages), default=chip.point.clock_hz)
    most_hz = made_hz(chip.program, max(most_hz, chip.point.clock_hz))
    for hz in sorted({hz for clock in clocks for hz in clock.bounds_hz(most_hz)}):
        levels = tuple(level.at(hz) for level in chip.levels)
        yield hz, layer_waits(replace(plan, chip=replace(chip, levels=levels)))


def computed(plan: Plan) -> ComputeCycles:
    """Return the estimated compute cycles of every timeline step, from one barrier to the next; in
    loops, of one iteration."""
    cycles_of = [0.0] * (plan.timeline_steps.count + 1)
    behind_of = [0.0] * len(cycles_of)
    behind = behind_waits(plan.tilings, plan.chip.transfers, plan.loops)
    for index, (cycles, own) in enumerate(zip(layer_cycles(plan), behind, strict=True)):
        enter, leave = plan.timeline_steps.enters[index : index + 2]
        of_tile = cycles / turns_of(plan.loops, index) / len(plan.tilings[index].tiles)
        cycles_of[enter + 1 : leave] = [of_tile] * (leave - enter - 1)
        behind_of[enter:leave] = own[: leave - enter]
    return ComputeCycles(cycles_of, behind_of, plan.timeline_steps.loops)


def modelled_cycles(plan: Plan) -> float:
    """Return the estimated cycles of a run, including waits for transfers."""
    if not plan.transfers:
        return float(sum(layer_cycles(plan)))
    return waiting_cycles(plan, computed(plan))


def waits(plan: Plan) -> bool:
    """Return whether a run waits for transfers so long that another plan may be faster."""
    return modelled_cycles(plan) > WAITS * sum(layer_cycles(plan))


def waiting_cycles(plan: Plan, computed: ComputeCycles) -> float:
    """Return the estimated cycles of a run with the given compute cycles, including waits for the
    plan's transfers."""
    return _run(plan, computed).cycles


def _run(plan: Plan, computed: ComputeCycles) -> Timeline:
    levels = [plan.chip.level(x.level) for x in plan.transfers]
    costs, channels = transfer_rates([x.chunk for x in plan.transfers], levels)
    begins, needed = [x.begins for x in plan.transfers], [x.needed for x in plan.transfers]
    return timeline(costs, begins, needed, computed, channels)


def latency_s(plan: Plan) -> float | None:
    """Return the estimated seconds of an inference at the chip's first operating point; None if it
    has no clock frequency."""
    clock_hz = plan.chip.point.clock_hz
    return modelled_cycles(plan) / clock_hz if clock_hz else None


def moved_bytes(plan: Plan) -> Mapping[str, int]:
    """Return memory level -> bytes moved from and to it in one run, rounded up to words."""
    moved = dict.fromkeys((level.name for level in plan.chip.levels), 0)
    for x in plan.transfers:
        moved[x.level] += x.chunk.room_bytes * x.chunk.turns
    return moved


def energy_bytes(plan: Plan) -> tuple[int, int]:
    """Return the bytes moved in one run that estimates of energy count: of L3 and of MRAM."""
    moved = moved_bytes(plan)
    return moved.get("l3", 0), moved.get("mram", 0)


def moved_pj(plan: Plan) -> float:
    """Return the assumed energy of one run's transfers of memory levels, in picojoules."""
    sizes = moved_bytes(plan).items()
    return sum(plan.chip.level(name).pj_per_byte[1] * size for name, size in sizes)


def constant_byte_costs(plan: Plan) -> dict[int, ByteCost]:
    """Return layer -> cycles per byte of its constants: of loading them where a part is streamed;
    otherwise of the L2 that they take, in which the dearest streamed bytes could be resident."""
    streamed = _streamed_byte_cycles(plan)
    turns = [turns_of(plan.loops, index) for index in range(len(plan.steps))]
    dearest = max((cost * turns[index] for index, cost in streamed.items()), default=0.0)
    return {
        index: ByteCost(streamed[index]) if index in streamed else ByteCost(held=dearest / count)
        for index, count in enumerate(turns)
    }


def _streamed_byte_cycles(plan: Plan) -> dict[int, float]:
    """Return layer -> cycles per byte of its streamed constants; channels work at once."""
    cycles: dict[int, dict[str, float]] = {}
    sizes: Counter[int] = Counter()
    for x in plan.constant_transfers:
        level, step, size = plan.chip.level(x.level), x.chunk.step, x.chunk.room_bytes
        of_step = cycles.setdefault(step, {})
        now = of_step.get(level.channel, 0.0)
        of_step[level.channel] = now + size / level.bytes_per_cycle
        sizes[step] += size
    return {step: max(of.values()) / sizes[step] for step, of in cycles.items()}


def step_macs(plan: Plan, index: int) -> int:
    """Return the model's multiply-accumulates of layer `index`, summed over the iterations of its
    loop."""
    step, shape = plan.steps[index], plan.quant.graph.shape
    each = (macs(layer.node, [*map(shape, layer.node.inputs)], layer.out) for layer in step.layers)
    return sum(each) * plan.turns(index)
