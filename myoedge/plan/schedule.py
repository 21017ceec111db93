# SPDX-License-Identifier: Apache-2.0
"""Planning of a network: live ranges, offsets, tiles, memory levels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from myoedge.errors import MyoedgeError
from myoedge.operators.checks import enforce
from myoedge.operators.layer_names import located
from myoedge.plan.check import PLANNED
from myoedge.plan.cost.network import constant_byte_costs, modelled_cycles, waits
from myoedge.plan.displacement import replacements
from myoedge.plan.l1.layer_kernels import NetworkKernels
from myoedge.plan.l1.layers import plan_l1
from myoedge.plan.l1.no_tiling import without_room
from myoedge.plan.l1.tile_choice import NO_RANKS, TileRanks
from myoedge.plan.l1.tile_search import Limits
from myoedge.plan.levels.constant_chunks import window_bytes
from myoedge.plan.levels.rooms import bytes_beside_levels, exceed_levels, fits, with_larger_levels
from myoedge.plan.levels.shortage import NO_L2, too_large
from myoedge.plan.levels.spill import spilled
from myoedge.plan.levels.weight_streaming import filled, with_transfers
from myoedge.plan.lowered import (
    LoweredNetwork,
    arena_lives,
    located_tensor,
    loop_states,
    ready_operands,
    resident_tensors,
    tensors_near,
)
from myoedge.plan.lowering import forms, lower_network
from myoedge.plan.packing import place
from myoedge.plan.placement import Allocator, LiveRange
from myoedge.plan.plan import Plan, l1_room_bytes, scratch_name
from myoedge.plan.timeline import TimelineSteps
from myoedge.quantization.scales import QuantGraph
from myoedge.system.progress import paused_collector
from myoedge.targets.chip import LAYERS, Chip

# Per layer, with tables of transfers: 346 in 1,500 linked linear layers. Used if the chip's larger
# estimate leaves too little L2 for data; a larger program is planned again (E303).
LINKED_CODE_BYTES = 448
HELD_SHARES: tuple[int, ...] = (4, 12)  # a constant's tile may take 1 / HELD_SHARES of L2
TIGHT_SHARES = (4, 12, 48)  # and if bytes decide, of the L2 that constants beside levels leave
ENOUGH = 2  # candidate plans, if the best one waits for transfers


@paused_collector()
def make_plan(
    q: QuantGraph,
    chip: Chip,
    *,
    placing: Allocator = place,
    tile_ranks: TileRanks = NO_RANKS,
    by_bytes: bool | None = None,
) -> Plan:
    """Plan a network: which tensors share buffers, live ranges, offsets, and tiles.

    placing      placement function for the arena
    tile_ranks   layer signature -> rank of the tiling to use, by estimated cycles; 0: the fastest
    by_bytes     whether bytes decide; None: if no plan by cycles fits
    Errors: E301 if it does not fit in L2.
    """
    network = lower_network(q, chip, chip, placing, tile_ranks)
    try:
        plan = _plan_first_fitting(network, by_bytes)
    except MyoedgeError as error:
        is_for_code = len(q.steps) > LAYERS and chip.layer_code_bytes > LINKED_CODE_BYTES
        if error.notice.code != NO_L2 or not is_for_code:
            raise
        alike = replace(chip, layer_code_bytes=LINKED_CODE_BYTES)
        plan = _plan_first_fitting(replace(network, chip=alike, used=alike), by_bytes)
    enforce(PLANNED, plan, q.graph, "planned")
    return replace(plan, tile_ranks=tile_ranks)


def _plan_first_fitting(network: LoweredNetwork, by_bytes: bool | None) -> Plan:
    """Return the plan of the first form of a network that fits. Errors: E301."""
    failed: list[MyoedgeError] = []
    for form in forms(network, by_bytes):
        try:
            return _plan_memories(form)
        except MyoedgeError as error:
            failed.append(error)
    raise failed[-1]


def _plan_memories(network: LoweredNetwork) -> Plan:
    """Plan the network with all data in L2, otherwise with transfers. Errors: E301."""
    plan = _plan_tilings(network)
    if fits(plan):
        return plan
    if not plan.chip.levels or not plan.chip.l1_bytes:
        raise too_large(plan)
    if any(tiling.kernel.from_l3 for tiling in plan.tilings):
        known = network.kernels
        kernels = NetworkKernels.of(network.steps, network.used, known.ranks, tables_in_l3=True)
        network = replace(network, kernels=replace(kernels, byte_cost=known.byte_cost))
        plan = _plan_tilings(network)
        if fits(plan):
            return plan
    return _plan_with_levels(network, plan)


def _plan_with_levels(network: LoweredNetwork, plan: Plan) -> Plan:
    """Plan the network with transfers: of weights, and of feature maps if weights alone do not
    suffice. Errors: E301.

    plan   the network with all data in L2, which does not fit
    """
    if exceed_levels(plan):
        raise too_large(plan)
    if not plan.l2_room_bytes:  # code fills L2
        raise too_large(plan, plan)
    streaming = _plan_weight_streaming(network, plan)
    if streaming is None:  # feature maps must leave L2 too
        held = plan.l2_room_bytes // TIGHT_SHARES[-1] if network.is_tight else None
        bare = _plan_tilings(network, held, stay=False)
        if not plan.chip.map_level.bytes:
            raise too_large(plan, bare)
        streaming = min(_spilled_plans(network, bare, held), key=modelled_cycles)
    return filled(streaming)


def _spilled_plans(network: LoweredNetwork, bare: Plan, held: int | None) -> Iterator[Plan]:
    """Yield the plan with feature maps behind L2 and, if it waits, one with layers fused as if all
    maps came from there. Errors: E301.

    held   as for `_plan_tilings`
    """
    yield (found := spilled(network, bare, held))
    if waits(found) and not any(tiling.kernel.from_l3 for tiling in bare.tilings):
        q, chip, ranks = network.quant, network.chip, network.kernels.ranks
        cycles = 1.0 / chip.map_level.bytes_per_cycle
        other = lower_network(q, chip, network.used, network.placing, ranks, cycles)
        if len(other.steps) < len(network.steps):
            with suppress(MyoedgeError):  # a fused layer's tiles may leave less L2
                made = _plan_tilings(other, stay=False)
                yield spilled(other, made)


def _plan_tilings(n: LoweredNetwork, held: int | None = None, *, stay: bool = True) -> Plan:
    """Return the plan with tilings that hold at most `held` bytes of each constant in L2 at once;
    None: no limit.

    stay   whether tensors may stay in L1 between layers, and during loops
    Errors: E304 a layer has no tile, even with operands in L2.
    """
    room = l1_room_bytes(n.chip, len(n.steps))
    limits = dict.fromkeys(range(len(n.steps)), Limits(held, is_tight=n.is_tight))
    tensors, looped, ready = (*tensors_near(n), ready_operands(n)) if stay else ((), (), {})
    made = plan_l1(n.kernels, room, limits, tensors, n.loops, looped, ready)
    tilings = tuple(filter(None, made))
    if len(tilings) < len(made):
        at = made.index(None)
        kernel, _ = n.kernels.kernels[at][0]
        raise without_room(located(n.steps)[n.steps[at].node.name], kernel, room)
    states = loop_states(looped, tilings, n.steps)
    resident = resident_tensors(n.steps, tilings, {state.name for state in states})
    arena = (life for life in arena_lives(n) if life.name not in resident)
    scratch = ((at, x.l2_scratch_bytes) for at, x in enumerate(tilings) if x.l2_scratch_bytes)
    lives = (*arena, *(LiveRange(scratch_name(at), size, at, at) for at, size in scratch))
    pairs = tuple(replacements(n, tilings, lives))
    placement = n.placing(lives, n.chip.arena_alignment_bytes, pairs)
    where = {
        name: replace(located_tensor(n, root, resident, placement), row_bytes=n.rows.get(name, 0))
        for name, root in n.roots.items()
    }
    steps = TimelineSteps.of(tilings, bool(n.copies), n.loops, n.passes(tilings))
    return Plan(
        n.quant,
        n.chip,
        n.steps,
        where,
        n.copies,
        lives,
        placement,
        tilings,
        steps,
        loops=n.loops,
        loop_states=tuple(states),
        is_tight=n.is_tight,
    )


def _plan_weight_streaming(network: LoweredNetwork, plan: Plan) -> Plan | None:
    """Return the fastest plan with streamed weights; if it waits for transfers, or the levels are
    too small for these kernels, kernels are also chosen by the bytes of their weights. None if L2
    is too small."""
    best = waiting = _plan_limited_streaming(network, plan)
    if best is None and plan.weight_bytes > plan.chip.levels_room_bytes:
        large = with_larger_levels(plan.chip, plan.weight_bytes)
        waiting = _plan_limited_streaming(replace(network, chip=large), replace(plan, chip=large))
    if waiting is None or network.is_tight or not waits(waiting):
        return best
    kernels = replace(network.kernels, byte_cost=constant_byte_costs(waiting))
    network = replace(network, kernels=kernels)
    lighter = _plan_limited_streaming(network, _plan_tilings(network))
    return min(filter(None, (best, lighter)), key=modelled_cycles, default=None)


def _plan_limited_streaming(network: LoweredNetwork, plan: Plan) -> Plan | None:
    """Return the fastest plan with streamed weights: tilings that ignore the space in L2, as those
    of `plan` do, or that limit the bytes held there."""
    window, shares = window_bytes(plan), HELD_SHARES
    plans = []
    if window > 0:
        if network.is_tight:
            window, shares = max(window - bytes_beside_levels(plan), 0), TIGHT_SHARES
        for held in (None, *(window // share for share in shares)):
            tried = plan if held is None else _plan_tilings(network, held)
            made = with_transfers(tried, tight=network.is_tight)
            if made is not None:
                plans.append(made)
            if len(plans) >= ENOUGH and not waits(min(plans, key=modelled_cycles)):
                break
    return min(plans, key=modelled_cycles, default=None)
