# SPDX-License-Identifier: Apache-2.0
"""Tiling of pointwise operators: as few loops as possible over strided operands, tiled along the
innermost one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.nest.flat import Loop, collapse_loops
from myoedge.numerics.arrays import Array, outer_inner, strides
from myoedge.numerics.element_type import INT8
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import (
    OUT,
    AffineExpr,
    Fields,
    Operand,
    Region,
    Sizes,
    TiledKernel,
    reach,
)
from myoedge.operators.kernel_formats import is_large
from myoedge.operators.library.packing import limit_fields, table_operand
from myoedge.operators.result_order import ResultOrder
from myoedge.targets.chip import Engine

UNIT = 32  # a long loop is tiled in multiples of this many elements: whole words for every core
LOOPS = 6  # ME_LOOPS
CUT = 3  # number of outer loops that may be tiled; more only slow down the search
SHORT_ROW, WORD_ROW, MANY_ROWS = 32, 128, 32  # limits of me_broadcast.c
TURN, BLOCK = 0.1, 9.0  # overhead per row of words or four elements, and per block, in words
LIMITED_WORDS = {"me_add_s8": 0.08, "me_mul_s8": 0.19}  # added per word with limits or a pre-shift
SUM_WORDS = {8: 0.83, 24: 1.0, 32: 1.15}  # work per word of me_add_s8, by its field `bits`
AS_MACS = 18  # multiply-accumulates that take as long as one int16 sum


def broadcast_steps(shape: Shape, out: Shape, unit: int = 1) -> tuple[int, ...]:
    """Return an operand's element step along each axis of `out`; 0 for an axis that is broadcast.

    shape   the operand's shape
    unit    factor of all steps, such as the bytes of an element
    """
    lead = len(out) - len(shape)
    own = [0 if n == 1 else s * unit for n, s in zip(shape, strides(shape), strict=True)]
    return (0,) * lead + tuple(own)


def axes_of(loops: Sequence[Loop], lanes: int = 1) -> tuple[dict[str, int], list[AffineExpr]]:
    """Return the extent of every loop by name, and the index expression along each loop.

    A long innermost loop is split in two, so that it is tiled in multiples of UNIT elements; a
    short one in multiples of words, if it has whole ones.

    lanes   elements of a word
    """
    axes: dict[str, int] = {}
    dims: list[AffineExpr] = []
    for number, loop in enumerate(loops):
        name, inside = f"i{number}", f"u{number}"
        unit = UNIT if loop.extent >= 2 * UNIT else lanes
        if number == len(loops) - 1 and unit > 1 and (unit == UNIT or loop.extent % unit == 0):
            axes |= {name: -(-loop.extent // unit), inside: unit}
            dims.append(((name, unit), (inside, 1)))
        else:
            axes[name] = loop.extent
            dims.append(((name, 1),))
    return axes, dims


def order_of(axes: Mapping[str, int]) -> ResultOrder:
    """Return the order in which one core computes the loops of `axes_of`: row by row, of long rows
    UNIT elements at a time, of which an iteration of the C computes several."""
    loops = tuple(name for name in axes if name.startswith("i"))
    return ResultOrder(loops if axes.get(f"u{len(loops) - 1}") == UNIT else loops[:-1])


def pair(step: QuantizedNode, engine: Engine, kernel: str, numbers: Sequence[str]) -> TiledKernel:
    """Return the tiled kernel of an int8 function of two broadcast operands.

    kernel    C function
    numbers   names of the integer constants that the C function takes in its op struct
    """
    loops = collapse_loops(step.out, [broadcast_steps(x, step.out) for x in step.shapes])
    outer = max(len(loops) - LOOPS, 0)
    axes, dims = axes_of(loops)
    table = table_operand(step)
    y = Operand("y", OUT, tuple(loop.extent for loop in loops), tuple(dims))
    inputs = _loop_operand("a", 0, loops, dims), _loop_operand("b", 1, loops, dims)
    op: dict[str, int | str] = step.integers.named(numbers)
    if kernel == "me_add_s8":
        op["bits"] = _multiplier_sum_bits(op)
    word = _work_per_word_with_limits(step, kernel, op, len(loops)) + 0.4 * bool(table)
    around = 4.0 if kernel == "me_mul_s8" else 1.7
    return TiledKernel(
        function=kernel,
        axes=axes,
        split=tuple(name for name in axes if name.startswith("i"))[outer : outer + CUT],
        unit_axes=tuple(f"i{d}" for d in range(outer)),
        operands=(*inputs, *table, y),
        op={**op, **limit_fields(step), "scale.pre": getattr(step.integers, "pre", 0)},
        tile=lambda regions: _pair_tile(regions, loops),
        work=lambda sizes: row_work(y, sizes, engine.cores, around, word),
        order=order_of(axes) if len(loops) == 1 else None,
    )


def _work_per_word_with_limits(
    step: QuantizedNode, kernel: str, op: Mapping[str, Any], loops: int
) -> float:
    """Return the work units per word of results, with limits; of numbers that are data, the
    most."""
    limited = LIMITED_WORDS.get(kernel, 0.0)
    if step.as_data:
        return SUM_WORDS[32] + limited
    words = 0.71 if _has_small_multipliers(op) else 1.0  # a faster code path
    if "bits" in op:
        words = SUM_WORDS[op["bits"]]
    return words + (0.0 if loops == 1 and is_unlimited(step) else limited)


def _multiplier_sum_bits(op: Mapping[str, Any]) -> int:
    """Return `bits` of me_add_s8_params: 8 for 8-bit multipliers, 24 if every sum fits 24 bits,
    otherwise 32."""
    if _has_small_multipliers(op):
        return 8
    return 24 if 128 * (abs(op["a_mult"]) + abs(op["b_mult"])) + abs(op["offset"]) < 2**23 else 32


def _has_small_multipliers(op: Mapping[str, Any]) -> bool:
    return "a_mult" in op and all(-128 <= op[name] <= 127 for name in ("a_mult", "b_mult"))


def is_unlimited(step: QuantizedNode) -> bool:
    """Return whether results use the whole int8 range without a fused clamp, and no pre-shift."""
    whole = (step.low, step.high) == (INT8.low, INT8.high)
    return whole and not getattr(step.integers, "pre", 0)


def row_work(y: Operand, sizes: Sizes, cores: int, around: float, word: float = 1.0) -> Any:
    """Return the work of the busiest core, in words of four elements.

    y        the result, whose rows are shared among the cores
    around   overhead of a row or single element, in words
    word     work of one word
    """
    each = y.extents(sizes)
    total = math.prod(each)
    share = np.minimum(-(-total // (4 * cores)) * 4, total)
    inner, rows = np.minimum(each[-1], share), np.maximum(share / each[-1], 1)
    apart = rows * (inner // 4 * word + inner % 4 * 0.4 + around)
    blocks = rows / np.minimum(each[-2], rows) if len(each) > 1 else 1
    together = rows * (inner / 4 * (word + 0.03) + TURN) + BLOCK * blocks
    in_words = rows * (inner / 4 * word + TURN * (inner > 4)) + BLOCK
    many = (each[-1] <= SHORT_ROW) & (total >= MANY_ROWS * each[-1])
    even = (len(each) > 1) & (each[-1] % 4 == 0) & (each[-1] <= WORD_ROW)
    return np.where(even, in_words, np.where(many, together, apart))


def _loop_operand(
    name: str, number: int, loops: Sequence[Loop], dims: Sequence[AffineExpr]
) -> Operand:
    """Return an operand with one dimension per loop along which its index changes."""
    moves = [d for d, loop in enumerate(loops) if loop.steps[number]]
    shape = tuple(loops[d].extent for d in moves) or (1,)
    return Operand(name, number, shape, tuple(dims[d] for d in moves) or ((),))


def _pair_tile(regions: Mapping[str, Region], loops: Sequence[Loop]) -> Fields:
    extents = regions["y"].extent[-LOOPS:]
    fields: dict[str, int | str] = {"a": "@a", "b": "@b", "y": "@y", "loops": len(extents)}
    steps = [
        _strides_of_loops(regions[name], number, loops)[-LOOPS:] for number, name in enumerate("ab")
    ]
    for d, extent in enumerate(extents):
        fields |= {f"extent[{d}]": extent, f"a_step[{d}]": steps[0][d], f"b_step[{d}]": steps[1][d]}
    return fields


def _strides_of_loops(region: Region, number: int, loops: Sequence[Loop]) -> list[int]:
    """Return, per loop, the elements from one iteration to the next, for an operand whose region is
    contiguous."""
    dense = iter(strides(region.extent))
    return [next(dense) if loop.steps[number] else 0 for loop in loops]


def wide_sum(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of an int16 sum of two operands."""
    numbers = ("a_mult", "b_mult", "offset", "shift")
    op = {**step.integers.named(numbers), "low": step.low, "high": step.high}
    return replace(wide_pair(step, engine, "me_add_s16", op), nine_cores=engine.control_core)


def wide_pair(step: QuantizedNode, engine: Engine, function: str, op: Fields) -> TiledKernel:
    """Return the tiled kernel of a function of two operands, each int8 or int16, over rows of any
    stride.

    function   C function
    op         fields of its op struct
    """
    loops = collapse_loops(step.out, [broadcast_steps(x, step.out) for x in step.shapes])
    axes, dims = axes_of(loops)
    extents, last = tuple(loop.extent for loop in loops), len(loops) - 1
    y = Operand("y", OUT, extents, tuple(dims), itemsize=step.element_type.size_bytes)

    def work(sizes: Sizes) -> Any:
        """Return the work of one core: its elements and rows."""
        elements = -(-math.prod(y.extents(sizes)) // engine.cores)
        return elements + 6 * elements / extents[-1]

    reads = tuple(
        replace(_loop_operand(name, i, loops, dims), itemsize=step.read_type(i).size_bytes)
        for i, name in enumerate("ab")
    )
    once = {f"{name}_once": int(loops[-1].steps[i] == 0) for i, name in enumerate("ab")}
    return TiledKernel(
        function=function,
        axes=axes,
        split=(f"i{max(last - 1, 0)}",),
        unit_axes=tuple(f"i{d}" for d in range(last - 1)),
        operands=(*reads, *table_operand(step), y),
        op={**step.wide_flags("a", "b", "y"), **op, **once},
        tile=lambda regions: _int16_tile_fields(regions, loops),
        work=work,
        order=order_of(axes) if len(loops) == 1 else None,
    )


def is_large_sum(step: QuantizedNode) -> bool:
    """Return whether an int16 sum is large enough for nine cores."""
    return step.has_int16 and is_large(AS_MACS * math.prod(step.out))


def _int16_tile_fields(regions: Mapping[str, Region], loops: Sequence[Loop]) -> Fields:
    y = regions["y"].extent
    a_row, b_row = (
        [0, *_strides_of_loops(regions[name], i, loops)][-2] for i, name in enumerate("ab")
    )
    sizes = {"n": y[-1], "rows": (1, *y)[-2], "a_row": a_row, "b_row": b_row}
    return {"a": "@a", "b": "@b", "y": "@y", **sizes}


def lookup(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a lookup table of 256 entries over all elements of int8."""
    n = math.prod(step.out)
    axes, dims = axes_of((Loop(n, (1,)),))
    y = Operand("y", OUT, (n,), tuple(dims))
    return TiledKernel(
        function="me_table_s8",
        axes=axes,
        split=("i0",),
        operands=(Operand("x", 0, (n,), tuple(dims)), Operand.whole("table", step.integers.lut), y),
        op={"table": "@table"},
        tile=lambda regions: {"x": "@x", "y": "@y", "n": regions["y"].size},
        work=lambda sizes: row_work(y, sizes, engine.cores, 4.0),
        order=order_of(axes),
    )


TABLE_NUMBERS = 64  # elements per channel from which on one table per channel pays off
WORDS_AROUND_ROW = 3  # overhead of a column or row, in words


def has_long_channels(step: QuantizedNode) -> bool:
    """Return whether one table per channel pays off: int8 channels with many elements."""
    outer, _, inner = outer_inner(step.out, step.attrs["axis"])
    return not step.has_int16 and outer * inner >= TABLE_NUMBERS


def in_tables(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a PReLU with a 256-entry table per channel, tiled on all axes."""
    outer, channels, inner = shape = outer_inner(step.out, step.attrs["axis"])
    axes, (inside,) = axes_of((Loop(inner, (1,)),))
    dims: tuple[AffineExpr, ...] = ((("o", 1),), (("c", 1),), inside)
    per_row = 0 if inner == 1 else WORDS_AROUND_ROW

    def work(sizes: Sizes) -> Any:
        """Return the words of four elements per core, plus the start of each channel or row."""
        rows = sizes["c"] * (1 if inner == 1 else sizes["o"])
        each = sizes["o"] if inner == 1 else np.minimum(inner, 1 + reach(inside, sizes))
        return rows * (each / 4 + per_row) / engine.cores + WORDS_AROUND_ROW

    return TiledKernel(
        function="me_tables_s8",
        axes={"o": outer, "c": channels, **axes},
        split=("o", "c", "i0"),
        operands=(
            Operand("x", 0, shape, dims),
            Operand(
                "tables",
                "tables",
                (channels, 256),
                ((("c", 1),), ()),
                array=_tables_per_channel(step),
            ),
            Operand("y", OUT, shape, dims),
        ),
        op={},
        tile=lambda regions: {
            **rows_tile(regions),
            "channels": regions["x"].extent[1],
            "tables": "@tables",
        },
        work=work,
    )


def _tables_per_channel(step: QuantizedNode) -> Array:
    """Return a lookup table per channel, [C, 256]: the results for every int8 value."""
    every = np.arange(-128, 128)
    columns = [*zip(*step.integers.named(("mult", "offset", "shift")).values(), strict=True)]
    rows = np.array([(every * m + o) >> s for m, o, s in np.array(columns, np.int64)])
    rows = np.where(every < step.integers.x_zero, rows[:-1], rows[-1])
    rows = np.clip(rows, step.low, step.high)
    return np.asarray(rows if step.table is None else step.table[rows + 128], np.int8)


def rows_tile(regions: Mapping[str, Region]) -> Fields:
    """Return the tile struct's fields for a kernel along the middle axis of [outer, axis,
    inner]."""
    outer, _, inner = regions["x"].extent
    return {"x": "@x", "y": "@y", "outer": outer, "inner": inner}
