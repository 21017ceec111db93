# SPDX-License-Identifier: Apache-2.0
"""Kernels that can run a layer, of the engines of a chip."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

from myoedge.errors import MyoedgeError, Notice, notice
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.kernel import CORES, FREE, SCRATCH, TiledKernel
from myoedge.plan.l1.l2_operands import slowed, with_operands_in_l2
from myoedge.plan.l1.tile_choice import NO_RANKS, TileRanks, distinct_layer
from myoedge.plan.l1.tile_search import MOST_TILES, Grid, Limits, TileChoice, choose, smallest
from myoedge.targets.chip import Chip, TransferCost

MOST_SCRATCH = 0.9  # of L1: more leaves operands nothing


@dataclass(frozen=True, eq=False, slots=True)
class NetworkKernels:
    """Kernels that can run the layers of a network, and what was found out about their tiles.

    kernels   of each layer, with the keys of their distinct layers
    chosen, alone, grids   as in TileSearch, for all plans of the network
    """

    kernels: Sequence[Sequence[tuple[TiledKernel, str]]]
    has_l1: bool
    cost: TransferCost
    ranks: TileRanks = field(default_factory=dict)
    chosen: dict[Hashable, TileChoice | None] = field(default_factory=dict)
    alone: dict[Hashable, float] = field(default_factory=dict)
    grids: dict[str | None, Grid] = field(default_factory=dict)

    @staticmethod
    def of(
        steps: Sequence[QuantizedNode], chip: Chip, ranks: TileRanks = NO_RANKS
    ) -> NetworkKernels:
        """ranks   layers that take other tiles than the fastest by the estimate"""
        kernels = [[(k, distinct_layer(k)) for k in candidates(step, chip)] for step in steps]
        return NetworkKernels(kernels, chip.l1_bytes > 0, chip.transfers, ranks)


def candidates(step: QuantizedNode, chip: Chip) -> list[TiledKernel]:
    """Kernels of a layer's operator, of engines that the chip has and the layer's choice allows;
    fallbacks where the others' scratch leaves L1 no room for operands, or the others read operands
    neither in L1 nor in L2."""
    chosen = step.engine.name
    allowed = chip.cores_alone() if chosen == CORES else chip
    engines = {engine.name: engine for engine in allowed.engines}
    found: dict[bool, list[TiledKernel]] = {False: [], True: []}
    for kernel in sorted(OPS[step.node.op].kernels, key=lambda kernel: kernel.fallback):
        engine = engines.get(kernel.engine)
        fits = kernel.fallback and any(_fits(known, chip) for known in found[False])
        if engine and kernel.accepts(step) and not fits:
            tiled = replace(kernel.tiling(step, engine), preferred=engine.name == chosen)
            cost = engine.kernels[tiled.function] if engine.kernels else FREE
            found[kernel.fallback].append(replace(tiled, engine=engine.name, cost=cost))
    return found[True] or found[False]


def _fits(kernel: TiledKernel, chip: Chip) -> bool:
    """Whether tiles have their scratch in L1, and their operands there or in L2."""
    room, parts = chip.l1_room_bytes, smallest(kernel)[1]
    if not chip.l1_bytes:  # a host: operands and scratch lie where they are
        return True
    if parts.get(SCRATCH, 0) > MOST_SCRATCH * room:
        return False
    return sum(parts.values()) <= room or bool(with_operands_in_l2(kernel, room, chip.transfers))


def fastest_kernel(
    kernels: Sequence[tuple[TiledKernel, str]], room: int, cost: TransferCost, limits: Limits
) -> tuple[TiledKernel, str]:
    """The kernel of fewest cycles by itself among those that fit, and its distinct layer; a
    preferred kernel comes before all others."""
    if len(kernels) < 2:
        return kernels[0]
    found = [choose(kernel, room, cost, limits=limits) for kernel, _ in kernels]
    if not any(found):
        found = [with_operands_in_l2(slowed(kernel, cost), room, cost) for kernel, _ in kernels]
    cycles = [float("inf") if choice is None else choice.cycles for choice in found]
    estimates: dict[str, float] = {}
    for (kernel, _), estimate in zip(kernels, cycles, strict=True):
        estimates[kernel.engine] = min(estimate, estimates.get(kernel.engine, estimate))
    fitting = [i for i, estimate in enumerate(cycles) if math.isfinite(estimate)]
    preferred = [i for i in fitting if kernels[i][0].preferred]
    best = min(preferred or range(len(kernels)), key=cycles.__getitem__)
    return replace(kernels[best][0], estimates=estimates), kernels[best][1]


# --- layers without a tile in L1 -----------------------------------------------------------------


def least_bytes(kernel: TiledKernel) -> int:
    """Bytes of L1 that the smallest tile of a layer takes."""
    return sum(smallest(kernel)[1].values())


def tile_facts(kernel: TiledKernel, room: int) -> dict[str, str]:
    """The smallest tile of a layer, what there is, and the operand that takes most of it."""
    sizes, parts = smallest(kernel)
    largest = max(parts, key=lambda name: parts[name])
    tile = " ".join(f"{axis} {n}" for axis, n in sizes.items() if axis in kernel.split)
    return {
        "needs": f"{sum(parts.values()):,} B for the smallest tile ({tile or 'the whole'})",
        "has": f"{room:,} B",
        "largest": f"{largest}, {parts[largest]:,} B",
    }


def without_room(name: str, kernel: TiledKernel, room: int) -> MyoedgeError:
    """E304 where what does not fit L1 is not one run of bytes in L2 either."""
    facts, tries = tile_facts(kernel, room), ["smaller kernels, fewer channels"]
    return MyoedgeError("E304", f"{name} has no tile in L1, nor with operands in L2", facts, tries)


def too_small(name: str, kernel: TiledKernel, room: int) -> Notice:
    """Why a layer stays in L2; `name` is what people know it by."""
    reason = "does not fit L1 in any tile"
    if least_bytes(kernel) <= room:
        reason = f"needs more than {MOST_TILES:,} tiles to fit L1"
    return notice(
        "W301",
        f"{name} {reason}: it is computed in L2, slowly",
        tile_facts(kernel, room),
        ["fewer channels or smaller kernels in this layer"],
    )
