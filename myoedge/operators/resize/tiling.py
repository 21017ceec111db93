# SPDX-License-Identifier: Apache-2.0
"""Tiling of resizing by blocks of results, each with the input elements that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.numerics.arrays import outer_inner
from myoedge.operators.base import QuantizedNode
from myoedge.operators.elementwise.tiling import UNIT
from myoedge.operators.kernel import OUT, AffineExpr, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.operators.products.packing import limit_fields, table_operand
from myoedge.targets.chip import Engine

BLOCK = 32  # tiles divide the results in multiples of it
LINE = 3.0  # overhead of a line, in results
TAP = 1.6  # work per neighbour after the second, in results


@dataclass(frozen=True, slots=True)
class ResizeLoops:
    """Loops of a resize over x and y [outer, n, inner]: blocks of results, and lines of adjacent
    elements.

    axes      extent of every loop
    split     loops that may be tiled
    x, y      operands
    results   index expression of the results
    """

    axes: Mapping[str, int]
    split: tuple[str, ...]
    x: Operand
    y: Operand
    results: AffineExpr

    @staticmethod
    def of(step: QuantizedNode, starts: Sequence[int], taps: int) -> ResizeLoops:
        outer, n, inner = outer_inner(step.shapes[0], step.attrs["axis"])
        total = len(starts)
        block = total if total < 2 * BLOCK else BLOCK
        low = np.array([min(starts[at : at + block]) for at in range(0, total, block)])
        high = np.array([max(starts[at : at + block]) for at in range(0, total, block)]) + taps
        stride = round((int(low[-1]) - int(low[0])) / max(len(low) - 1, 1))
        at = np.arange(len(low)) * stride
        first = int((low - at).min())
        axes = {"o": outer, "b": len(low), "u": block, "r": int((high - at).max()) - first}
        results, lines = (("b", block), ("u", 1)), _lines(axes, inner)
        images, read = (("o", 1),), (("b", stride), ("r", 1))
        x = Operand("x", 0, (outer, n, inner), (images, read, lines), (0, first, 0))
        y = Operand("y", OUT, (outer, total, inner), (images, results, lines))
        return ResizeLoops(axes, ("o", "b", "i"), x, y, results)

    def lines(self, sizes: Sizes, cores: int) -> tuple[Any, Any]:
        """Return the number of result lines on the busiest core, and the elements per line."""
        outer, results, inner = self.y.extents(sizes)
        along = np.where(inner == 1, outer, inner)
        return np.ceil(outer * results * inner / along / cores), along


def _lines(axes: dict[str, int], inner: int) -> AffineExpr:
    """Return the index expression of the elements after the resized axis; a long run is tiled in
    blocks of UNIT."""
    if inner < 2 * UNIT:
        axes["i"] = inner
        return (("i", 1),)
    axes |= {"i": -(-inner // UNIT), "v": UNIT}
    return (("i", UNIT), ("v", 1))


def resize_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    mult = step.integers.mult
    rows = np.column_stack([step.attrs["starts"], step.integers.offset, mult]).astype(np.int32)
    loops = ResizeLoops.of(step, step.attrs["starts"], mult.shape[1])

    def work(sizes: Sizes) -> Any:
        """Return the work units of the busiest core: results, plus a constant per row."""
        lines, length = loops.lines(sizes, engine.cores)
        return lines * (LINE + length * (1 + TAP * max(mult.shape[1] - 2, 0)))

    packed = Operand("rows", "rows", rows.shape, (loops.results, ()), itemsize=4, array=rows)
    return TiledKernel(
        function="me_resize_s8",
        axes=loops.axes,
        split=loops.split,
        operands=(loops.x, packed, *table_operand(step), loops.y),
        op={"taps": mult.shape[1], "shift": step.integers.shift, **limit_fields(step)},
        tile=_tile_fields,
        work=work,
    )


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    x, y = regions["x"], regions["y"]
    outer, results, inner = y.extent
    sizes = {"outer": outer, "n": x.extent[1], "results": results, "inner": inner}
    return {"x": "@x", "rows": "@rows", "y": "@y", **sizes, "first": x.start[1]}
