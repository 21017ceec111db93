# SPDX-License-Identifier: Apache-2.0
"""Tiling of operators that move data: loops over the results, each with an index into the
source."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.numerics.arrays import strides
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, AffineExpr, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.operators.library.copy_loops import Along
from myoedge.targets.chip import Engine

PARTS = 8  # ME_PARTS
LOOPS = 6  # ME_AXES
CUT = 3  # number of longest loops that may be tiled; more only slow down the search
UNIT = 32  # a long loop is tiled in multiples of this many bytes
MANY_ROWS = 16  # rows of a transpose from which on each core computes whole rows
NARROW, MANY = 16, 32  # ME_NARROW, ME_MANY: bytes per row, and rows, of copies by columns


def _loop_axes(
    sources: Sequence[Sequence[Along]], unit: int = 1
) -> tuple[dict[str, int], list[AffineExpr]]:
    """Return the loop axes with their extents, and the index expression of each loop; long
    contiguous loops are tiled in units.

    unit   number of innermost bytes that are never split
    """
    axes: dict[str, int] = {}
    dims: list[AffineExpr] = []
    for number, each in enumerate(zip(*sources, strict=True)):
        name, inside = f"i{number}", f"u{number}"
        extent = each[0].extent
        dense = number == len(sources[0]) - 1 or _innermost(sources[0], each[0])
        if dense and extent >= 2 * UNIT and all(_may_round_up(loop) for loop in each):
            axes |= {name: -(-extent // UNIT), inside: UNIT}
            dims.append(((name, UNIT), (inside, 1)))
        elif unit > 1 and number == len(sources[0]) - 1:
            axes |= {name: extent // unit, inside: unit}
            dims.append(((name, unit), (inside, 1)))
        else:
            axes[name] = extent
            dims.append(((name, 1),))
    return axes, dims


def _innermost(loops: Sequence[Along], loop: Along) -> bool:
    places = [x.place for x in loops if x.place is not None]
    return loop.place is not None and loop.place == max(places)


def _may_round_up(loop: Along) -> bool:
    """Return whether rounding the loop up to whole units is harmless: extra iterations read outside
    the source, or there are none."""
    beyond = loop.step > 0 and loop.first + loop.extent * loop.step >= loop.size
    return loop.place is None or beyond or loop.extent % UNIT == 0


def _longest_loop(loops: Sequence[Along], first: int) -> tuple[str, ...]:
    by_length = sorted(range(first, len(loops)), key=lambda d: (-loops[d].extent, d))
    return tuple(f"i{d}" for d in sorted(by_length[:CUT]))


def _source_operand(
    source: int, loops: Sequence[Along], dims: Sequence[AffineExpr], itemsize: int = 1
) -> Operand:
    """Return the operand of the source with number `source`, indexed by the loops."""
    order = _loops_in_source_order(loops)
    if not order:
        return Operand(f"x{source}", source, (1,), ((),), itemsize=itemsize)
    ordered = [loops[d] for d in order]
    index = tuple(tuple((axis, unit * loops[d].step) for axis, unit in dims[d]) for d in order)
    shape, first = tuple(x.size for x in ordered), tuple(x.first for x in ordered)
    return Operand(f"x{source}", source, shape, index, first, itemsize)


def _loops_in_source_order(loops: Sequence[Along]) -> list[int]:
    """Return the indices of the loops that move through the source, in its memory order."""
    return [d for _, d in sorted((x.place, d) for d, x in enumerate(loops) if x.place is not None)]


def pieces(
    step: QuantizedNode, engine: Engine, sources: Sequence[Sequence[Along]], fill: int | None = None
) -> TiledKernel:
    """Return the kernel that copies each source, read in memory order with step 1, to its place in
    the result.

    sources   loops of each source
    fill      value of elements that no source covers; None if there are none
    """
    loops, size = sources[0], step.element_type.size_bytes
    axes, dims = _loop_axes(sources, size if fill else 1)  # tiles begin with a whole element
    outer = 0 if fill is None else max(len(loops) - 2, 0)
    y = Operand("y", OUT, tuple(loop.extent for loop in loops), tuple(dims))
    split = _longest_loop(loops, outer)
    element = int(fill or 0).to_bytes(size, "little", signed=True)
    return TiledKernel(
        function="me_copy_s8",
        axes=axes,
        split=split,
        unit_axes=tuple(f"i{d}" for d in range(outer)),
        operands=(*(_source_operand(i, each, dims) for i, each in enumerate(sources)), y),
        op={
            "fills": int(fill is not None),
            "value": int.from_bytes(element * (4 // size), "little", signed=True),
        },
        tile=lambda regions: _pieces_tile(regions, sources),
        work=lambda sizes: _copy_work(y, sizes, sources, fill is not None, engine.cores),
    )


def _copy_work(
    y: Operand, sizes: Sizes, sources: Sequence[Sequence[Along]], fills: bool, cores: int
) -> Any:
    """Return the work units of the busiest core: bytes, plus costs per source, per separate row and
    per filled byte."""
    extents = y.extents(sizes)
    rows = math.prod(extents[:-1])
    total = 200 * (len(sources) + fills) + fills * 0.4 * rows * extents[-1] / cores
    for source in sources:
        inner = source[-1]
        apart = inner.size < inner.extent
        width = inner.size if apart else extents[-1]
        # Whether the source or the result is not word-aligned at its start
        dense = strides([x.size for x in source])
        odd = any(x.first * stride % 4 for x, stride in zip(source, dense, strict=True)) | (
            apart and inner.extent % 4 > 0
        )
        in_rows = rows * width / cores * (2.3 if odd else 1.0)
        in_rows = in_rows + (apart * (rows / cores + 1) * (65 + 24 * (width % 4 > 0)))
        in_columns = width * (rows / cores * 3.6 + 60)
        narrow = apart and inner.size <= NARROW
        total = total + (np.where(rows >= MANY, in_columns, in_rows) if narrow else in_rows)
    return total


def _permute_work(extents: Sequence[Any], loops: Sequence[Along], cores: int) -> Any:
    """Return the work units of a transpose on one core: contiguous rows or 4 x 4 blocks, plus start
    costs per row, block row and plane."""
    inner = len(loops) - 1
    if inner == 0:
        return -(-extents[0] // cores)
    column = _column_loop(loops)
    rows, groups = extents[inner], -(-extents[column] // 4)
    planes = math.prod(n for d, n in enumerate(extents) if d not in (inner, column))
    parts = np.where(planes * groups >= 2 * cores, 1, np.minimum(cores, -(-rows // 4)))
    share = -(-planes * groups * parts // cores)
    planes_begun = np.ceil(share / groups)
    starts, rows = planes_begun * inner, np.minimum(-(-rows // (4 * parts)) * 4, rows)
    if _has_unit_stride(loops, inner):
        few = starts * 40 + share * 4 * (0.26 * rows + 17)
        return np.where(math.prod(extents[:-1]) < MANY_ROWS, few, _rows_work(extents, cores))
    if _has_unit_stride(loops, column):
        return starts * 100 + share * (11.7 * (rows // 4) + 4 * (rows % 4) + 5)
    return starts * 100 + share * 4 * (rows + 15)


def _rows_work(extents: Sequence[Any], cores: int) -> Any:
    """Return the work units of the core with the most rows; each row costs a start, its words and
    its remaining bytes."""
    *around, width = extents
    rows, runs = math.prod(around), math.prod(around[:-1])
    whole = np.ceil(runs / cores) * around[-1]
    share = np.where(runs < MANY_ROWS, np.ceil(rows / cores), whole)
    return share * (7.5 + width // 4 * 1.25 + width % 4 * 2)


def _pieces_tile(regions: Mapping[str, Region], sources: Sequence[Sequence[Along]]) -> Fields:
    y = regions["y"]
    fields: dict[str, int | str] = {"y": "@y", "bytes": y.size, "parts": len(sources)}
    for number, loops in enumerate(sources):
        part = _copy_part_fields(f"x{number}", regions[f"x{number}"], y, loops)
        fields |= {f"part[{number}].{key}": value for key, value in part.items()}
    return fields


def _copy_part_fields(name: str, x: Region, y: Region, loops: Sequence[Along]) -> Fields:
    """Return the fields of me_copy_part for the tile's part of a source, which may be empty."""
    starts = zip(x.start, loops, y.start, strict=True)
    to = (at - loop.first - start for at, loop, start in starts)
    at = sum(n * stride for n, stride in zip(to, strides(y.extent), strict=True)) if x.size else 0
    *rows, size = x.extent if x.extent != y.extent else (x.size,)
    steps = {"from_step": size, "to_step": y.extent[-1] if rows else size}
    return {"from": f"@{name}", "to": f"@y+{at}", "rows": math.prod(rows), "bytes": size, **steps}


def turned(step: QuantizedNode, engine: Engine, loops: Sequence[Along]) -> TiledKernel:
    """Return the transposing kernel: results in memory order, sources with arbitrary strides; int16
    elements move as 2-byte units."""
    # Whether the innermost of several loops runs over the two bytes of int16 elements
    two = len(loops) > 1 and loops[-1].whole and loops[-1].extent == 2
    halves = step.element_type.size_bytes == 2 and two and _has_unit_stride(loops, len(loops) - 1)
    loops = loops[:-1] if halves else loops
    outer, size = max(len(loops) - LOOPS, 0), 1 + halves
    axes, dims = _loop_axes([loops])
    y = Operand("y", OUT, tuple(loop.extent for loop in loops), tuple(dims), itemsize=size)
    work = _halves_work if halves else _permute_work
    return TiledKernel(
        function="me_transpose_s16" if halves else "me_transpose_s8",
        axes=axes,
        split=_longest_loop(loops, outer),
        unit_axes=tuple(f"i{d}" for d in range(outer)),
        operands=(_source_operand(0, loops, dims, size), y),
        op={"unused": 0},
        tile=lambda regions: _transpose_tile_fields(regions, loops, size),
        work=lambda sizes: work(y.extents(sizes), loops, engine.cores),
    )


def _halves_work(extents: Sequence[Any], loops: Sequence[Along], cores: int) -> Any:
    """Return the work units of the busiest core: elements, plus a constant per run of a loop."""
    total = math.prod(extents)
    share, longest = -(-total // cores), functools.reduce(np.maximum, extents)
    return share + 30 * (1 + share // longest)


def _column_loop(loops: Sequence[Along]) -> int:
    """Return the index of the loop over a plane's columns, chosen like column_loop in
    me_transpose_s8.c."""
    inner = len(loops) - 1
    if not _has_unit_stride(loops, inner):
        for d in range(inner - 1, -1, -1):
            if _has_unit_stride(loops, d) and loops[d].extent >= 4:
                return d
    return inner - 1


def _has_unit_stride(loops: Sequence[Along], d: int) -> bool:
    return _innermost(loops, loops[d]) and loops[d].step == 1


def _transpose_tile_fields(
    regions: Mapping[str, Region], loops: Sequence[Along], size: int
) -> Fields:
    x, y = regions["x0"], regions["y"]
    order, dense = _loops_in_source_order(loops), strides(x.extent)
    at, steps = 0, [0] * len(loops)
    for place, d in enumerate(order):
        loop = loops[d]
        at += (loop.first + y.start[d] * loop.step - x.start[place]) * dense[place]
        steps[d] = loop.step * dense[place]
    extents = y.extent[-LOOPS:]
    fields: dict[str, int | str] = {"from": f"@x0+{at * size}", "to": "@y", "loops": len(extents)}
    fields |= {f"extent[{d}]": n for d, n in enumerate(extents)}
    return fields | {f"step[{d}]": n for d, n in enumerate(steps[-LOOPS:])}
