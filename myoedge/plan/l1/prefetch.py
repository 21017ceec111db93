# SPDX-License-Identifier: Apache-2.0
"""Prefetch: the constants of a layer's first tile are loaded while earlier layers compute.

The DMA processes transfers in the order in which they are started. Transfers cost nothing during a
tile whose computation takes longer than its own transfers. So a prefetch starts as late as
possible, but early enough to be hidden in the idle DMA cycles of the tiles before its layer.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from functools import lru_cache

from myoedge.operators.kernel import TiledKernel
from myoedge.plan.l1.tile_iteration import MOST_KNOWN, Cut, Transfer, cut, transfers
from myoedge.plan.l1.tile_search import TileChoice
from myoedge.plan.l1.tiling import unplaced_tiles
from myoedge.targets.costs import TransferCost

MOST_AHEAD = 15  # tiles ahead: the DMA has 16 transfer ids
MOST_TRANSFERS = 10  # prefetched transfers at once; the DMA's other ids are for the current tile


def moved_cycles(moved: Sequence[Transfer], cost: TransferCost) -> float:
    """Return the DMA cycles of consecutive transfers."""
    return cost.load_cycles(sum(x.bytes for x in moved), sum(x.bytes // x.line for x in moved))


def first_constants(
    kernel: TiledKernel, choice: TileChoice, resident: Container[str] = ()
) -> list[Transfer]:
    """Return the transfers of the first tile's constants, before L1 addresses are known.

    choice     tiling of the layer
    resident   operands that are in L1 already
    """
    constants = {x.name for x in kernel.operands if x.constant and x.name not in resident}
    return first_loads(kernel, choice, constants)


def first_loads(kernel: TiledKernel, choice: TileChoice, names: Container[str]) -> list[Transfer]:
    """Return the first tile's transfers of some operands, before L1 addresses are known.

    choice   tiling of the layer; it has no transfers of operands in L2
    """
    uses = (use for use in cut(kernel, choice).uses if use.operand.name in names)
    moved = (use for use in uses if use.operand.name not in choice.in_l2)
    return [x for use in moved for x in transfers(use.operand, use.regions[0], 0)]


def spare_cycles(
    kernel: TiledKernel, choice: TileChoice, resident: frozenset[str], cost: TransferCost
) -> list[float]:
    """Return the cycles in which the DMA is idle, for each tile of a layer.

    choice     tiling of the layer
    resident   operands that stay in L1 and are not transferred
    """
    computed = float(kernel.cycles({**kernel.axes, **choice.sizes})) * (1 - cost.contention)
    stores, until = _dma_cycles_by_tile(cut(kernel, choice), resident | choice.in_l2, cost)
    depth = choice.depth
    done, found, last = 0.0, [], len(stores) - 1
    for t, store in enumerate(stores):
        asked = until[min(t + depth - 1, last)] - done
        lasted = max(computed - store, until[min(t + 1, last)] - done)
        found.append(max(lasted - asked, 0.0))
        done += min(asked, lasted)
    return found


@lru_cache(MOST_KNOWN)
def _dma_cycles_by_tile(
    made: Cut, in_place: frozenset[str], cost: TransferCost
) -> tuple[list[float], list[float]]:
    """Return DMA cycles per tile: of the stores during each tile, and of the loads from the second
    tile to each tile, cumulated."""
    tiles = unplaced_tiles(made, in_place)
    stores = [0.0, *(moved_cycles(tile.stores, cost) for tile in tiles[:-1])]
    until = [0.0]
    for tile in tiles[1:]:
        until.append(until[-1] + moved_cycles(tile.loads, cost))
    return stores, until


def hidden_cycles(spare: Sequence[float]) -> float:
    """Return the DMA cycles of transfers that earlier layers can hide, rounded down to three
    significant bits, so that equal layers get equal tilings.

    spare   idle DMA cycles per earlier tile
    """
    total = int(sum(spare[-MOST_AHEAD:]))
    dropped = max(total.bit_length() - 3, 0)
    return float(total >> dropped << dropped)


def possible_starts(spare: Sequence[float], cycles: float) -> Iterator[int]:
    """Yield the tiles in which a prefetch of `cycles` may start, best first.

    spare   idle DMA cycles per earlier tile
    """
    last = len(spare) - 1
    oldest, best = max(last + 1 - MOST_AHEAD, 0), last
    for tile in range(last, oldest - 1, -1):
        if spare[tile] > 0:
            best = tile
            cycles -= spare[tile]
        if cycles <= 0:
            break
    yield from range(max(best, 0), last + 1)


def take_spare(spare: list[float], prefetch_tile: int, cycles: float) -> None:
    """Subtract the cycles of a prefetch from the idle DMA cycles of the tiles in which it runs,
    from the last tile back to its first.

    spare           idle DMA cycles per tile; changed in place
    prefetch_tile   tile in which the prefetch starts
    """
    for tile in range(len(spare) - 1, prefetch_tile - 1, -1):
        taken = min(spare[tile], cycles)
        spare[tile] -= taken
        cycles -= taken


def latest_starts(fetches: Sequence[tuple[int, float]], spare: Sequence[float]) -> list[int]:
    """Return, for each prefetch, the latest tile in which it can start without delaying the run.

    fetches   (first tile that needs it, DMA cycles), in order
    spare     idle DMA cycles per tile

    A prefetch that cannot be hidden starts as soon as the DMA is first idle.
    """
    left, found, next_one = list(spare), [], len(spare)
    for first, cycles in reversed(fetches):
        tile = min(first - 1, next_one)
        oldest = max(first - MOST_AHEAD, 0)
        while tile > oldest and cycles > left[tile]:
            cycles -= left[tile]
            left[tile] = 0.0
            tile -= 1
        if cycles > left[max(tile, 0)]:
            idle = (at for at in range(oldest, first) if spare[at] > 0)
            tile = min(max(next(idle, first - 1) - 1, oldest), next_one)
        else:
            left[tile] -= cycles
        next_one = max(tile, 0)
        found.append(next_one)
    return found[::-1]
