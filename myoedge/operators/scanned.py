# SPDX-License-Identifier: Apache-2.0
"""Tiles of generated functions that carry values along an axis: a tile has all of the axis, and a
part of the other loops, whose iterations the cores share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from myoedge.nest.c_header import CKernel
from myoedge.nest.flat import FlatNest
from myoedge.nest.windows import IndexMap
from myoedge.numerics.arrays import ceil_div
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import (
    AffineExpr,
    Fields,
    Operand,
    Region,
    Sizes,
    TiledKernel,
    Written,
)
from myoedge.operators.library.pointwise import axes_of
from myoedge.targets.chip import Engine, KernelCost

CARRIED = "carried"  # the loop along which values are carried
CUT = 3  # number of outer loops that may be tiled
ROW_CYCLES = 60.0  # of a row's start: its place by divisions, and the first values
# Cycles of a tile, a layer's first tile and, in it, of code per operation.
TILE_CYCLES, LAYER_CYCLES, CODE_CYCLES = 220.0, 60.0, 6.0


def generated_cost(operations: int) -> KernelCost:
    """Return the cost of a generated function, whose work is in cycles.

    operations   operations of its text
    """
    return KernelCost(1.0, TILE_CYCLES, LAYER_CYCLES + CODE_CYCLES * operations)


def scan_axes(flat: FlatNest) -> tuple[dict[str, int], list[AffineExpr]]:
    """Return the extents of the loops that may be tiled, and the index along each loop; a tile has
    all of the last one, which need not be all of an array's dimension."""
    axes, dims = axes_of(flat.loops[:-1])
    return axes, [*dims, ((CARRIED, 1),)]


def scan_in_tiles(
    step: QuantizedNode,
    flat: FlatNest,
    text: CKernel,
    inputs: Sequence[Operand],
    engine: Engine,
) -> TiledKernel:
    """Return the tiled kernel of layers that carry values along an axis.

    inputs   arrays that the function reads
    """
    axes, dims = scan_axes(flat)
    tables = [Operand.whole(name, array.known) for name, array in text.tables.items()]
    return TiledKernel(
        function=text.name,
        axes=axes | {CARRIED: flat.loops[-1].extent},
        split=tuple(name for name in axes if name.startswith("i"))[:CUT],
        operands=(*inputs, *tables, *result_operands(step, text, flat, dims)),
        op={name: f"@{name}" for name in text.tables} or {"unused": 0},
        tile=lambda regions: _tile(regions, flat, text),
        work=_cycles(flat, axes, text.cycles, engine),
        sources=text.files,
        cost=generated_cost(text.code),
    )


def result_operands(
    step: QuantizedNode, text: CKernel, flat: FlatNest, dims: Sequence[AffineExpr]
) -> list[Operand]:
    """Return the results, whose dimensions are the loops in memory order.

    dims   index along each loop
    """
    order = flat.result_loops
    shape = tuple(flat.result_extents[at] for at in order) or (1,)
    index = tuple(dims[at] for at in order) or ((),)
    return [
        Operand(name, Written(n), shape, index, itemsize=node.element_type.size_bytes)
        for n, (name, node) in enumerate(zip(text.results, step.results, strict=True))
    ]


def _tile(regions: Mapping[str, Region], flat: FlatNest, text: CKernel) -> Fields:
    """Return the pointers of a tile, the extents of its loops, and the steps of its arrays."""
    fields: dict[str, int | str] = {name: f"@{name}" for name in (*text.pointers, *text.results)}
    maps = [*map(flat.index_map, range(len(text.pointers)))]
    result = IndexMap((), (), tuple(((at, 1),) for at in flat.result_loops))
    for (name, wanted), own in zip(text.steps.items(), (*maps, result), strict=True):
        for n, at in enumerate(wanted):
            fields[f"{name}_step[{n}]"] = own.step(at, regions[name].in_memory) if own else 0
    extents = loop_extents(flat, regions["y"].extent)
    return fields | {f"extent[{d}]": extent for d, extent in enumerate(extents)}


def loop_extents(flat: FlatNest, result: Sequence[Any]) -> list[Any]:
    """Return the iterations of each loop for a part of the result.

    result   elements of the part along each of its dimensions
    """
    extents: list[Any] = [1] * (len(flat.loops) - 1) + [flat.loops[-1].extent]
    for at, n in zip(flat.result_loops, result, strict=False):
        extents[at : at + 1] = [n]
    return extents[: len(flat.loops)]


def _cycles(flat: FlatNest, axes: Mapping[str, int], each: float, engine: Engine) -> Any:
    """Return the function from tile sizes to estimated cycles of the busiest core.

    each   cycles of an iteration
    """

    def cycles(sizes: Sizes) -> Any:
        rows = ceil_div(math.prod(sizes[name] for name in axes), engine.cores)
        return rows * (ROW_CYCLES + flat.loops[-1].extent * each)

    return cycles
