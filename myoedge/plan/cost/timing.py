# SPDX-License-Identifier: Apache-2.0
"""Estimated cycles of each layer of a planned network, tile by tile and transfer by transfer.

In a timeline step the cores compute a tile while the control core starts transfers, one command
after another: stores of the previous tile, loads of the next tile, then prefetches for later
layers. The DMA processes loads in that order. A step lasts until the tile is computed and the next
step's operands are loaded; unfinished transfers continue in later steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from myoedge.operators.kernel import TiledKernel
from myoedge.plan.l1.tile_iteration import Transfer, spans
from myoedge.plan.l1.tiling import Tiling
from myoedge.plan.loops import LoopLayers, turns_of
from myoedge.targets.chip import COLD_TILES
from myoedge.targets.costs import KernelCost, TransferCost

MOST_TRANSFERS = 8  # in flight at once
MOST_KNOWN = 8  # networks whose timeline steps are kept
NOTHING_DUE = (-1, 0)
AGAIN = 0.1  # cycles for loading code from the shared instruction cache, as a fraction of L2's

Due = tuple[int, int]  # layer and tile that need a transfer


@dataclass(frozen=True, slots=True)
class Load:
    """An unfinished DMA transfer into L1.

    due      first timeline step that needs its data
    cycles   remaining DMA cycles
    """

    due: Due
    cycles: float


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """Work of the cores, the control core and the DMA from one barrier to the next.

    compute      cycles of the worker cores
    control      cycles of the control core, in addition to issuing DMA commands
    loads        transfers into L1 that start in this step
    stores       DMA cycles of each transfer out of L1
    needed       loads that are due by this step must be complete at its end
    nine_cores   whether the control core also runs the kernel, after its commands
    """

    compute: float
    control: float
    loads: Sequence[Load]
    stores: Sequence[float]
    needed: Due
    nine_cores: bool = False

    def lasts(
        self, under_way: Sequence[Load], cost: TransferCost, level_cycles: float = 0.0
    ) -> tuple[float, list[Load]]:
        """Return the cycles of the timeline step, and the loads that are still unfinished at its
        end.

        under_way   unfinished loads of earlier steps
        level_cycles   cycles that the control core first spends on transfers to L2
        """
        issue = level_cycles + self.control + len(self.stores) * cost.command_cycles
        stored = max(issue + sum(self.stores), 0.0) if self.stores else 0.0
        queue = [(0.0, load) for load in under_way]
        for load in self.loads:
            issue += cost.command_cycles
            queue.append((issue, load))
        loaded = _load_end_cycle(
            [(at, load) for at, load in queue if load.due <= self.needed], queue
        )
        slowed = cost.contention * min(self.compute, loaded)
        dma = max(loaded + slowed if loaded else 0.0, stored)
        own = issue + self.compute + cost.ninth_core_cycles if self.nine_cores else issue
        cycles = max(self.compute, own, dma)
        return cycles, _unfinished_loads(queue, cycles - cost.contention * self.compute)


def _load_end_cycle(
    needed: Sequence[tuple[float, Load]], queue: Sequence[tuple[float, Load]]
) -> float:
    """Return the cycle in which the last needed load is complete; loads are processed in the order
    in which they were started."""
    end = over = 0.0
    last = needed[-1] if needed else None
    for at, load in queue:
        end = max(end, at) + load.cycles
        if last is not None and load is last[1]:
            over = end
    return over


def _unfinished_loads(queue: Sequence[tuple[float, Load]], cycles: float) -> list[Load]:
    """Return the loads that are unfinished after `cycles`, with their remaining cycles."""
    end, left = 0.0, []
    for at, load in queue:
        begin = max(end, at)
        end = begin + load.cycles
        if end > cycles:
            left.append(Load(load.due, end - max(begin, cycles)))
    return left


def modelled(
    tilings: Sequence[Tiling],
    cost: TransferCost,
    loops: Sequence[LoopLayers] = (),
    asked: Callable[[int, int], int] = lambda index, number: 0,
) -> list[float]:
    """Return the estimated cycles of each layer in all iterations of its loop, without waits for
    memory levels.

    asked   (layer, 0 or number of its tile from 1 on) -> transfers between a memory level and L2
            that are started before the layer, or during the tile
    """
    found: list[float] = []
    under_way: list[Load] = []
    for index, steps in enumerate(_network_steps(tuple(tilings), cost, tuple(loops))):
        total = cost.network_cycles if index == 0 else 0.0
        tiles = len(tilings[index].tiles)
        for number, step in enumerate(steps):
            started = min(asked(index, number), MOST_TRANSFERS) if number <= tiles else 0
            cycles, under_way = step.lasts(under_way, cost, started * cost.level_command_cycles)
            total += cycles
        found.append(total * turns_of(loops, index))
    return found


@lru_cache(MOST_KNOWN)
def behind_waits(
    tilings: tuple[Tiling, ...], cost: TransferCost, loops: tuple[LoopLayers, ...] = ()
) -> tuple[tuple[float, ...], ...]:
    """Return the estimated cycles that begin only when the control core has waited for transfers to
    L2, in the step before each layer and during each of its tiles: its own, those of the DMA, and
    those of the kernel if it runs that too."""
    found = []
    for steps in _network_steps(tilings, cost, loops):
        own = (x if x.nine_cores else replace(x, compute=cost.barrier_cycles) for x in steps[:-1])
        found.append(tuple(cost.level_wait_cycles + x.lasts((), cost)[0] for x in own))
    return tuple(found)


@lru_cache(MOST_KNOWN)
def _network_steps(
    tilings: tuple[Tiling, ...], cost: TransferCost, loops: tuple[LoopLayers, ...]
) -> tuple[tuple[TimelineStep, ...], ...]:
    """Return the timeline steps of each layer; plans that differ in transfers have the same."""
    later, cold = _prefetched_loads(tilings, cost), _cold_code_cycles(tilings, cost, loops)
    steps = (_timeline_steps(at, tilings, later, cold, cost) for at in range(len(tilings)))
    return tuple(map(tuple, steps))


def all_iterations(
    loops: Sequence[LoopLayers], cost: TransferCost, tilings: Sequence[Tiling | None]
) -> float:
    """Return the estimated cycles of all layers in all iterations of their loops, without waits for
    memory levels; infinity if a layer has no tiling."""
    tiled = [tiling for tiling in tilings if tiling is not None]
    if len(tiled) < len(tilings):
        return math.inf
    return sum(modelled(tiled, cost, loops=loops))


def _prefetched_loads(
    tilings: Sequence[Tiling | None], cost: TransferCost
) -> Mapping[int, Sequence[Load]]:
    """Return tile of the network -> loads for later layers that start during it."""
    found: dict[int, list[Load]] = {}
    for index, tiling in enumerate(tilings):
        for tile, loads in ({} if tiling is None else tiling.loads_ahead).items():
            found.setdefault(tile, []).extend(_load_cycles((index, 0), x, cost) for x in loads)
    return found


def _load_cycles(due: Due, x: Transfer, cost: TransferCost) -> Load:
    return Load(due, cost.load_cycles(x.bytes, x.bytes // x.line))


def _timeline_steps(
    index: int,
    tilings: Sequence[Tiling | None],
    later: Mapping[int, Sequence[Load]],
    cold_cycles: Sequence[float],
    cost: TransferCost,
) -> Iterator[TimelineStep]:
    """Yield the timeline steps of a layer: loading the first tile, one step per tile, storing the
    last tile."""
    here, behind = (*tilings, None)[index : index + 2]
    assert here is not None
    loads, last = _loads_by_tile(index, here, cost), len(here.tiles) - 1
    delay = here.kernel.cost.dma_delay
    cold = cold_cycles[index]
    starts_early = here.kernel.kernel_waits and not here.kernel.packing
    prepared = cold if starts_early else 0.0  # the kernel starts while its operands are transferred
    needed = NOTHING_DUE if here.back_to_back else (index, 0)
    yield TimelineStep(prepared, 0.0, loads[0], (), needed)
    for t, compute in enumerate(tile_cycles(here)):
        at_end = t == last
        follows = at_end and behind is not None and behind.back_to_back
        started = [*loads[t + 1], *later.get(here.first + t, ())]
        stores = [cost.store_cycles(x.bytes) for x in here.tiles[t - 1].stores] if t else []
        moved = sum(load.cycles for load in started) + sum(stores)
        yield TimelineStep(
            compute + delay * moved + cost.barrier_cycles + (0.0 if t else cold - prepared),
            _control_cycles(here, t, behind, cost),
            started,
            stores,
            (index + 1, 0) if follows else (index, t + 1),
            bool(here.kernel.nine_cores),
        )
    stores = [cost.store_cycles(x.bytes) for x in here.tiles[last].stores]
    yield TimelineStep(0.0, 0.0, (), stores, NOTHING_DUE)


def _control_cycles(here: Tiling, tile: int, behind: Tiling | None, cost: TransferCost) -> float:
    """Return the cycles in which the control core prepares the next tile during this one, or writes
    the arguments of the next layer."""
    if tile == len(here.tiles) - 1:
        return 0.0 if behind is not None and behind.arguments_once else cost.layer_setup_cycles
    code = 0.0 if tile else here.kernel.cost.change_cycles
    return cost.tile_setup_cycles + code


def code_of(kernel: TiledKernel) -> tuple[str, KernelCost]:
    """Return the C function of a kernel and its cost, equal for kernels that run the same code."""
    return kernel.function, kernel.cost


def _cold_code_cycles(
    tilings: Sequence[Tiling], cost: TransferCost, loops: Sequence[LoopLayers]
) -> list[float]:
    """Return the cycles for loading each layer's code from L2, on average over the iterations of
    its loop: 0 if the preceding layer runs the same kernel.

    If the code of a loop stays in the cluster's shared instruction cache, only the cores' own
    caches load it again after the first iteration.
    """
    kernels = [tiling.kernel for tiling in tilings]
    cycles = [kernel.cost.layer_cycles for kernel in kernels]
    for index, (before, here) in enumerate(pairwise(kernels), 1):
        if code_of(before) == code_of(here):
            cycles[index] = 0.0
    for loop in loops:
        body = kernels[loop.first : loop.last + 1]
        code = {code_of(kernel): kernel.cost.layer_cycles for kernel in body}
        if sum(code.values()) <= cost.cache_code_cycles:
            for index in loop.indices:
                cycles[index] *= (1.0 + (loop.steps - 1) * AGAIN) / loop.steps
    return cycles


def _loads_by_tile(index: int, tiling: Tiling, cost: TransferCost) -> list[list[Load]]:
    """Return the loads that start before the first tile, and those that start during each tile."""
    found: list[list[Load]] = [[] for _ in range(len(tiling.tiles) + 1)]
    for t, tile in enumerate(tiling.tiles):
        found[tiling.loads_in(t)] += [
            _load_cycles((index, t), x, cost)
            for x in tile.loads
            if not (t == 0 and tiling.early(x))
        ]
    return found


def tile_cycles(tiling: Tiling) -> list[float]:
    """Return the compute cycles of every tile; the first ones include instruction cache misses."""
    known: dict[tuple[int, ...], float] = {}
    found = []
    for number, tile in enumerate(spans(tiling.kernel, tiling.choice)):
        sizes = {axis: size for axis, (_, size) in tile.items()}
        key = tuple(sizes.values())
        if key not in known:
            known[key] = float(tiling.kernel.cycles(sizes))
        warm = tiling.kernel.cost.warm_cycles if number >= COLD_TILES else 0.0
        found.append(known[key] - warm)
    return found
