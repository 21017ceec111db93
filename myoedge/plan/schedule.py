# SPDX-License-Identifier: Apache-2.0
"""Planning of a network: shared buffers, live ranges, offsets, tiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import strides
from myoedge.operators.base import OPS
from myoedge.operators.checks import enforce
from myoedge.operators.layer_names import located
from myoedge.operators.turns import loop_of
from myoedge.plan.check import PLANNED
from myoedge.plan.cost.network import constant_byte_costs, modelled_cycles, waits
from myoedge.plan.displacement import replacements
from myoedge.plan.fused_layers import LoweredLayers, layers_as_one
from myoedge.plan.l1.layer_kernels import NetworkKernels
from myoedge.plan.l1.layers import plan_l1
from myoedge.plan.l1.no_tiling import without_room
from myoedge.plan.l1.tile_choice import NO_RANKS, TileRanks
from myoedge.plan.l1.tile_search import Limits
from myoedge.plan.l1.tiling import Tiling
from myoedge.plan.levels.constant_chunks import window_bytes
from myoedge.plan.levels.shortage import NO_L2, too_large
from myoedge.plan.levels.spill import Roots, spilled
from myoedge.plan.levels.weight_streaming import exceed_levels, filled, fits, with_transfers
from myoedge.plan.loop_places import LoopPlaces, loops_of_odd_rows
from myoedge.plan.loops import loop_layers
from myoedge.plan.lowered import (
    LoweredNetwork,
    arena_lives,
    located_tensor,
    loop_states,
    ready_operands,
    resident_tensors,
    tensors_near,
)
from myoedge.plan.packing import place
from myoedge.plan.placement import Allocator, LiveRange
from myoedge.plan.plan import Plan, l1_room_bytes, scratch_name, size_bytes
from myoedge.plan.timeline import TimelineSteps
from myoedge.plan.whole_loops import reads_bytes
from myoedge.quantization.scales import QuantGraph
from myoedge.system.progress import paused_collector
from myoedge.targets.chip import LAYERS, Chip

BYTES_BY_DMA = 1024  # size of a sliced output from which on the DMA copies faster than cores in L2


def shared_places(q: QuantGraph, alignment: int) -> dict[str, tuple[str, int]]:
    """Return tensor -> (tensor whose bytes it shares, offset in bytes), for views and contiguous
    slices.

    alignment   bytes of which an offset must be a multiple
    """
    aliases: dict[str, tuple[str, int]] = {}
    leaving = {_output_slice(q, name) for name in q.graph.outputs}
    for node in q.graph.nodes:
        first = 0 if OPS[node.op].view else None
        if node.op == "slice" and node.name not in leaving:
            first = contiguous_slice(q.graph.shape(node.inputs[0]), node.attrs["cuts"])
        if first is not None:
            offset = first * q.element_type(node.inputs[0]).size_bytes
            if offset % alignment == 0:
                aliases[node.name] = (node.inputs[0], offset)
    return aliases


def _output_slice(q: QuantGraph, name: str) -> str:
    """Return the slice that an output views, if it is large enough for the DMA to copy it faster
    than the cores; otherwise ""."""
    while (node := q.graph.producer.get(name)) is not None and OPS[node.op].view:
        name = node.inputs[0]
    return name if node is not None and size_bytes(q, name) >= BYTES_BY_DMA else ""


def contiguous_slice(shape: Shape, cuts: Sequence[tuple[int, int, int]]) -> int | None:
    """Return the index of a slice's first element, if the slice is contiguous in memory, otherwise
    None.

    cuts   (start, stop, step) per axis
    """
    resident = [len(range(*cut)) for cut in cuts]
    cut_axes = [d for d, n in enumerate(shape) if resident[d] != n]
    last = max(cut_axes, default=0)
    one_run = all(n == 1 for n in resident[:last]) and all(
        c[2] == 1 for c, n in zip(cuts, resident, strict=True) if n > 1
    )
    first = sum(cut[0] * stride for cut, stride in zip(cuts, strides(shape), strict=True))
    return first if one_run else None


def stored_at(name: str, alias: Mapping[str, tuple[str, int]]) -> tuple[str, int]:
    """Return the tensor whose buffer a tensor shares, directly or through others, and its offset in
    it in bytes."""
    offset = 0
    while name in alias:
        name, more = alias[name]
        offset += more
    return name, offset


def written_outputs(
    q: QuantGraph, roots: Roots
) -> tuple[dict[str, int], tuple[tuple[int, str], ...]]:
    """Return the outputs that layers write directly, as {buffer: output number}, and the (output
    number, tensor) pairs that are copied at the end."""
    owned: dict[str, int] = {}
    copies: list[tuple[int, str]] = []
    for index, name in enumerate(q.graph.outputs):
        root, _ = roots[name]
        computed = root in q.graph.producer
        is_all = size_bytes(q, root) == size_bytes(q, name)
        if computed and is_all and root not in owned:
            owned[root] = index
        else:
            copies.append((index, name))
    return owned, tuple(copies)


# Per layer, with tables of transfers: 346 in 1,500 linked linear layers. Used if the chip's larger
# estimate leaves too little L2 for data; a larger program is planned again (E303).
LINKED_CODE_BYTES = 448
HELD_SHARES = (4, 12)  # a constant's tile may take 1 / HELD_SHARES of L2
ENOUGH = 2  # candidate plans, if the best one waits for transfers


@paused_collector()
def make_plan(
    q: QuantGraph, chip: Chip, *, placing: Allocator = place, tile_ranks: TileRanks = NO_RANKS
) -> Plan:
    """Plan a network: which tensors share buffers, live ranges, offsets, and tiles.

    placing      placement function for the arena
    tile_ranks   layer signature -> rank of the tiling to use, by estimated cycles; 0: the fastest
    Errors: E301 if it does not fit in L2.
    """
    network = _lower_network(q, chip, chip, placing, tile_ranks)
    try:
        plan = _plan_on_best_engines(network)
    except MyoedgeError as error:
        is_for_code = len(q.steps) > LAYERS and chip.layer_code_bytes > LINKED_CODE_BYTES
        if error.notice.code != NO_L2 or not is_for_code:
            raise
        alike = replace(chip, layer_code_bytes=LINKED_CODE_BYTES)
        plan = _plan_on_best_engines(replace(network, chip=alike, used=alike))
    enforce(PLANNED, plan, q.graph, "planned")
    return replace(plan, tile_ranks=tile_ranks)


def _plan_on_best_engines(network: LoweredNetwork) -> Plan:
    """Plan each layer on its best engine; if that does not fit, all on the cores. Errors: E301."""
    try:
        return _plan_memories(network)
    except MyoedgeError:  # tiles for accelerators may leave less L2
        chip, ranks = network.chip, network.kernels.ranks
        alone, room = chip.cores_alone(), chip.l2_room_beside_code(len(network.steps))
        if alone == chip or not room or not _uses_accelerators(network):
            raise
        return _plan_memories(_lower_network(network.quant, chip, alone, network.placing, ranks))


def _uses_accelerators(network: LoweredNetwork) -> bool:
    """Return whether an accelerator can run a layer."""
    names = {engine.name for engine in network.used.engines if engine.accelerator}
    return any(kernel.engine in names for known in network.kernels.kernels for kernel, _ in known)


def _lower_network(
    q: QuantGraph, chip: Chip, used: Chip, placing: Allocator, ranks: TileRanks, byte: float = 0.0
) -> LoweredNetwork:
    """Return the network with fused layers, shared buffers and candidate kernels for the engines of
    `used`; byte: byte_cycles of LoweredLayers."""
    lowered = _join_layers(q, used, loops_of_odd_rows(q, chip.alignment_bytes), byte)
    steps, roots, rows = lowered.steps, lowered.roots, lowered.rows
    written = (roots[name][0] for step in steps for name in step.written)
    stored = {*q.graph.inputs, *q.constants, *written}
    roots = {name: root for name, root in roots.items() if root[0] in stored}
    owned, copies = written_outputs(q, roots)
    kernels, loops = NetworkKernels.of(steps, used, ranks), loop_layers(q, steps)
    return LoweredNetwork(q, chip, steps, roots, owned, copies, placing, kernels, used, loops, rows)


def _join_layers(q: QuantGraph, chip: Chip, whole: Set[int], byte_cycles: float) -> LoweredLayers:
    """Return the layers of a network with fused ones, and their shared buffers.

    whole   numbers of the loops that are one layer if their rows are read at any address
    """
    views = shared_places(q, chip.alignment_bytes)
    places = LoopPlaces.of(q, views, chip.alignment_bytes, whole)
    steps = tuple(s for s in q.steps if s.node.name not in views and s.node.name not in places.idle)
    roots = {name: stored_at(name, places.aliases) for name in (*q.graph.tensors, *q.constants)}
    rows = {name: places.bytes_per_iteration(name) for name in roots}
    before = LoweredLayers(q, steps, roots, rows, chip, byte_cycles)
    found = replace(before, steps=layers_as_one(before))
    loops = loop_of(q.graph.nodes)
    joined = {loops[x.node.name] for x in found.steps if x.turns > 1 and reads_bytes(x)}
    return found if whole <= joined else _join_layers(q, chip, whole & joined, byte_cycles)


def _plan_memories(network: LoweredNetwork) -> Plan:
    """Plan the network with all data in L2, otherwise with transfers. Errors: E301."""
    plan = _plan_tilings(network)
    if fits(plan):
        return plan
    if not plan.chip.levels or not plan.chip.l1_bytes:
        raise too_large(plan)
    if any(tiling.kernel.from_l3 for tiling in plan.tilings):
        kernels = NetworkKernels.of(
            network.steps, network.used, network.kernels.ranks, tables_in_l3=True
        )
        network = replace(network, kernels=kernels)
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
        bare = _plan_tilings(network, stay=False)
        if not plan.chip.map_level.bytes:
            raise too_large(plan, bare)
        streaming = min(_spilled_plans(network, bare), key=modelled_cycles)
    return filled(streaming)


def _spilled_plans(network: LoweredNetwork, bare: Plan) -> Iterator[Plan]:
    """Yield the plan with feature maps behind L2 and, if it waits, one with layers fused as if all
    maps came from there. Errors: E301."""
    yield (found := spilled(bare, network.roots, network.placing, network.kernels))
    if waits(found) and not any(tiling.kernel.from_l3 for tiling in bare.tilings):
        q, chip, ranks = network.quant, network.chip, network.kernels.ranks
        cycles = 1.0 / chip.map_level.bytes_per_cycle
        other = _lower_network(q, chip, network.used, network.placing, ranks, cycles)
        if len(other.steps) < len(network.steps):
            with suppress(MyoedgeError):  # a fused layer's tiles may leave less L2
                made = _plan_tilings(other, stay=False)
                yield spilled(made, other.roots, other.placing, other.kernels)


def _plan_tilings(n: LoweredNetwork, held: int | None = None, *, stay: bool = True) -> Plan:
    """Return the plan with tilings that hold at most `held` bytes of each constant in L2 at once;
    None: no limit.

    stay   whether tensors may stay in L1 between layers, and during loops
    Errors: E304 a layer has no tile, even with operands in L2.
    """
    room = l1_room_bytes(n.chip, len(n.steps))
    limits = {index: Limits(held) for index in range(len(n.steps))}
    tensors, looped, ready = (*tensors_near(n), ready_operands(n)) if stay else ((), (), {})
    made = plan_l1(n.kernels, room, limits, tensors, n.loops, looped, ready)
    tilings = tuple(tiling for tiling in made if tiling is not None)
    if len(tilings) < len(made):
        at = made.index(None)
        kernel, _ = n.kernels.kernels[at][0]
        raise without_room(located(n.steps)[n.steps[at].node.name], kernel, room)
    states = loop_states(looped, tilings, n.steps)
    resident = resident_tensors(n.steps, tilings, {state.name for state in states})
    arena = (life for life in arena_lives(n) if life.name not in resident)
    lives = (*arena, *_scratch_lives(tilings))
    pairs = tuple(replacements(n, tilings, lives))
    placement = n.placing(lives, n.chip.arena_alignment_bytes, pairs)
    where = {
        name: replace(located_tensor(n, root, resident, placement), row_bytes=n.rows.get(name, 0))
        for name, root in n.roots.items()
    }
    steps = TimelineSteps.of(tilings, bool(n.copies), n.loops)
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
    )


def _plan_weight_streaming(network: LoweredNetwork, plan: Plan) -> Plan | None:
    """Return the fastest plan with streamed weights; if it waits for transfers, kernels are also
    chosen by the bytes of their weights. None if L2 is too small."""
    best = _plan_limited_streaming(network, plan)
    if best is None or not waits(best):
        return best
    kernels = replace(network.kernels, byte_cost=constant_byte_costs(best))
    network = replace(network, kernels=kernels)
    lighter = _plan_limited_streaming(network, _plan_tilings(network))
    return min(filter(None, (best, lighter)), key=modelled_cycles)


def _plan_limited_streaming(network: LoweredNetwork, plan: Plan) -> Plan | None:
    """Return the fastest plan with streamed weights: tilings that ignore the space in L2, as those
    of `plan` do, or that limit the bytes held there."""
    window = window_bytes(plan)
    plans = []
    if window > 0:
        for held in (None, *(window // share for share in HELD_SHARES)):
            made = with_transfers(plan if held is None else _plan_tilings(network, held))
            if made is not None:
                plans.append(made)
            if len(plans) >= ENOUGH and not waits(min(plans, key=modelled_cycles)):
                break
    return min(plans, key=modelled_cycles, default=None)


def _scratch_lives(tilings: Sequence[Tiling]) -> Iterator[LiveRange]:
    """Yield the live ranges of the layers' scratch in L2."""
    for at, tiling in enumerate(tilings):
        if tiling.l2_scratch_bytes:
            yield LiveRange(scratch_name(at), tiling.l2_scratch_bytes, at, at)
