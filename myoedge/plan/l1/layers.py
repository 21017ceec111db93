# SPDX-License-Identifier: Apache-2.0
"""Tiling of all layers of a network: tiles chosen layer by layer, L1 buffers placed, prefetches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate

from myoedge.numerics.arrays import round_up
from myoedge.plan.cost.timing import all_iterations
from myoedge.plan.l1.l2_operands import in_place, slowed, with_operands_in_l2
from myoedge.plan.l1.layer_kernels import NetworkKernels, fastest_kernel
from myoedge.plan.l1.loop_data import (
    calls_bytes,
    carried_tensors,
    loop_data,
    loops_with_calls,
    times_bytes,
    with_buffers,
    with_calls,
)
from myoedge.plan.l1.loop_data import end_bytes as end_bytes_of_loop_data
from myoedge.plan.l1.places import (
    L1State,
    PlacedLayer,
    PlacementProblem,
    buffer_offsets,
    placed_layer,
)
from myoedge.plan.l1.prefetch import MOST_AHEAD, hidden_cycles, latest_starts, spare_cycles
from myoedge.plan.l1.resident import (
    Pick,
    ResidentTensor,
    choose_resident,
    end_bytes,
    made_by,
    resident_offsets,
    resident_operands,
    room_left,
    since,
    without_largest,
)
from myoedge.plan.l1.tile_choice import TileSearch
from myoedge.plan.l1.tile_grid import ALIGNMENT
from myoedge.plan.l1.tile_search import NO_LIMITS, Hidden, Limits, TileChoice, choose, tile_count
from myoedge.plan.l1.tiling import Buffer, Tiling, lives, make_tiling
from myoedge.plan.loops import LoopLayers, LoopTensor, borders
from myoedge.plan.placement import LiveRange
from myoedge.targets.costs import NO_BYTE_COST, TransferCost

PREFETCHED = 0.95  # required ratio of a layer's cycles with other tiles to those with its wait


def plan_l1(
    network: NetworkKernels,
    room: int,
    limits: Mapping[int, Limits] | None = None,
    tensors: Sequence[ResidentTensor] = (),
    loops: Sequence[LoopLayers] = (),
    loop_tensors: Sequence[LoopTensor] = (),
    ready: Mapping[int, frozenset[int]] | None = None,
) -> tuple[Tiling | None, ...]:
    """Return the tiling of every layer; None for layers that cannot be tiled within their limits.

    room      bytes of L1 for operands; on a chip without L1, all operands are used in L2
    limits    layer -> constraints by L2
    tensors   tensors that may stay in L1 between layers
    loops     loop bodies, across whose start and end no data is prefetched
    loop_tensors   tensors that only the layers of a loop access
    ready     layer -> its operands, by number, that are in L2 when the layer before begins
    """
    if not network.has_l1:
        return tuple(_plan_without_l1(network))
    cost, limits, outside = network.cost, limits or {}, borders(loops)
    known, byte_cost = network.known, network.byte_cost
    fastest = [
        fastest_kernel(
            kernels,
            room,
            cost,
            limits.get(index, NO_LIMITS),
            known,
            byte_cost.get(index, NO_BYTE_COST),
        )
        for index, kernels in enumerate(network.kernels)
    ]
    kernels, distinct = [kernel for kernel, _ in fastest], [key for _, key in fastest]
    search = TileSearch(
        distinct, cost, limits, network.ranks, network.chosen, network.alone, network.grids
    )
    apart = {index for index, kernel in enumerate(kernels) if kernel.in_l2}
    near = [tensor for tensor in tensors if apart.isdisjoint(tensor.ends)]
    problem = PlacementProblem(kernels, room, cost, limits, outside, {}, {}, ready or {})
    if loops:
        return _plan_loops(problem, near, search.pick, loops, loop_tensors)
    return _plan_layers(problem, near, search.pick)


def _plan_loops(
    problem: PlacementProblem,
    tensors: Sequence[ResidentTensor],
    pick: Pick,
    loops: Sequence[LoopLayers],
    loop_tensors: Sequence[LoopTensor],
) -> tuple[Tiling | None, ...]:
    """Return the tiling of every layer of a network with loops; the arguments are those of
    `plan_l1` and `_plan_layers`."""
    room, kernels, cost = problem.l1_bytes, problem.kernels, problem.cost
    calls = loops_with_calls(loops, room)
    left = room - max(map(calls_bytes, calls), default=0) - times_bytes(len(kernels))
    carried = carried_tensors(loop_tensors, kernels, left)
    own = replace(problem, l1_bytes=left, carried=carried)
    plans = [with_calls(x, calls) for x in _tilings_by_loop(own, tensors, pick, loops)]
    best = min(plans, key=partial(all_iterations, loops, cost)) if len(plans) > 1 else plans[0]
    if carried and None in best:  # they may leave no tile to a layer
        return _plan_loops(problem, tensors, pick, loops, ())
    return best


def _tilings_by_loop(
    problem: PlacementProblem,
    tensors: Sequence[ResidentTensor],
    pick: Pick,
    loops: Sequence[LoopLayers],
) -> Iterator[tuple[Tiling | None, ...]]:
    """Yield the tilings of all layers for each choice of constants that stay in L1 for a loop.

    tensors   tensors that may stay in L1 between layers
    """
    kernels, room, carried = problem.kernels, problem.l1_bytes, problem.carried
    for staying in loop_data(kernels, loops, carried, room):
        left = room - end_bytes_of_loop_data(kernels, staying)
        planned = _plan_layers(replace(problem, l1_bytes=left, staying=staying), tensors, pick)
        yield with_buffers(planned, staying, carried, loops)


def _plan_layers(
    problem: PlacementProblem, tensors: Sequence[ResidentTensor], pick: Pick
) -> tuple[Tiling | None, ...]:
    """Return the tiling of every layer; None for layers that cannot be tiled within their limits.

    tensors   tensors that may stay in L1 between layers
    """
    resident: list[ResidentTensor] = []
    if tensors:
        resident = choose_resident(problem.kernels, tensors, problem.l1_bytes, pick)
    placed = _place_layers(problem, resident, pick, {})
    while isinstance(placed, int):
        resident = without_largest(resident, placed, problem.l1_bytes)
        placed = _place_layers(problem, resident, pick, {})
    prefetched = _place_with_prefetches(problem, placed, resident)
    return tuple(_final_tilings(problem, prefetched or placed, resident))


def _plan_without_l1(network: NetworkKernels) -> Iterator[Tiling]:
    """Yield the tilings on a chip without L1: one tile per layer with operands in L2, and arrays
    for scratch and strided operands."""
    first = 0
    for index, known in enumerate(network.kernels):
        kernel, _ = known[0]
        choice = in_place(kernel, scratch=network.in_order)
        buffers = buffer_offsets(lives(index, kernel, choice, first, None), first, ())
        yield (tiling := make_tiling(kernel, choice, first, None, buffers, {}))
        first += len(tiling.tiles)


def _place_with_prefetches(
    problem: PlacementProblem,
    placed: Sequence[PlacedLayer | None],
    resident: Sequence[ResidentTensor],
) -> Sequence[PlacedLayer | None] | None:
    """Place all layers again, with constants prefetched as late as possible; return None if L1 has
    no space for that."""
    spare: list[float] = []
    fetches: dict[int, tuple[int, float]] = {}
    for index, layer in enumerate(placed):
        if layer is not None and layer.first > 0:
            fetches[index] = (layer.first, layer.fetch_cycles)
        spare += _spare_cycles(layer, problem.cost)
    earliest = dict(zip(fetches, latest_starts(list(fetches.values()), spare), strict=True))

    def as_before(index: int, *_: object) -> TileChoice | None:
        layer = placed[index]
        return None if layer is None else layer.choice

    again = _place_layers(problem, resident, as_before, earliest)
    return None if isinstance(again, int) else again


def _spare_cycles(layer: PlacedLayer | None, cost: TransferCost) -> list[float]:
    if layer is None:
        return [0.0]
    return spare_cycles(layer.kernel, layer.choice, frozenset(layer.resident), cost)


def _place_layers(
    problem: PlacementProblem,
    resident: Sequence[ResidentTensor],
    pick: Pick,
    earliest: Mapping[int, int],
) -> list[PlacedLayer | None] | int:
    """Place all layers in L1; return the index of the first step that does not fit next to the
    resident tensors, if there is one.

    earliest   step -> tile from which its constants are fetched
    """
    placed: list[PlacedLayer | None] = []
    spare: list[float] = []
    enters = [0]
    offsets = resident_offsets(resident)
    for index, kernel in enumerate(problem.kernels):
        operands = resident_operands(index, kernel, resident)
        staying = problem.staying.get(index, {})
        left = room_left(index, resident, problem.l1_bytes)
        hidden = Hidden(hidden_cycles(spare))
        chosen = partial(pick, index, kernel, left, frozenset((*operands, *staying)))
        choice = in_place(kernel) if kernel.in_l2 else chosen(hidden)
        if choice is None and not operands:
            choice = _move_operands_to_l2(problem, index, left)
        layer = None
        if choice is not None:
            at = {name: offsets[t] + more for name, (t, more) in operands.items()}
            at |= {name: more for name, more in staying.items() if name not in choice.in_l2}
            held = _resident_buffers(index, resident, offsets, enters)
            recent = [*filter(None, placed[-MOST_AHEAD:])]
            begins = enters[max((at for at in problem.borders if at <= index), default=0)]
            state = L1State(spare, recent, at, held, earliest.get(index), begins)
            layer = _place_layer(problem, index, choice, state, chosen, hidden)
        if layer is None and (choice is not None or operands):
            return index
        placed.append(layer)
        spare += _spare_cycles(layer, problem.cost)
        enters.append(len(spare))
    return placed


def _place_layer(
    problem: PlacementProblem,
    index: int,
    choice: TileChoice,
    state: L1State,
    chosen: Callable[[Hidden], TileChoice | None],
    hidden: Hidden,
) -> PlacedLayer | None:
    """Place a layer with the given tiling, or with a smaller one whose constants can be prefetched;
    None if it does not fit."""
    kernel = problem.kernels[index]
    used = slowed(kernel, problem.cost) if choice.in_l2 else kernel
    layer = placed_layer(problem, index, used, choice, state)
    if layer is None or not layer.waits or choice.in_l2:
        return layer
    fitting = replace(hidden, size_bytes=state.largest_gap(problem.l1_bytes))
    return _make_prefetchable(problem, index, layer, chosen(fitting), state)


def _make_prefetchable(
    problem: PlacementProblem,
    index: int,
    layer: PlacedLayer,
    other: TileChoice | None,
    state: L1State,
) -> PlacedLayer:
    """Return the layer with another tiling whose constants can be prefetched, if that is estimated
    to be faster."""
    waiting = layer.choice.cycles + layer.fetch_cycles
    if other is None or other.cycles >= PREFETCHED * waiting:
        return layer
    found = placed_layer(problem, index, layer.kernel, other, state)
    return layer if found is None or found.waits else found


def _move_operands_to_l2(problem: PlacementProblem, index: int, l1_bytes: int) -> TileChoice | None:
    """Return a tiling with untiled constants, or with operands, in L2; None if the layer accesses a
    feature map in L3, or a tensor that stays in L1 for its loop."""
    kernel, cost = problem.kernels[index], problem.cost
    carried = (not kernel.operand(name).constant for name in problem.staying.get(index, ()))
    if problem.limits.get(index, NO_LIMITS).in_l3 or any(carried):
        return None
    return choose(kernel, l1_bytes, cost) or with_operands_in_l2(kernel, l1_bytes, cost)


def _resident_buffers(
    index: int,
    resident: Sequence[ResidentTensor],
    offsets: Mapping[ResidentTensor, int],
    enters: Sequence[int],
) -> list[tuple[int, LiveRange]]:
    """Return (offset, live range) of resident tensors that may overlap a step's buffers; their live
    ranges never end.

    Tensors whose last reader ended too long ago to overlap a prefetch are left out.
    """
    found = []
    for tensor in since(index - MOST_AHEAD, resident):
        if tensor.producer > index:
            break
        if enters[min(tensor.last, index - 1) + 1] >= enters[index] - MOST_AHEAD:
            last = enters[tensor.last + 1] - 1 if tensor.last < index else sys.maxsize
            life = LiveRange(tensor.life.name, tensor.size_bytes, enters[tensor.producer], last)
            found.append((offsets[tensor], life))
    return found


def _final_tilings(
    problem: PlacementProblem,
    placed: Sequence[PlacedLayer | None],
    resident: Sequence[ResidentTensor],
) -> Iterator[Tiling | None]:
    """Yield the final tiling of each layer, with buffers of resident tensors in the layer that
    computes them; data of loops are behind all others, and have no buffers yet."""
    ends = (at + life.size_bytes for x in filter(None, placed) for _, _, life, at in x.buffers)
    end = int(round_up(max((end_bytes(resident), *ends)), ALIGNMENT))
    offsets = resident_offsets(resident)
    counts = [1 if x is None else tile_count(x.kernel, x.choice) for x in placed]
    enters = [0, *accumulate(counts)]
    for index, layer in enumerate(placed):
        if layer is None:
            yield None
            continue
        staying = problem.staying.get(index, {}).keys() & layer.resident.keys()
        places = {name: x + end * (name in staying) for name, x in layer.resident.items()}
        of_layer = layer.kernel, layer.choice, layer.first, layer.prefetch_tile
        tiling = make_tiling(*of_layer, layer.buffers, places, layer.ahead)
        made = made_by(index, layer.kernel, resident)
        spans = ((name, x, enters[index], enters[x.last + 1] - 1) for name, x in made)
        results = (Buffer(name, 0, x.size_bytes, offsets[x], *span) for name, x, *span in spans)
        nothing = layer.early == len(tiling.tiles[0].loads) and index not in problem.borders
        before = placed[index - 1] if index else None
        is_left = before is not None and before.leaves_results
        buffers = (*tiling.buffers, *results)
        yield replace(tiling, buffers=buffers, back_to_back=nothing and is_left)
