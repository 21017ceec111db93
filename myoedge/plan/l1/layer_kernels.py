# SPDX-License-Identifier: Apache-2.0
"""The kernels that can run each layer on the engines of a chip."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

from myoedge.errors import MyoedgeError
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.engine_choice import CORES
from myoedge.operators.kernel import FREE, SCRATCH, Kernel, TiledKernel
from myoedge.operators.library.packed_weights import with_packed_weights
from myoedge.operators.queries import kernels_of
from myoedge.plan.cost.timing import code_of, modelled
from myoedge.plan.l1.content_key import content_key
from myoedge.plan.l1.l2_operands import slowed, with_operands_in_l2
from myoedge.plan.l1.tile_choice import NO_RANKS, TileRanks, layer_signature
from myoedge.plan.l1.tile_grid import Grid
from myoedge.plan.l1.tile_search import (
    NO_LIMITS,
    Limits,
    TileChoice,
    bytes_over_limit,
    choose,
    smallest,
)
from myoedge.plan.l1.tiling import unplaced
from myoedge.targets.chip import Chip, Engine
from myoedge.targets.costs import (
    NO_BYTE_COST,
    ByteCost,
    KernelCost,
    KernelEstimate,
    TransferCost,
)

MOST_SCRATCH = 0.9  # fraction of L1: with more scratch, operands have no space
SMALLEST_TILE = 0.5  # fraction of L1: kernels with a larger smallest tile have many small tiles


@dataclass(frozen=True, eq=False, slots=True)
class NetworkKernels:
    """Candidate kernels of all layers of a network, with cached results about their tiles.

    kernels   per layer, its (kernel, layer signature) pairs
    has_l1    whether the chip has an L1 memory
    in_order  whether one core computes each layer, on operands in L2
    cost      cost of DMA transfers
    ranks     layer signature -> rank of the tiling to use, by estimated cycles; 0: the fastest
    known     cache of estimates, as for fastest_kernel
    chosen, alone, grids   caches as in TileSearch, shared by all plans of the network
    byte_cost   layer -> cycles per byte of its constants, which L2 cannot all hold
    """

    kernels: Sequence[Sequence[tuple[TiledKernel, str]]]
    has_l1: bool
    cost: TransferCost
    ranks: TileRanks = field(default_factory=dict)
    known: dict[Hashable, list[KernelEstimate]] = field(default_factory=dict)
    chosen: dict[Hashable, TileChoice | None] = field(default_factory=dict)
    alone: dict[Hashable, float] = field(default_factory=dict)
    grids: dict[str | None, Grid] = field(default_factory=dict)
    byte_cost: Mapping[int, ByteCost] = field(default_factory=dict)
    in_order: bool = False

    @staticmethod
    def of(
        steps: Sequence[QuantizedNode],
        chip: Chip,
        ranks: TileRanks = NO_RANKS,
        *,
        tables_in_l3: bool = False,
    ) -> NetworkKernels:
        """Collect the candidate kernels of a network's layers.

        ranks   layer signature -> rank of the tiling to use, by estimated cycles; 0: the fastest
        tables_in_l3   as in `candidates`
        """
        known = (candidates(step, chip, tables_in_l3=tables_in_l3) for step in steps)
        kernels = [[(kernel, layer_signature(kernel)) for kernel in each] for each in known]
        in_order = chip.computes_in_order
        return NetworkKernels(kernels, chip.l1_bytes > 0, chip.transfers, ranks, in_order=in_order)


def _tile(kernel: Kernel, step: QuantizedNode, engine: Engine, tables_in_l3: bool) -> TiledKernel:
    """Return the tiled kernel of a layer, made once: a search and a build plan it several times."""
    key = ("tiled", id(kernel), id(engine), tables_in_l3)
    if key not in step.derived:  # both are kept, so that no other object has their id
        tiled = replace(kernel.tiling(step, engine), preferred=engine.name == step.engine.name)
        tiled = tiled.from_l3 or tiled if tables_in_l3 else tiled
        tiled = with_packed_weights(step, tiled, engine)
        tiled = replace(tiled, engine=engine.name, cost=_kernel_cost(tiled, engine))
        step.derived[key] = tiled, kernel, engine
    return cast(TiledKernel, step.derived[key][0])


def candidates(step: QuantizedNode, chip: Chip, *, tables_in_l3: bool = False) -> list[TiledKernel]:
    """Return the kernels that can run a layer on the engines that its engine choice allows.

    tables_in_l3   whether tables that are read row by row are in L3

    Low-scratch fallbacks are included only if the cores' other kernels hardly fit in L1; those
    kernels are left out if their scratch leaves no L1 for operands. Errors: E257 a kernel without a
    cost.
    """
    usual: list[TiledKernel] = []
    fallbacks: list[TiledKernel] = []
    accelerated: list[TiledKernel] = []
    for kernel, engine in _candidate_kernels(step, chip):
        if not kernel.fallback or not any(_fits_l1(known, chip) for known in usual):
            kind = fallbacks if kernel.fallback else usual
            kind = accelerated if engine.accelerator else kind
            kind.append(_tile(kernel, step, engine, tables_in_l3))
    if fallbacks:
        usual = [known for known in usual if _fits_l2(known, chip)]
    return [*usual, *fallbacks, *accelerated]


def _candidate_kernels(step: QuantizedNode, chip: Chip) -> Iterator[tuple[Kernel, Engine]]:
    """Yield the kernels that can run a layer, with their engines, fallbacks last."""
    allowed = chip.cores_alone() if step.engine.name == CORES else chip
    engines = {engine.name: engine for engine in allowed.engines}
    for kernel in sorted(kernels_of(step), key=lambda kernel: kernel.fallback):
        if kernel.engine in engines and kernel.runs(step):
            yield kernel, engines[kernel.engine]


def _kernel_cost(kernel: TiledKernel, engine: Engine) -> KernelCost:
    """Return the cost that the kernel's tiling states, otherwise its row in the engine's table.

    Errors: E257 if there is neither.
    """
    if kernel.cost is not FREE or not engine.kernels:
        return kernel.cost
    if kernel.function not in engine.kernels:
        title = f"the plug-in that has {kernel.function} cannot be used"
        facts = {"needs": "the cycles of its kernel on the cores", "has": "a TiledKernel without"}
        tries = ["cost=KernelCost(10, 300, 400) in it: of a unit, of a tile, of a layer"]
        raise MyoedgeError("E257", title, facts, tries)
    return engine.kernels[kernel.function]


def _fits_l1(kernel: TiledKernel, chip: Chip) -> bool:
    """Return whether a kernel's smallest tile takes at most a fraction SMALLEST_TILE of L1; always
    true without L1."""
    parts = smallest(kernel)[1]
    return sum(parts.values()) <= SMALLEST_TILE * chip.l1_room_bytes or not chip.l1_bytes


def _fits_l2(kernel: TiledKernel, chip: Chip) -> bool:
    """Return whether a kernel's scratch fits in L1, with operands in L1 or L2."""
    return smallest(kernel)[1].get(SCRATCH, 0) <= MOST_SCRATCH * chip.l1_room_bytes and bool(
        with_operands_in_l2(kernel, chip.l1_room_bytes, chip.transfers)
    )


def fastest_kernel(
    kernels: Sequence[tuple[TiledKernel, str]],
    room: int,
    cost: TransferCost,
    limits: Limits,
    known: dict[Hashable, list[KernelEstimate]],
    byte_cost: ByteCost = NO_BYTE_COST,
) -> tuple[TiledKernel, str]:
    """Return the (kernel, layer signature) with the fewest estimated cycles among those that fit in
    L1, with those that the L2 of its constants costs others; a kernel marked as preferred comes
    first.

    kernels   (kernel, layer signature) pairs of the layer
    room      bytes of L1
    limits    constraints by L2
    known     cache of estimates, by signature and room
    byte_cost   cycles per byte of constants
    """
    if len(kernels) < 2:
        return kernels[0]
    key = (*(layer for _, layer in kernels), room, limits, byte_cost.loaded)
    if key not in known:
        known[key] = _estimates([k for k, _ in kernels], room, cost, limits, byte_cost.loaded)
    costs = [x.cycles + byte_cost.held * x.constant_bytes for x in known[key]]
    ranked = sorted(range(len(kernels)), key=costs.__getitem__)
    estimates = {kernels[i][0].engine: known[key][i] for i in reversed(ranked)}
    is_other = [math.isinf(n) or not k.preferred for n, (k, _) in zip(costs, kernels, strict=True)]
    best = min(ranked, key=is_other.__getitem__)
    return replace(kernels[best][0], estimates=estimates), kernels[best][1]


def _has_operands(kernel: TiledKernel, names: frozenset[str]) -> bool:
    return names <= {operand.name for operand in kernel.operands}


def _fastest_tilings(
    kernels: Sequence[TiledKernel], room: int, cost: TransferCost, limits: Limits
) -> list[TileChoice | None]:
    """Return the fastest tiling of each kernel for a single layer; None for a kernel without a
    feasible tile, or without the operands that are in L3."""
    found = [
        choose(kernel, room, cost, limits=limits) if _has_operands(kernel, limits.in_l3) else None
        for kernel in kernels
    ]
    if not any(found) and not limits.in_l3:  # without limits, constants are in L2 as a whole
        found = [choose(kernel, room, cost) for kernel in kernels]
    if limits == NO_LIMITS or not any(found):
        found = [
            choice or with_operands_in_l2(slowed(kernel, cost), room, cost)
            for choice, kernel in zip(found, kernels, strict=True)
        ]
    return found


def _estimates(
    kernels: Sequence[TiledKernel],
    room: int,
    cost: TransferCost,
    limits: Limits,
    loading: float = 0.0,
) -> list[KernelEstimate]:
    """Return the estimate of each kernel: infinite cycles without a feasible tile.

    loading   cycles per byte of loading constants into L2 while the layer computes
    """
    found = _fastest_tilings(kernels, room, cost, limits)
    functions = Counter(map(code_of, kernels))
    # Estimate a layer's cycles by transfer, which distinguishes kernels of one C function
    computed = (
        _cycles_alone(kernel, choice, cost)
        if choice and functions[code_of(kernel)] > 1 and not choice.in_l2
        else cycles_with_code(kernel, choice)
        for kernel, choice in zip(kernels, found, strict=True)
    )
    sizes = [sum(array.nbytes for array in kernel.arrays.values()) for kernel in kernels]
    over = [
        bytes_over_limit(kernel, choice, limits) if choice else 0
        for kernel, choice in zip(kernels, found, strict=True)
    ]
    return [
        KernelEstimate(max(cycles, loading * size), size + more)
        for cycles, size, more in zip(computed, sizes, over, strict=True)
    ]


def _cycles_alone(kernel: TiledKernel, choice: TileChoice, cost: TransferCost) -> float:
    """Return the cycles of a layer by transfer; plans with other limits have the same tiles."""
    key = ("alone", *choice.sizes.items(), choice.order, choice.depth, cost)
    if key not in kernel.derived:
        kernel.derived[key] = modelled([unplaced(kernel, choice, ())], cost)[0]
    return float(kernel.derived[key])


def cycles_with_code(kernel: TiledKernel, choice: TileChoice | None) -> float:
    """Return the estimated cycles of a layer, including the loading of its code after another
    kernel.

    choice   tiling of the layer; None: infinity is returned
    """
    return math.inf if choice is None else choice.cycles + kernel.cost.layer_cycles


def accelerator_gain(chip: Chip) -> Callable[[QuantizedNode], float]:
    """Return a function layer -> estimated cycles that an accelerator saves over the cores.

    It is infinity if only the accelerator has a tiling in L1, and minus infinity if it has none.
    """
    names = {*chip.accelerators}

    def cycles(kernels: Sequence[TiledKernel], *, accelerated: bool) -> float:
        there = [kernel for kernel in kernels if (kernel.engine in names) == accelerated]
        return _smallest_kernels(there, chip)

    def gain(kernels: Sequence[TiledKernel]) -> float:
        there = cycles(kernels, accelerated=True)
        return -math.inf if math.isinf(there) else cycles(kernels, accelerated=False) - there

    return _cache_by_layer(chip, gain)


def fewest_cycles(chip: Chip) -> Callable[[QuantizedNode], float]:
    """Return a function layer -> estimated cycles of its fastest kernel in L1, or infinity."""
    return _cache_by_layer(chip, lambda kernels: _smallest_kernels(kernels, chip))


def _smallest_kernels(kernels: Sequence[TiledKernel], chip: Chip) -> float:
    found = (choose(kernel, chip.l1_room_bytes, chip.transfers) for kernel in kernels)
    return min(map(cycles_with_code, kernels, found), default=math.inf)


def layer_cycles(chip: Chip) -> Callable[..., float]:
    """Return a function (layer, times=1, byte_cost=0.0) -> estimated cycles of a run on its fastest
    engine: 0 for a view, infinity if no tiling fits.

    times       times that a run computes the layer
    byte_cost   cycles per byte of its constants for loading these into L2 while the layer computes
    """

    def each(kernels: Sequence[TiledKernel]) -> list[KernelEstimate]:
        return _estimates(kernels, chip.l1_room_bytes, chip.transfers, NO_LIMITS)

    known = _cache_by_layer(chip, each)

    def cycles(step: QuantizedNode, times: int = 1, byte_cost: float = 0.0) -> float:
        if OPS[step.node.op].view:
            return 0.0
        costs = (max(times * computed, byte_cost * size) for computed, size in known(step))
        return min(costs, default=math.inf)

    return cycles


Figure = TypeVar("Figure")


def _cache_by_layer(
    chip: Chip, figure: Callable[[Sequence[TiledKernel]], Figure]
) -> Callable[[QuantizedNode], Figure]:
    """Return a function layer -> `figure` of its kernels, cached for equal layers and kernels."""
    by_content: dict[Hashable, Figure] = {}
    by_kernels: dict[Hashable, Figure] = {}

    def of_layer(step: QuantizedNode) -> Figure:
        content = content_key(step)
        if content not in by_content:
            kernels = candidates(step, chip)
            key = tuple(map(layer_signature, kernels))
            if key not in by_kernels:
                by_kernels[key] = figure(kernels)
            by_content[content] = by_kernels[key]
        return by_content[content]

    return of_layer


# --- layers without a tile in L1 -----------------------------------------------------------------


def least_bytes(kernel: TiledKernel) -> int:
    """Return the bytes of L1 that the smallest tile of a layer takes."""
    return sum(smallest(kernel)[1].values())
