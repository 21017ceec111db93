# SPDX-License-Identifier: Apache-2.0
"""Spilling of feature maps out of L2 if L2 is too small, and the resulting plan."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, islice

from myoedge.plan.cost.network import modelled_cycles, waits
from myoedge.plan.l1.layers import plan_l1
from myoedge.plan.l1.tile_search import Limits, choose
from myoedge.plan.l1.tiling import Tiling
from myoedge.plan.levels.constant_chunks import (
    least_beside,
    least_bytes,
    read_at_once,
    window_bytes,
)
from myoedge.plan.levels.feature_maps import Access, access
from myoedge.plan.levels.shortage import too_large
from myoedge.plan.levels.weight_streaming import with_transfers
from myoedge.plan.locations import Location
from myoedge.plan.lowered import LoweredNetwork
from myoedge.plan.placement import peak
from myoedge.plan.plan import Plan, l1_room_bytes, size_bytes
from myoedge.plan.timeline import TimelineSteps, whole_words

PART_BYTES = 65536  # maximum bytes of a part of a feature map
# Parts that L2 could hold, tried in this order: small parts leave space for other data, so that
# fewer maps may leave L2; very small ones, for which layers read constants more often, come last.
PARTS = (16, 6, 64)
MOST_IDLE = 8  # maps that leave L2 one after another, largest first, and leave the need as it was


def spilled(n: LoweredNetwork, plan: Plan, held: int | None = None) -> Plan:
    """Return the plan with feature maps moved out of L2, the largest first and as few as each size
    of parts allows; if a plan waits for transfers, the fastest of several sizes.

    held   maximum bytes of each constant in L2 at once; None: no limit
    Errors: E301 if no choice fits.
    """
    least = least_bytes(plan), plan
    parts = [*dict.fromkeys(min(PART_BYTES, plan.chip.l2_room_bytes // n) for n in PARTS)]
    plans: list[Plan] = []
    most = sys.maxsize  # further sizes are tried with as many choices of maps as the first one
    choose_maps = _plans_with_more_maps
    of_parts = [Limits(held, part_bytes=part) for part in parts]
    if _cannot_fit(n, plan, of_parts):
        choose_maps, of_parts = _plan_with_all_maps, of_parts[:1]
    for limits in of_parts:
        choices = islice(choose_maps(n, plan, limits), most)
        made, count, least = _first_fitting_plan(n, choices, least)
        if made is not None:
            plans, most = [*plans, made], min(most, count)
        if plans and not waits(min(plans, key=modelled_cycles)):
            break
    if plans:
        return min(plans, key=modelled_cycles)
    raise too_large(plan, least[1], list(_layers_short_of_l1(n, plan, least[1])))


def _first_fitting_plan(
    n: LoweredNetwork, choices: Iterator[Plan | None], least: tuple[int, Plan]
) -> tuple[Plan | None, int, tuple[int, Plan]]:
    """Return the first plan that fits, with its transfers, or None; the number of choices; and
    the plan that needs the least L2.

    least   (bytes of L2, plan) that needs the least so far
    """
    count = 0
    for count, tried in enumerate(choices, 1):
        if tried is None:
            continue
        made = with_transfers(tried, tight=n.is_tight) if window_bytes(tried) > 0 else None
        if made is not None:
            return made, count, least
        if (needed := least_bytes(tried)) < least[0]:
            least = needed, tried
    return None, count, least


def _cannot_fit(n: LoweredNetwork, plan: Plan, of_parts: Sequence[Limits]) -> bool:
    """Return whether L2 is too small whichever feature maps leave L2, or some layer reads more
    constants at once than L2 holds, even with its feature maps outside L2."""
    maps = _movable_maps(n, plan)
    using = {index for index, _, _, _ in _map_accesses(n, plan, maps)}
    if least_beside(plan, maps, using) > plan.l2_room_bytes:
        return True
    over = {i for i, size in read_at_once(plan).items() if size > plan.l2_room_bytes}
    operands: dict[int, list[str]] = {index: [] for index in over}
    for index, operand, _, _ in _map_accesses(n, plan, maps) if over else ():
        if index in over:
            operands[index].append(operand)
    return any(
        all(
            _constant_bytes_alone(n, plan, index, replace(limits, in_l3=frozenset(names)))
            > plan.l2_room_bytes
            for limits in of_parts
            for count in range(1, len(operands[index]) + 1)
            for names in combinations(operands[index], count)
        )
        for index in over
    )


def _constant_bytes_alone(n: LoweredNetwork, plan: Plan, index: int, limits: Limits) -> float:
    """Return the bytes of constants that layer `index` reads at once if tiled on its own; infinity
    without a tiling."""
    alone = replace(n.kernels, kernels=[n.kernels.kernels[index]])
    tilings = plan_l1(alone, plan.l1_room_bytes, {0: limits})
    if tilings[0] is None:
        return math.inf
    steps = TimelineSteps.of(tilings, copies=False)
    own = replace(plan, steps=(plan.steps[index],), tilings=(tilings[0],), timeline_steps=steps)
    return max(read_at_once(own).values(), default=0)


def _plans_with_more_maps(n: LoweredNetwork, plan: Plan, limits: Limits) -> Iterator[Plan | None]:
    """Yield plans with more and more feature maps outside L2, while they need less L2; None for a
    choice without a tiling."""
    tried, left, together = plan, _movable_maps(n, plan), True
    least, idle = least_bytes(plan), 0
    while idle < MOST_IDLE and (names := _maps_to_move_next(tried, left)):
        names = names if together else names[:1]
        made = _plan_with_maps(n, plan, [*tried.maps, *names], limits)
        if made is not None or len(names) == 1:
            left = [name for name in left if name not in names]
        else:  # no tiling for one of these maps
            together = False
        tried = made or tried
        needed = least_bytes(tried)
        least, idle = min(least, needed), 0 if needed < least else idle + 1
        yield made


def _plan_with_all_maps(n: LoweredNetwork, plan: Plan, limits: Limits) -> Iterator[Plan | None]:
    """Yield the plan with all feature maps outside L2 that can be there: it tells what is
    needed."""
    yield _plan_with_maps(n, plan, _movable_maps(n, plan), limits)


def _maps_to_move_next(plan: Plan, left: Sequence[str]) -> list[str]:
    """Return the largest feature maps that are alive at the peak of L2, as many as must leave L2
    for the rest and their windows to fit."""
    lives, border = plan.lives, plan.border_bytes
    chosen: list[str] = []
    while True:
        peak_bytes, step = peak(lives, plan.chip.alignment_bytes)
        if chosen and peak_bytes + border < plan.l2_room_bytes:
            return chosen
        there = {life.name for life in lives if life.first <= step <= life.last}
        there.update(plan.graph_inputs, plan.graph_outputs)
        name = next(filter(there.difference(chosen).__contains__, left), None)
        if name is None:
            break
        chosen.append(name)
        in_arena = len(lives)
        lives = tuple(life for life in lives if life.name != name)
        border -= size_bytes(plan.quant, name) * (len(lives) == in_arena)
    return chosen or [*left[:1]]


def _layers_short_of_l1(n: LoweredNetwork, plan: Plan, least: Plan) -> Iterator[str]:
    """Yield layers that cannot be tiled for feature maps outside L2, but could be with more L1."""
    yield from plan.without_tiles
    stay = [name for name in _movable_maps(n, plan) if name not in least.maps]
    known: dict[tuple[str, str], list[bool]] = {}  # equal layers are searched once
    for index, operand, _, _ in _map_accesses(n, plan, stay):
        limits = Limits(in_l3=frozenset({operand}), part_bytes=PART_BYTES)
        kernel, layer = n.kernels.kernels[index][0]
        if (layer, operand) not in known:
            rooms = (plan.l1_room_bytes, PART_BYTES * PARTS[0])
            found = [choose(kernel, room, n.kernels.cost, limits) is not None for room in rooms]
            known[layer, operand] = found
        if known[layer, operand] == [False, True]:
            yield plan.names[plan.steps[index].node.name]


def _movable_maps(n: LoweredNetwork, plan: Plan) -> list[str]:
    """Return the feature maps that can be outside L2, largest first: inputs and results that only
    tiled layers outside loops access, and that can be complete outside L2 before a loop begins."""
    roots = n.roots
    near = {roots[name][0] for name in _unmovable_tensors(plan)}
    results = {roots[node.node.name][0] for step in plan.steps for node in step.results}
    read = {roots[name][0] for step in plan.steps for name in step.operands}
    inputs = read & {*plan.graph_inputs}
    sizes = {name: size_bytes(plan.quant, name) for name in (results | inputs) - near}
    return sorted(sizes, key=lambda name: (-sizes[name], name))


def _unmovable_tensors(plan: Plan) -> Iterator[str]:
    """Yield the tensors that cannot be outside L2."""
    yield from (name for _, name in plan.copies)
    in_loops = {at for loop in plan.loops for at in range(loop.first, loop.last + 1)}
    before_loops = {loop.first - 1 for loop in plan.loops}
    for index, (step, tiling) in enumerate(zip(plan.steps, plan.tilings, strict=True)):
        if tiling.choice.in_l2 or index in in_loops:
            yield from step.tensors.values()
        if index in before_loops:  # a result is transferred until the end of the next layer
            yield from (node.node.name for node in step.results)


def _plan_with_maps(
    n: LoweredNetwork, plan: Plan, maps: Sequence[str], limits: Limits
) -> Plan | None:
    """Return the plan with these feature maps outside L2; None if a layer cannot be tiled for
    that.

    limits   constraints of all layers, but for the operands in maps
    """
    uses = list(_map_accesses(n, plan, maps))
    operands: dict[int, frozenset[str]] = {}
    for index, operand, _, _ in uses:
        operands[index] = operands.get(index, frozenset()) | {operand}
    others = replace(limits, part_bytes=0, is_tight=n.is_tight)
    of_layers = dict.fromkeys(range(len(n.steps)), others) | {
        index: replace(limits, in_l3=names) for index, names in operands.items()
    }
    room = l1_room_bytes(plan.chip, len(plan.steps))
    planned = plan_l1(n.kernels, room, of_layers, loops=plan.loops)
    tilings = tuple(filter(None, planned))
    if len(tilings) < len(planned):
        return None
    accesses = _accesses_in_parts(tilings, uses, limits.part_bytes)
    if accesses is None:
        return None
    offsets, end = {}, 0  # the maps follow one another
    for name in maps:
        offsets[name] = end
        end += whole_words(size_bytes(plan.quant, name))
    moving = {at for a in accesses for at in (a.step, a.step + a.written)}
    passes = n.passes(tilings, apart=moving)
    steps = TimelineSteps.of(tilings, bool(plan.copies), plan.loops, passes)
    made = replace(plan, tilings=tilings, timeline_steps=steps)
    return _place_arena_again(n, replace(made, accesses=tuple(accesses), maps=offsets))


def _accesses_in_parts(
    tilings: Sequence[Tiling], uses: Sequence[tuple[int, str, str, int]], part_bytes: int
) -> list[Access] | None:
    """Return the accesses to feature maps, split into parts; None if a tiling does not allow that.

    uses   as of `_map_accesses`
    """
    found = []
    for index, name, tensor, offset in uses:
        tiling = tilings[index]
        operand = next((o for o in tiling.kernel.operands if o.name == name), None)
        if operand is None:  # in another kernel
            return None
        in_parts = access(index, tiling, operand, tensor, offset, part_bytes)
        if in_parts is None:
            return None
        found.append(in_parts)
    return found


def _map_accesses(
    n: LoweredNetwork, plan: Plan, maps: Sequence[str]
) -> Iterator[tuple[int, str, str, int]]:
    """Yield (step, operand, feature map, byte offset in it) for every access to one of these
    feature maps."""
    for index, (step, tiling) in enumerate(zip(plan.steps, plan.tilings, strict=True)):
        for operand in tiling.kernel.operands:
            if operand.constant:
                continue
            root, offset = n.roots[step.tensors[operand.source]]
            if root in maps:
                yield index, operand.name, root, offset


def _place_arena_again(n: LoweredNetwork, plan: Plan) -> Plan:
    """Return the plan with the arena placed again: windows replace feature maps outside L2."""
    last = len(plan.steps) - 1
    windows = [access.window(last) for access in plan.accesses]
    lives = tuple([life for life in plan.lives if life.name not in plan.maps] + windows)
    placement = n.placing(lives, plan.chip.alignment_bytes)
    where = dict(plan.where)
    for name, (root, offset) in n.roots.items():
        if root in plan.maps:
            where[name] = Location(plan.chip.map_level.name, root, offset)
        elif plan.where[name].kind == "arena":
            where[name] = replace(where[name], offset=placement.offsets[root] + offset)
    return replace(plan, lives=lives, placement=placement, where=where)
