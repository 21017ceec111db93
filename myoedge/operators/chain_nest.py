# SPDX-License-Identifier: Apache-2.0
"""The joint description of a chain of layers, in the place of an operator's integer constants, and
its operands and tiles.

A chain that computes all iterations of a loop has sequences with a row for each. A tile of a
function that carries values along an axis has all of the axis, and a part of the other loops, whose
iterations the cores share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from myoedge.nest.c import c_kernel
from myoedge.nest.c_header import CKernel
from myoedge.nest.c_scan import scan_kernel
from myoedge.nest.flat import FlatNest, Iterations
from myoedge.nest.windows import IndexMap
from myoedge.numerics.arrays import ceil_div
from myoedge.operators.base import QuantizedNode, QuantizedParams
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
from myoedge.targets.chip import Engine
from myoedge.targets.costs import KernelCost


@dataclass(frozen=True, eq=False)
class ChainNest:
    """The description of a chain of layers.

    flat       its loops; its results are those of the step
    operands   operand of each read of the loops: its position in the step; None for a constant
    labels     id of a part -> the layer whose result it is
    made       cores -> its function in C, once it is known
    """

    flat: FlatNest
    operands: tuple[int | None, ...]
    labels: Mapping[int, str]
    made: dict[int, CKernel] = field(default_factory=dict, init=False, repr=False)

    def in_c(self, cores: int) -> CKernel:
        """Return its function in C for so many cores."""
        if cores not in self.made:
            is_scan, known = self.flat.scanned is not None, (self.flat, self.labels)
            self.made[cores] = scan_kernel(*known) if is_scan else c_kernel(*known, cores)
        return self.made[cores]


@dataclass(frozen=True, eq=False, kw_only=True)
class ChainParams(QuantizedParams):
    """The description of a chain, in place of an operator's integer constants.

    chain   joint description of the members, whose constants are literals
    """

    chain: ChainNest = field(metadata={"in_c": False})


def is_in_order(flat: FlatNest) -> bool:
    """Return whether one core computes results in the order of the loops, each from operands at
    known places."""
    taken = any(flat.taken_of(number) is not None for number in range(len(flat.reads)))
    return not (flat.late or flat.turns or flat.side_step or taken)


def with_late_results(step: QuantizedNode, numbers: Sequence[int]) -> QuantizedNode | None:
    """Return a chain that writes some of its results when all cores have read their operands; None
    for one with a scan, or with rows that are not dense.

    numbers   of these results
    """
    chain: ChainNest = step.integers.chain
    flat = chain.flat
    if flat.scanned is not None or flat.row is not None or flat.side_step:
        return None
    late = replace(chain, flat=replace(chain.flat, late=tuple(numbers)))
    return replace(step, integers=ChainParams(chain=late))


def with_turns(step: QuantizedNode, turns: Iterations) -> QuantizedNode:
    """Return a chain of a loop's body as one that computes all iterations."""
    chain: ChainNest = step.integers.chain
    whole = replace(chain, flat=replace(chain.flat, turns=turns))
    return replace(step, integers=ChainParams(chain=whole), turns=turns.count)


def operands_read_elsewhere(step: QuantizedNode) -> set[int]:
    """Return the operands of a chain, by position, of which an iteration reads other elements than
    that at the place of its result."""
    chain: ChainNest = step.integers.chain
    known = (chain.operands[number] for number in chain.flat.reads_elsewhere())
    return {at for at in known if at is not None}


TURN = "turn"  # axis of the iterations


def turn_axis(flat: FlatNest) -> dict[str, int]:
    """Return the axis of the iterations with its extent; none without them."""
    return {} if flat.turns is None else {TURN: flat.turns.count}


def sequences(
    flat: FlatNest, operands: Sequence[Operand], arrays: Sequence[str], results: Sequence[str]
) -> list[Operand]:
    """Return the operands and results of an iteration as those of all: a row of a sequence becomes
    the sequence.

    arrays, results   names of the arrays that it reads, and of its results
    """
    if flat.turns is None:
        return [*operands]
    rows = _names_of_rows(flat.turns, arrays, results)
    return [_arithmetic_sequence(x, flat.turns.count) if x.name in rows else x for x in operands]


def _names_of_rows(turns: Iterations, arrays: Sequence[str], results: Sequence[str]) -> set[str]:
    return {*(arrays[n] for n in turns.rows), *(results[n] for n in turns.row_results)}


def _arithmetic_sequence(row: Operand, count: int) -> Operand:
    first = (0, *row.first) if row.first else ()
    return replace(row, shape=(count, *row.shape), dims=(((TURN, 1),), *row.dims), first=first)


def of_one_iteration(
    regions: Mapping[str, Region], flat: FlatNest, arrays: Sequence[str], results: Sequence[str]
) -> dict[str, Region]:
    """Return the regions of a tile with rows in the place of sequences.

    arrays, results   their names
    """
    found = dict(regions)
    if flat.turns is None:
        return found
    for name in _names_of_rows(flat.turns, arrays, results) & found.keys():
        x = found[name]
        found[name] = Region(x.start[1:], x.extent[1:], x.before[1:], x.after[1:], x.within[1:])
    return found


CARRIED = "carried"  # the loop along which values are carried
CUT = 3  # number of outer loops that may be tiled
ROW_CYCLES = 60.0  # of a row's start: its place by divisions, and the first values
# Cycles of a tile, a layer's first tile and, in it, of code per operation.
TILE_CYCLES, LAYER_CYCLES, CODE_CYCLES = 220.0, 60.0, 7.6


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
    step: QuantizedNode, flat: FlatNest, text: CKernel, inputs: Sequence[Operand], engine: Engine
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
        tile=lambda regions: _chain_tile_fields(regions, flat, text),
        work=_make_cycles_estimate(flat, axes, text.cycles, engine),
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


def _chain_tile_fields(regions: Mapping[str, Region], flat: FlatNest, text: CKernel) -> Fields:
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


def _make_cycles_estimate(
    flat: FlatNest, axes: Mapping[str, int], each: float, engine: Engine
) -> Any:
    """Return the function from tile sizes to estimated cycles of the busiest core.

    each   cycles of an iteration
    """

    def cycles(sizes: Sizes) -> Any:
        rows = ceil_div(math.prod(sizes[name] for name in axes), engine.cores)
        return rows * (ROW_CYCLES + flat.loops[-1].extent * each)

    return cycles
