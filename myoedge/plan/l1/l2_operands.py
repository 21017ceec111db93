# SPDX-License-Identifier: Apache-2.0
"""Tiling of layers whose smallest tile does not fit L1: their largest operands stay in L2.

The kernels are the same, because pointers may also point to L2; accesses there are slower.
"""

from __future__ import annotations

from dataclasses import replace

from myoedge.operators.kernel import SCRATCH, TiledKernel
from myoedge.plan.l1.tile_grid import Grid
from myoedge.plan.l1.tile_runs import in_one_run
from myoedge.plan.l1.tile_search import TileChoice, TilingProblem, choices, smallest
from myoedge.targets.costs import TransferCost


def with_operands_in_l2(kernel: TiledKernel, room: int, cost: TransferCost) -> TileChoice | None:
    """Return the tiling with as few operands in L2 as possible, the largest first; None if the
    other operands still do not fit in L1.

    room   bytes of L1; scratch is in L2 too if it does not fit
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


def in_place(kernel: TiledKernel, *, scratch: bool = False) -> TileChoice:
    """Return the tiling with one tile for chips without L1: the kernel accesses contiguous operands
    directly in L2.

    scratch   whether its scratch is there too, as long as the layer runs
    """
    grid = Grid.of(replace(kernel, split=()), TransferCost())
    direct = [o.name for o in kernel.operands if in_one_run(o, grid).all()]
    has_scratch = scratch and int(kernel.scratch(kernel.axes)) > 0
    in_l2 = frozenset([*direct, *[SCRATCH] * has_scratch])
    return TileChoice(dict.fromkeys(grid.sizes, 1), tuple(grid.sizes), 0.0, 0, in_l2=in_l2)


def slowed(kernel: TiledKernel, cost: TransferCost) -> TiledKernel:
    """Return the kernel with a higher cost per work unit, for operands in L2."""
    unit = kernel.cost.unit_cycles * cost.l2_operand_factor
    return replace(kernel, cost=replace(kernel.cost, unit_cycles=unit))
