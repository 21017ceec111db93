# SPDX-License-Identifier: Apache-2.0
"""All layers of a network in L1: tiles chosen one after another, buffers placed, fetched ahead."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.kernel import FREE, TiledKernel
from myoedge.plan.cost.timing import modelled
from myoedge.plan.l1.l2_operands import in_place, slowed, with_operands_in_l2
from myoedge.plan.l1.multi_buffering import deeper
from myoedge.plan.l1.prefetch import (
    MOST_TILES,
    MOST_TRANSFERS,
    first_constants,
    hidden_cycles,
    latest,
    moved_cycles,
    prefetched,
    spare_cycles,
    spent,
    starts,
)
from myoedge.plan.l1.resident import (
    Pick,
    ResidentTensor,
    choose_resident,
    end_bytes,
    resident_offsets,
    resident_operands,
    room_left,
)
from myoedge.plan.l1.tile_search import (
    ALIGNMENT,
    NO_LIMITS,
    Limits,
    TileChoice,
    choices,
    choose,
    tile_count,
)
from myoedge.plan.l1.tiling import Buffer, Tiling, Transfer, lives, make_tiling, unplaced
from myoedge.plan.placement import Life, first_gap
from myoedge.targets.chip import Chip
from myoedge.targets.costs import TransferCost

# Of the DMA, hidden before a layer at least: 32 KiB, so that constants may have large tiles.
HIDDEN_CYCLES = 4096.0

BEFORE = -1  # a tile in front of all

# Of a layer's cycles so many are left with more buffers, at most: they take L1 from others.
DEEP_SAVES = 0.98

# Times the fewest cycles: of tiles about as fast the largest, in least of L1, for their energy.
EVEN = 1.002
MOST_COMPARED = 64  # tiles of a layer whose transfers are looked at before they are chosen

Placed = list[tuple[str, int, Life, int]]
Known = dict[Hashable, TileChoice | None]  # the best tiles by what decides about them
NEAR_RANKED = 1.4  # times the fewest estimated cycles, of tiles that are chosen by their rank
TileRanks = Mapping[str, int]  # by distinct layer: 1 takes the second fastest tiles
NO_RANKS: TileRanks = {}
Alone = dict[Hashable, float]  # cycles by layers that are alike, and their tiles
Taken = Sequence[tuple[int, int, Life]]


def plan_l1(
    steps: Sequence[QuantizedNode],
    room: int,
    chip: Chip,
    limits: Mapping[int, Limits] | None = None,
    tensors: Sequence[ResidentTensor] = (),
    on_l2: bool = True,
    tile_ranks: TileRanks = NO_RANKS,
) -> tuple[Tiling | None, ...]:
    """Tilings of all nodes; None where a node works on L2 without tiles.

    Without L1 kernels run on operands where they lie in L2.

    limits  what L2 has no room for, by step
    flows   tensors that may stay in L1 between layers
    on_l2   kernels may read and write operands in L2 where no tile fits L1
    tile_ranks   layers that take other tiles than the fastest by the estimate
    """
    if not chip.l1_bytes:
        return tuple(_without_l1([declared(step, chip) for step in steps]))
    cost, limits = chip.transfers, limits or {}
    kernels: list[TiledKernel | None] = []
    for index, step in enumerate(steps):
        limit = limits.get(index, NO_LIMITS)
        kernel = _fastest_kernel(candidates(step, chip), room, cost, limit)
        there = on_l2 and not limit.far
        kernels.append(kernel and replace(kernel, on_l2=kernel.on_l2 and there))
    return _fitting(kernels, tensors, room, _Search.of(kernels, cost, limits, tile_ranks))


def _without_l1(kernels: Iterable[TiledKernel | None]) -> Iterator[Tiling | None]:
    """Layers as one tile of operands in L2; scratch and strided operands have an array instead."""
    first = 0
    for index, kernel in enumerate(kernels):
        if kernel is None:
            yield None
            first += 1
            continue
        choice = in_place(kernel)
        placed = _place(lives(index, kernel, choice, first, None), first, ())
        yield (tiling := make_tiling(kernel, choice, first, None, placed, {}))
        first += len(tiling.tiles)


def _fitting(
    kernels: Sequence[TiledKernel | None],
    tensors: Sequence[ResidentTensor],
    room: int,
    search: _Search,
) -> tuple[Tiling | None, ...]:
    """With as many results in L1 as leave place for all tiles."""
    cost = search.cost
    resident = choose_resident(kernels, tensors, room, search.pick)
    while True:
        made = _attempt(kernels, resident, room, cost, search.pick)
        if not isinstance(made, int):
            again = _attempt(
                kernels, resident, room, cost, partial(_again, made), _begins(made, cost)
            )
            return made if isinstance(again, int) else again
        there = [tensor for tensor in resident if made in tensor.steps]
        assert there, "tiles that were chosen to fit do not"
        resident.remove(max(there, key=lambda tensor: tensor.size_bytes))
        while end_bytes(resident) > room:  # fewer tensors may leave another hole
            resident.remove(max(resident, key=lambda tensor: tensor.size_bytes))


def _again(made: Sequence[Tiling | None], index: int, *_: object) -> TileChoice | None:
    """The tiles that were chosen before."""
    tiling = made[index]
    return None if tiling is None else tiling.choice


def _begins(made: Sequence[Tiling | None], cost: TransferCost) -> Mapping[int, int]:
    """Since when each layer's constants have to be fetched, now that all tiles are known."""
    spare = [cycles for t in made for cycles in ([0.0] if t is None else spare_cycles(t, cost))]
    fetches = {i: _fetch(t, cost) for i, t in enumerate(made) if t is not None and t.first > 0}
    return dict(zip(fetches, latest(list(fetches.values()), spare), strict=True))


def _fetch(tiling: Tiling, cost: TransferCost) -> tuple[int, float]:
    """(first tile, cycles) of a layer's constants."""
    return tiling.first, moved_cycles(first_constants(tiling.kernel, tiling.choice), cost)


def candidates(step: QuantizedNode, chip: Chip) -> list[TiledKernel]:
    """Tilings of a layer by its operator's kernels, of engines that the chip has."""
    engines = {engine.name: engine for engine in chip.engines}
    found = []
    for kernel in OPS[step.node.op].kernels:
        engine = engines.get(kernel.engine)
        tiled = kernel.tiling(step, engine) if engine and kernel.accepts(step) else None
        if engine and tiled:
            cost = engine.kernels[tiled.function] if engine.kernels else FREE
            found.append(replace(tiled, engine=engine.name, cost=cost))
    return found


def declared(step: QuantizedNode, chip: Chip) -> TiledKernel | None:
    """The first of a layer's tilings; None where it has none."""
    return next(iter(candidates(step, chip)), None)


def _fastest_kernel(
    kernels: Sequence[TiledKernel], room: int, cost: TransferCost, limits: Limits
) -> TiledKernel | None:
    """The tiling of fewest cycles by itself among those that fit."""
    if len(kernels) < 2:
        return next(iter(kernels), None)
    found = [(choose(kernel, room, cost, limits=limits), kernel) for kernel in kernels]
    cycles = [float("inf") if choice is None else choice.cycles for choice, _ in found]
    return found[cycles.index(min(cycles))][1]


def _attempt(
    kernels: Sequence[TiledKernel | None],
    resident: Sequence[ResidentTensor],
    room: int,
    cost: TransferCost,
    pick: Pick,
    begins: Mapping[int, int] | None = None,
) -> tuple[Tiling | None, ...] | int:
    """Tilings of all layers, or the step for whose buffers resident tensors leave no place.

    begins   tiles since which constants are fetched, at the earliest; None: it is not known yet
    """
    made: list[Tiling | None] = []
    spare: list[float] = []
    enters = [0]
    offsets = resident_offsets(resident)
    for index, kernel in enumerate(kernels):
        tiling = None
        if kernel is not None:
            operands = resident_operands(index, kernel, resident)
            left = room_left(index, resident, room)
            choice = pick(index, kernel, left, frozenset(operands), hidden_cycles(spare))
            if choice is None and not operands:
                choice = with_operands_in_l2(kernel, left, cost)
            if choice is not None and choice.in_l2:
                kernel = slowed(kernel, cost)
            if choice is not None:
                at = {
                    name: offsets[tensor.producer] + more
                    for name, (tensor, more) in operands.items()
                }
                held = list(_held(index, resident, offsets, enters))
                begin = None if begins is None else begins.get(index)
                tiling = _placed(index, kernel, choice, spare, made, room, cost, at, held, begin)
            if tiling is None and (choice is not None or operands):
                return index
        made.append(tiling)
        spare += [0.0] if tiling is None else spare_cycles(tiling, cost)
        enters.append(len(spare))
    return tuple(_with_resident(made, resident, offsets, enters))


def _held(
    index: int,
    resident: Iterable[ResidentTensor],
    offsets: Mapping[int, int],
    begins: Sequence[int],
) -> Iterator[tuple[int, int, Life]]:
    """Resident tensors as buffers, while a step is placed; those that it may meet stay for ever."""
    for tensor in resident:
        if tensor.producer <= index:
            last = begins[tensor.last + 1] - 1 if tensor.last < index else sys.maxsize
            life = Life(tensor.life.name, tensor.size_bytes, begins[tensor.producer], last)
            yield offsets[tensor.producer], tensor.size_bytes, life


def _with_resident(
    made: Sequence[Tiling | None],
    resident: Sequence[ResidentTensor],
    offsets: Mapping[int, int],
    begins: Sequence[int],
) -> Iterator[Tiling | None]:
    """Tilings with the buffers of resident tensors, in the layers that compute them."""
    by_producer = {tensor.producer: tensor for tensor in resident}
    for index, tiling in enumerate(made):
        if tiling is None:
            yield None
            continue
        buffers, tensor = tiling.buffers, by_producer.get(index)
        if tensor is not None:
            size, last = tensor.size_bytes, begins[tensor.last + 1] - 1
            at, first = offsets[index], begins[index]
            buffers += (Buffer(tiling.kernel.out.name, 0, size, at, first, last),)
        nothing = len(prefetched(tiling)) == len(tiling.tiles[0].loads)
        yield replace(tiling, buffers=buffers, back_to_back=nothing and index - 1 in by_producer)


def _alike(kernel: TiledKernel) -> str:
    """Key of layers with equal tiles: loops, operands, scratch and work of the
    largest tile and the smallest; multipliers and scales are their own."""
    ends = (kernel.axes, {**kernel.axes, **dict.fromkeys(kernel.split, 1)})
    work = [(kernel.scratch(sizes), kernel.work(sizes)) for sizes in ends]
    return repr((kernel.function, dict(kernel.axes), kernel.split, kernel.operands, work))


def distinct_layers(tilings: Sequence[Tiling | None]) -> list[str | None]:
    """For each step the key of its distinct layer: equal for the same tiles; None without tiles."""
    return [None if tiling is None else _alike(tiling.kernel) for tiling in tilings]


def _iteration(kernel: TiledKernel, choice: TileChoice) -> Hashable:
    """Key of a choice, equal for the same tiles in the same order."""
    cut = {axis: size for axis, size in choice.sizes.items() if size < kernel.axes[axis]}
    order = tuple(axis for axis in choice.order if axis in cut)
    return tuple(sorted(cut.items())), order, choice.depth


@dataclass(frozen=True, eq=False, slots=True)
class _Search:
    """The tiles of layers, each layer chosen by itself; layers that are alike are searched once.

    alike   of each layer what decides about its tiles
    known   tiles that were chosen       alone   cycles of tiles that were compared
    """

    alike: Sequence[str | None]
    cost: TransferCost
    limits: Mapping[int, Limits]
    ranks: TileRanks = field(default_factory=dict)
    known: Known = field(default_factory=dict)
    alone: Alone = field(default_factory=dict)

    @staticmethod
    def of(
        kernels: Sequence[TiledKernel | None],
        cost: TransferCost,
        limits: Mapping[int, Limits],
        ranks: TileRanks,
    ) -> _Search:
        return _Search([None if t is None else _alike(t) for t in kernels], cost, limits, ranks)

    def cycles(self, tilings: Sequence[Tiling | None]) -> float:
        return sum(cycles for cycles in modelled(tilings, self.cost) if cycles is not None)

    def pick(
        self, index: int, kernel: TiledKernel, room: int, resident: frozenset[str], hidden: float
    ) -> TileChoice | None:
        """The fastest tiles of a layer; None where none fit."""
        hidden = max(hidden, HIDDEN_CYCLES)
        limits = self.limits.get(index, NO_LIMITS)
        key = (self.alike[index], round(hidden), room, resident, limits)
        if key not in self.known:
            found = choices(kernel, room, self.cost, hidden, limits, resident)
            deep_room = room if limits == NO_LIMITS else 0
            best = self._fastest(index, kernel, found, hidden, resident, deep_room)
            rank = self.ranks.get(self.alike[index] or "", 0)
            if best is not None and not best.in_l2 and rank:
                slower = choices(kernel, room, self.cost, hidden, limits, resident, NEAR_RANKED)
                others = self._others(index, kernel, slower, hidden, resident, deep_room, best)
                best = next(iter(others[rank - 1 :]), best)
            self.known[key] = best
        return self.known[key]

    def _others(
        self,
        index: int,
        kernel: TiledKernel,
        found: Sequence[TileChoice],
        hidden: float,
        resident: frozenset[str],
        room: int,
        best: TileChoice,
    ) -> list[TileChoice]:
        """Tiles besides the fastest, in the order of their estimated cycles."""
        few = [choice for choice in found if tile_count(kernel, choice) <= MOST_COMPARED]
        deep = [d for choice in few for d in deeper(kernel, room, resident, self.cost, choice)]
        distinct = {_iteration(kernel, choice): choice for choice in reversed([*few, *deep])}
        others = [c for key, c in distinct.items() if key != _iteration(kernel, best)]
        estimated = [
            replace(
                c, cycles=self._alone(index, kernel, c, resident) + self._waited(kernel, c, hidden)
            )
            for c in others
        ]
        return sorted(estimated, key=lambda choice: (choice.cycles, choice.order))

    def _fastest(
        self,
        index: int,
        kernel: TiledKernel,
        found: Sequence[TileChoice],
        hidden: float,
        resident: frozenset[str],
        room: int,
    ) -> TileChoice | None:
        """The fastest of near-equal choices, compared transfer by transfer."""
        few = [choice for choice in found if tile_count(kernel, choice) <= MOST_COMPARED]
        if not few or few[0] is not found[0]:
            return found[0] if found else None
        best = self._least(index, kernel, few, hidden, resident)
        more = [
            deep for choice in few for deep in deeper(kernel, room, resident, self.cost, choice)
        ]
        if not more:
            return best
        other = self._least(index, kernel, more, hidden, resident)
        return other if other.cycles < DEEP_SAVES * best.cycles else best

    def _least(
        self,
        index: int,
        kernel: TiledKernel,
        few: Sequence[TileChoice],
        hidden: float,
        resident: frozenset[str],
    ) -> TileChoice:
        waited = (self._waited(kernel, choice, hidden) for choice in few)
        alone = (self._alone(index, kernel, choice, resident) for choice in few)
        cycles = [a + w for a, w in zip(alone, waited, strict=True)]
        about = [i for i, found in enumerate(cycles) if found <= EVEN * min(cycles)]
        best = min(about, key=lambda i: (tile_count(kernel, few[i]), few[i].l1_bytes, cycles[i]))
        return replace(few[best], cycles=cycles[best])

    def _waited(self, kernel: TiledKernel, choice: TileChoice, hidden: float) -> float:
        """Cycles that a layer waits for its constants, less those hidden behind earlier layers."""
        return max(moved_cycles(first_constants(kernel, choice), self.cost) - hidden, 0.0)

    def _alone(
        self, index: int, kernel: TiledKernel, choice: TileChoice, resident: frozenset[str]
    ) -> float:
        """Cycles of a layer that nothing is fetched beside, and whose first constants are there."""
        key = (self.alike[index], resident, tuple(choice.sizes.items()), choice.order, choice.depth)
        if key not in self.alone:
            self.alone[key] = self.cycles([unplaced(kernel, choice, resident, BEFORE)])
        return self.alone[key]


def _placed(
    index: int,
    kernel: TiledKernel,
    choice: TileChoice,
    spare: list[float],
    made: Sequence[Tiling | None],
    room: int,
    cost: TransferCost,
    resident: Mapping[str, int],
    held: Taken,
    begin: int | None,
) -> Tiling | None:
    """Buffers at the lowest offsets, constants since the best tile for which that finds room.

    resident, held   where resident operands lie in L1; what all resident tensors take of it
    """
    first = len(spare)
    fetched = first_constants(kernel, choice)
    recent = [t for t in made[-MOST_TILES:] if t is not None]
    taken = [*held, *((b.offset, b.size_bytes, _life(b)) for t in recent for b in t.buffers)]
    cycles = moved_cycles(fetched, cost)
    possible = starts(spare, cycles) if begin is None else range(begin, first)
    for since in (*_starts(possible, fetched, recent), None):
        placed = _place(lives(index, kernel, choice, first, since, resident), first, taken)
        if max((at + life.size_bytes for _, _, life, at in placed), default=0) <= room:
            if since is not None:
                spent(spare, since, cycles)
            return make_tiling(kernel, choice, first, since, placed, resident)
    return None


def _life(buffer: Buffer) -> Life:
    return Life(buffer.operand, buffer.size_bytes, buffer.first, buffer.last)


def _starts(
    possible: Iterable[int], fetched: Sequence[Transfer], recent: Sequence[Tiling]
) -> Iterator[int]:
    """Tiles in which the fetch may start: none before those of layers that need theirs sooner, and
    never with too many transfers under way."""
    order = max((t.since for t in recent if t.since is not None), default=0)
    for since in possible if fetched else ():
        under_way = sum(
            len(prefetched(t)) for t in recent if t.since is not None and t.first > since
        )
        if since >= order and len(fetched) + under_way <= MOST_TRANSFERS:
            yield since


def _place(found: Sequence[tuple[str, int, Life]], first: int, taken: Taken) -> Placed:
    placed: Placed = []
    # What is fetched ahead has fewest places to go, large buffers fewer than small ones.
    for operand, slot, life in sorted(found, key=lambda x: (x[2].first >= first, -x[2].size_bytes)):
        others = [(at, size) for at, size, other in taken if other.meets(life)]
        others += [(at, other.size_bytes) for _, _, other, at in placed]
        placed.append((operand, slot, life, first_gap(sorted(others), life.size_bytes, ALIGNMENT)))
    return placed
