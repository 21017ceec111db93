# SPDX-License-Identifier: Apache-2.0
"""Products of two activations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.flat import Loop, collapse_loops
from myoedge.numerics.arrays import Array, ceil_div, round_up
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.requant import exact_matmul
from myoedge.operators.attributes import FLAG, optional
from myoedge.operators.base import QuantizedNode, QuantizeInputs, add_operator
from myoedge.operators.common_rules import (
    ProductParams,
    product_requant,
    row_products,
    with_requant,
)
from myoedge.operators.format import INT8_ALONE, LIMITED, int16_where
from myoedge.operators.kernel import (
    CLUSTER,
    OUT,
    AffineExpr,
    Fields,
    Kernel,
    Operand,
    Region,
    Sizes,
    TiledKernel,
)
from myoedge.operators.kernel_formats import low_scratch_fallback, on_nine_cores
from myoedge.operators.library import rows as dense
from myoedge.operators.library.ne16_rules import sums_on_ne16
from myoedge.operators.library.packing import CHANNELS, channel_axes, scale_fields, table_operand
from myoedge.operators.library.pointwise import broadcast_steps
from myoedge.operators.library.rows import is_large_product
from myoedge.operators.linear.ne16_matmul import batch_axes, batched_tile, is_packed, matmul_on_ne16
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import ByHand, Constants, Operands
from myoedge.targets.chip import Engine

SUM_BITS = 30  # bits of a sum before requantisation, without the sign
FACTOR_MAX = 2**15  # largest |operand minus zero point|, stored as int16
TOO_LARGE = 2**32  # bound of other sums: E117
AROUND = 12.0  # overhead per sum, in words of taps


def quantize(inputs: QuantizeInputs) -> ProductParams | None:
    """Return the constants of a matrix product with 64-bit sums, which are shifted right to 31
    bits; None if all operands are int8."""
    a, b, y = inputs.params(0), inputs.params(1), inputs.target
    if not inputs.has_int16(2):
        return None
    reach = [255 if q.element_type == INT8 else q.reach for q in (a, b)]
    bound = inputs.shapes[0][-1] * reach[0] * reach[1]
    drop = max(bound.bit_length() - SUM_BITS, 0)
    numbers = {"a_zero": a.zero_point, "b_zero": b.zero_point, "drop": drop}
    factor = a.scale * b.scale / y.scale * 2.0**drop
    found = with_requant(ProductParams, inputs, factor, (bound >> drop) + 1, numbers)
    if max(reach) > FACTOR_MAX:
        return replace(found, acc_bound=TOO_LARGE)
    return found


def in_tiles(step: QuantizedNode, engine: Engine, narrow: TiledKernel) -> TiledKernel:
    """Return the int16 kernel of a matrix product, with the loops and operands of the int8 kernel
    `narrow`."""
    numbers = ("a_zero", "b_zero", "mult", "offset", "shift", "drop")
    kinds = {"a": step.read_type(0), "b": step.read_type(1), "y": step.element_type}
    c = step.shapes[0][-1]
    return replace(
        narrow,
        function="me_matmul_s16",
        kernel_waits=False,
        operands=tuple(
            replace(x, itemsize=kinds[x.name].size_bytes) if x.name in kinds else x
            for x in narrow.operands
        ),
        op={
            "c": c,
            **step.wide_flags("a", "b", "y"),
            **step.integers.named(numbers),
            "b_transposed": narrow.op["b_transposed"],
            **scale_fields(step),
        },
        tile=lambda regions: {
            name: value for name, value in narrow.tile(regions).items() if name != "packed"
        },
        scratch=lambda tile: 2 * (4 * tile["k"] + engine.cores) * round_up(c, 2),
        work=lambda tile: _tile_work(step, engine.cores, tile),
        nine_cores=None,
    )


def _tile_work(step: QuantizedNode, cores: int, tile: Sizes) -> Any:
    """Work units: words of two taps of a core's sums, and copied elements: columns of b, and rows
    of a unless read in place."""
    c, columns = step.shapes[0][-1], 4 * tile["k"]
    sums = -(-tile["m"] * columns // cores) * (c / 2 + AROUND)
    copied = -(-columns // cores) + (
        0 if step.read_type(0) == INT16 and c % 2 == 0 else tile["m"] / cores + 1
    )
    return sums + copied * c


ODD_TAPS = 60.0  # extra work of a tile with leftover taps, in words of taps of 4 x 4 sums

BLOCK_WORDS = 16.0  # overhead of four results read in place, in words of taps
SMALL_MACS = 2048  # MACs per product, above which packing is faster


def _has_transposed_b(attrs: Attrs) -> bool:
    """Return whether b is stored as rows [..., K, C] instead of [..., C, K]."""
    return bool(attrs.get("b_turned", False))


def _columns_of_b(attrs: Attrs, b: Array) -> Array:
    """Return b as [..., C, K]."""
    return np.swapaxes(b, -1, -2) if _has_transposed_b(attrs) else b


def matmul_shape(attrs: Attrs, a: Shape, b: Shape) -> Shape:
    columns = b[-2 if _has_transposed_b(attrs) else -1]
    return (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], columns)


def matmul_quantize(inputs: QuantizeInputs) -> ProductParams:
    wide = quantize(inputs)
    if wide is not None:
        return wide
    reach = inputs.params(0).reach * inputs.params(1).reach
    return product_requant(inputs, inputs.shapes[0][-1] * reach)


def matmul_integer(step: QuantizedNode, a: Array, b: Array) -> Array:
    """Multiply a [..., M, C] by b [..., C, K], or by a transposed b [..., K, C], in integers;
    return int8 or int16 [..., M, K]."""
    centred = a.astype(np.int64) - step.integers.a_zero
    columns = _columns_of_b(step.attrs, b).astype(np.int64)
    acc = exact_matmul(centred, columns - step.integers.b_zero)
    return step.requantize(acc >> (step.integers.drop or 0))


def matmul_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a batched matrix product; tiles divide rows m of a, and columns k
    of b in multiples of four, in one batch at a time."""
    (*_, m, c), n = step.shapes[0], step.out[-1]
    loops = _batch_loops(step)
    batch = {f"b{d}": loop.extent for d, loop in enumerate(loops)}
    a = _batched_operand("a", 0, loops, (m, c), ((("m", 1),), ()))
    turned = _has_transposed_b(step.attrs)
    inner: tuple[AffineExpr, ...] = (CHANNELS, ()) if turned else ((), CHANNELS)
    b = _batched_operand("b", 1, loops, (n, c) if turned else (c, n), inner)
    lead = tuple(((axis, 1),) for axis in batch)
    y = Operand("y", OUT, (*batch.values(), m, n), (*lead, (("m", 1),), CHANNELS))
    gathered = dense.scratch(c, engine.cores) if c % 4 else 0
    numbers = ("a_zero", "b_zero", "mult", "offset", "shift")
    tiled = TiledKernel(
        function="me_matmul_s8",
        kernel_waits=True,
        axes={**batch, "m": m, **channel_axes(n)},
        split=("k", "m"),
        unit_axes=tuple(batch),
        innermost_axes=("m",),
        operands=(a, b, *table_operand(step), y),
        op={
            "c": c,
            **step.integers.named(numbers),
            "b_transposed": int(turned),
            **scale_fields(step),
        },
        tile=_batch_tile_fields,
        scratch=lambda sizes: 4 * sizes["k"] * (round_up(c, 4) + 16) + gathered,
        work=partial(_block_work, step, engine.cores),
        nine_cores=engine.control_core,
    )
    return in_tiles(step, engine, tiled) if step.has_int16 else tiled


def _batch_loops(step: QuantizedNode) -> tuple[Loop, ...]:
    """Return the loops over products, and the operands' offsets per iteration."""
    steps = [broadcast_steps(s[:-2], step.out[:-2], s[-2] * s[-1]) for s in step.shapes]
    return collapse_loops(step.out[:-2], steps)


def _matmul_on_ne16(step: QuantizedNode, engine: Engine) -> TiledKernel:
    return matmul_on_ne16(matmul_in_tiles(step, engine), step, _batch_loops(step))


def _block_work(step: QuantizedNode, cores: int, sizes: Sizes) -> Any:
    """Work units: blocks of sums, copied rows of a, the zero point of b, and columns of b, packed
    four at a time; taps after the last word cost more, because their code is not in the instruction
    cache."""
    (*_, m, c), zero = step.shapes[0], step.integers.b_zero != 0
    windows = dense.Windows(-(-c // 4), copied=c % 4 != 0, rest=c % 4)
    words = windows.words + (dense.TABLE if step.table is not None else 0)
    column_words = -(-c // 4) * (0.5 if _has_transposed_b(step.attrs) else 1.0)
    packed = (ODD_TAPS if c % 4 else 0.0) + -(-sizes["k"] // cores) * (column_words + 10)
    return (
        dense.block_work(sizes["m"], sizes["k"], words, cores)
        + dense.gather_work(sizes["m"], sizes["m"], sizes["k"], windows, cores)
        + (round_up(sizes["m"], 4) / cores * (10 + 0.1 * windows.words) if zero else 0)
        + packed * sizes["m"] / m
    )


def _tile_in_place(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the kernel that reads operands in place; tiles divide only batches, and the cores
    share the results of all products of a tile."""
    tiled, loops, (m, n) = matmul_in_tiles(step, engine), _batch_loops(step), step.out[-2:]
    batches = batch_axes(tiled)
    moves = loops[-1].steps if batches else (0, 0)
    words = ceil_div(step.shapes[0][-1], 4) + BLOCK_WORDS

    def work(sizes: Sizes) -> Any:
        count = sizes[batches[-1]] if batches else 1
        return ceil_div(count * ceil_div(m, 4) * n, engine.cores) * words

    return replace(
        tiled,
        function="me_matmul_in_place_s8",
        kernel_waits=False,
        split=tuple(batches[-1:]),
        unit_axes=tuple(batches[:-1]),
        innermost_axes=(),
        tile=lambda regions: batched_tile(regions, moves),
        scratch=lambda sizes: 0,
        work=work,
        nine_cores=None,
    )


def _has_small_products(step: QuantizedNode) -> bool:
    """Return whether a layer is many products, each too small for eight cores."""
    *batches, m, n = step.out
    is_small = m * n * step.shapes[0][-1] <= SMALL_MACS
    return math.prod(batches) > 1 and is_small and not step.has_int16


def _batched_operand(
    name: str, number: int, loops: Sequence[Loop], shape: Shape, dims: tuple[AffineExpr, ...]
) -> Operand:
    """Return an operand with a dimension for every batch loop that moves it."""
    moves = [d for d, loop in enumerate(loops) if loop.steps[number]]
    lead = tuple(loops[d].extent for d in moves)
    index = tuple(((f"b{d}", 1),) for d in moves)
    return Operand(name, number, (*lead, *shape), (*index, *dims))


def _batch_tile_fields(regions: Mapping[str, Region]) -> Fields:
    (m, c), n = regions["a"].extent[-2:], regions["y"].extent[-1]
    places: Fields = {"a": "@a", "b": "@b", "y": "@y", "scratch": "@scratch"}
    strides: Fields = {"a_stride": c, "b_stride": regions["b"].extent[-1], "y_stride": n}
    packed = int(regions["a"].start[-2] > 0)
    return {**places, "m": m, "n": n, **strides, "packed": packed}


def _matmul_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Stream along batch axes, rows of a, columns of b; not along the summed axis."""
    rank, turned = len(at.shapes[at.operand]), at.operand == 1 and _has_transposed_b(at.attrs)
    if at.axis == rank - 1 - (at.operand and not turned):
        return None
    made = at.axis + turned if at.axis == rank - 2 else at.axis
    return StreamingRule(made + max(map(len, at.shapes)) - rank)


def _is_large_matmul(step: QuantizedNode) -> bool:
    large = is_large_product(step.out[-2], step.shapes[0][-1], step.out[-1])
    return large and not step.has_int16


MATMUL = add_operator(
    name="matmul",
    attributes={"b_turned": optional(FLAG)},
    doc="product of two activations, batch axes broadcast; the right one as columns or rows",
    shape=matmul_shape,
    real=lambda attrs, a, b: np.asarray(np.matmul(a, _columns_of_b(attrs, b))),
    integer=ByHand(matmul_integer),
    constants=Constants(matmul_quantize, kinds=(ProductParams,)),
    kernels=(
        *on_nine_cores(matmul_in_tiles, _is_large_matmul, *int16_where(LIMITED)),
        sums_on_ne16(_matmul_on_ne16, INT8_ALONE, is_packed),
        Kernel(CLUSTER, _tile_in_place, _has_small_products, (INT8_ALONE,)),
        low_scratch_fallback(_tile_in_place, INT8_ALONE),
    ),
    epilogue=True,
    macs=row_products,
    operands=Operands(nearly_symmetric=(1,)),
    streaming_rule=_matmul_streaming_rule,
)
