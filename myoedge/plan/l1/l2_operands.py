# SPDX-License-Identifier: Apache-2.0
"""Tiles of layers whose smallest tile does not fit L1: their largest operands stay in L2.

The kernel is the same: it takes pointers, and loads and stores reach L2 as they reach L1, slower.
"""

from __future__ import annotations

from dataclasses import replace

from myoedge.operators.kernel import SCRATCH, TiledKernel
from myoedge.plan.l1.tile_grid import Grid
from myoedge.plan.l1.tile_search import TileChoice, TilingProblem, choices, in_one_run, smallest
from myoedge.targets.chip import TransferCost


def with_operands_in_l2(kernel: TiledKernel, room: int, cost: TransferCost) -> TileChoice | None:
    """Tiles with as few operands in L2 as L1 asks for, the largest first.

    Scratch is in L2 too if L1 has no room for it; None if no operands in L2 will do.
    """
    if kernel.l1_only:
        return None
    parts = smallest(kernel)[1]
    names = sorted((o.name for o in kernel.operands), key=lambda name: -parts[name])
    grid = Grid.of(kernel, cost)
    scratch = {SCRATCH} if parts.get(SCRATCH, 0) > room else set()
    for count in range(not scratch, len(names) + 1):
        in_l2 = frozenset({*names[:count], *scratch})
        found = choices(TilingProblem(grid, room, resident=in_l2, in_l2=True))
        if found:
            return replace(found[0], in_l2=in_l2)
    return None


def in_place(kernel: TiledKernel) -> TileChoice:
    """Uncut tiles, each operand in L2 whose part of a tile is a run of bytes there."""
    grid = Grid.of(replace(kernel, split=()), TransferCost())
    in_l2 = frozenset(o.name for o in kernel.operands if in_one_run(o, grid).all())
    return TileChoice(dict.fromkeys(grid.sizes, 1), tuple(grid.sizes), 0.0, 0, in_l2=in_l2)


def slowed(kernel: TiledKernel, cost: TransferCost) -> TiledKernel:
    """The kernel with the cost of a unit of work on operands in L2."""
    unit = kernel.cost.unit_cycles * cost.l2_operand_factor
    return replace(kernel, cost=replace(kernel.cost, unit_cycles=unit))
