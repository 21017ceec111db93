# SPDX-License-Identifier: Apache-2.0
"""Tiling of depthwise convolutions: weight layout, scratch and cycles of me_depthwise_conv_s8.h."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, ceil_div
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.geometry import Conv2dGeometry, tile_fields
from myoedge.operators.kernel import AffineExpr, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.operators.library.packing import CHANNELS, channel_axes, packed_channels, table_operand
from myoedge.operators.library.pointwise import is_unlimited
from myoedge.operators.result_order import ALL_READ_FIRST, ResultOrder
from myoedge.targets.chip import Engine

TABLE = 0.2  # work of a table lookup, relative to 3 x 3 taps
WIDE_TABLE_CYCLES = 8  # cycles of a table lookup per result
POINTER_WORDS = 2  # words of a pointer on a 64-bit host; on the chip it has one


def packed_depthwise(weight: Array) -> Array:
    """Pack weights int8 [C, k_h, k_w] for me_depthwise_s8: one word (four taps) per channel, in
    blocks of four channels.

    The last block overlaps the one before if C is not a multiple of 4. Taps are in row order; a 3 x
    3 kernel takes one word per column instead.
    """
    channels, k_h, k_w = weight.shape
    if is_3x3(k_h, k_w):
        taps = np.pad(weight.transpose(0, 2, 1), ((0, 0), (0, 0), (0, 1)))
    else:
        flat = weight.reshape(channels, -1)
        taps = np.pad(flat, ((0, 0), (0, -flat.shape[1] % 4))).reshape(channels, -1, 4)
    taps = np.pad(taps, ((0, max(4 - channels, 0)), (0, 0), (0, 0)))
    first = [min(4 * group, len(taps) - 4) for group in range(-(-channels // 4))]
    blocks = [np.ascontiguousarray(taps[c : c + 4].transpose(1, 0, 2)) for c in first]
    return np.stack(blocks).astype(np.int8)


def is_3x3(k_h: int, k_w: int) -> bool:
    return (k_h, k_w) == (3, 3)


def tap_words(k_h: int, k_w: int) -> int:
    """Return the number of 32-bit words that the weights of one channel take, k_h * k_w taps of
    int8."""
    return 3 if is_3x3(k_h, k_w) else -(-k_h * k_w // 4)


def scratch(k_h: int, k_w: int, channels: Any, ow: Any, cores: int) -> Any:
    """Return the scratch bytes of me_depthwise_s8, eight times as in C: over
    all cores, the larger of the copied input strips of one output row and of the pointers to its
    taps.

    k_h, k_w   kernel size
    channels   channels of the tile
    ow         output columns of the tile
    cores      number of cores
    """
    strip = 1 + 4 * (ow + 2)
    lists = 8 * tap_words(k_h, k_w) * POINTER_WORDS + (channels + 3) // 4
    return cores * 4 * (np.maximum(strip, lists) + 1)


def _table_lookup_work(rows: Any, columns: Any, groups: Any, cores: int) -> Any:
    """Work of table lookups, in units of _tile_work."""
    return TABLE * ceil_div(rows * columns * groups, 2 * cores)


def _tile_work(way: str, words: int, rows: Any, columns: Any, groups: Any, cores: int) -> Any:
    """Return the work of a tile, in units of two results of four channels with 3 x 3 taps.

    words    of taps
    groups   of four channels
    """
    if way == "strips":
        return ceil_div(groups * ceil_div(rows, 2), cores) * (columns + 7)
    if way == "rows":
        return ceil_div(groups * rows, cores) * (1.2 * columns + 5)
    if way == "pairs":
        return ceil_div(groups * rows, cores) * (0.78 * columns + 3.2)
    results, windows = ceil_div(rows * columns * groups, cores), ceil_div(rows * columns, cores)
    return 0.6 * results * (words + 1) + 13 * windows


def _kernel_loop(step: QuantizedNode, conv: Conv2dGeometry) -> str:
    """Return which loop of me_depthwise_conv_s8.c runs: "strips" of two rows; "pairs", rows of two
    channels at a time; "rows" of one channel; or "any"."""
    if not is_3x3(*conv.kernel) or conv.dilation != (1, 1):
        return "any"
    if conv.stride == (1, 1):
        return "strips"
    if conv.stride[1] != 2:
        return "any"
    is_paired = conv.x[-1] >= 4 and is_unlimited(step) and not table_operand(step)
    return "pairs" if is_paired else "rows"


def depthwise_in_tiles(step: QuantizedNode, engine: Engine, conv: Conv2dGeometry) -> TiledKernel:
    """Return the tiled kernel of an int8 depthwise convolution. If C is a multiple of 4, so is the
    number of channels of a tile, as weights are packed in blocks of four."""
    c, (k_h, k_w) = conv.x[-1], conv.kernel
    weights = packed_depthwise(step.integers.weight.reshape(c, k_h, k_w))
    table, cut = table_operand(step), c % 4 == 0
    way, words = _kernel_loop(step, conv), tap_words(k_h, k_w)
    whole = -(-c // 4)
    channels: AffineExpr = CHANNELS if cut else ()
    blocks: AffineExpr = (("k", 1),) if cut else ()

    def work(sizes: Sizes) -> Any:
        of_tile = (sizes["t0"], sizes["t1"], sizes.get("k", whole), engine.cores)
        return _tile_work(way, words, *of_tile) + (_table_lookup_work(*of_tile) if table else 0)

    packed = (
        Operand("weights", "weights", (len(weights), weights[0].size), (blocks, ()), array=weights),
        Operand("channels", "channels", (c, 16), (channels, ()), array=packed_channels(step)),
    )
    return TiledKernel(
        function="me_depthwise_conv_s8",
        axes={**conv.axes(), **(channel_axes(c) if cut else {})},
        split=("k", "t0", "t1") if cut else ("t0", "t1"),
        unit_axes=("n",),
        operands=(conv.read(channels), *packed, *table, conv.write(channels)),
        op={**conv.fields(1, step), "narrow": 0, "in_place": 0, "together": 0},
        tile=lambda regions: {**tile_fields(regions), "padded": "@none"},
        scratch=lambda sizes: scratch(
            k_h, k_w, 4 * sizes.get("k", whole), sizes["t1"], engine.cores
        ),
        work=work,
        order=_result_order(way, is_cut=cut),
    )


def _result_order(way: str, *, is_cut: bool) -> ResultOrder | None:
    """Return the order of the results on one core.

    is_cut   whether groups of four channels do not overlap
    """
    if way == "any":
        return ResultOrder(("t0", "t1"))
    if not is_cut:
        return None
    is_strip = way == "strips"  # whose rows are copied first
    return ResultOrder(("t0",), 1 + is_strip, reads_first=is_strip, channels="k")


def wide_packed(weight: Array) -> Array:
    """Pack weights int16 [C, k_h, k_w] for the int16 kernel: one word per tap and pair of channels;
    an odd C is padded with zeros."""
    rows = weight.reshape(len(weight), -1)
    pairs = np.pad(rows, ((0, len(rows) % 2), (0, 0))).reshape(-1, 2, rows.shape[1])
    return np.ascontiguousarray(pairs.swapaxes(1, 2))


def wide_depthwise_in_tiles(
    step: QuantizedNode, engine: Engine, conv: Conv2dGeometry
) -> TiledKernel:
    """Return the tiled kernel of an int16 depthwise convolution. If C is a multiple of 4, so is the
    number of channels of a tile."""
    c, (k_h, k_w), cut = conv.x[-1], conv.kernel, conv.x[-1] % 4 == 0
    channels: AffineExpr = CHANNELS if cut else ()
    table = table_operand(step)

    def halves(sizes: Sizes) -> Any:
        """Input elements that a tile's windows cover, padding included."""
        rows, columns = conv.reach(sizes)
        pixel = 4 * sizes["k"] if cut else c + c % 2
        return rows * columns * (pixel + 2 * (pixel % 16 == 0))  # me_depthwise_s16_pixel

    def work(sizes: Sizes) -> Any:
        """Cycles of one core without stalls: pairs of results of two channels, copied elements."""
        pairs = 2 * sizes["k"] if cut else ceil_div(c, 2)
        turns = ceil_div(sizes["t0"] * pairs, engine.cores) * ceil_div(sizes["t1"], 2)
        rows = ceil_div(sizes["t0"] * pairs, engine.cores)
        looked_up = 2 * WIDE_TABLE_CYCLES * rows * sizes["t1"] if table else 0
        sums = turns * (7 * k_h * k_w + 6 * k_h + 62) + 90 * rows
        return sums + looked_up + 2 * halves(sizes) / engine.cores

    fields = {name: value for name, value in conv.fields(1, step).items() if name != "c"}
    return TiledKernel(
        function="me_depthwise_conv_s16",
        axes={**conv.axes(), **(channel_axes(c) if cut else {})},
        split=("k", "t0", "t1") if cut else ("t0", "t1"),
        unit_axes=("n",),
        operands=(
            replace(conv.read(channels), itemsize=step.read_type(0).size_bytes),
            *_int16_constants(step, conv, channels),
            *table,
            replace(conv.write(channels), itemsize=step.element_type.size_bytes),
        ),
        op={**fields, **step.wide_flags("x", "y")},
        tile=_int16_tile_fields,
        scratch=lambda sizes: 2 * halves(sizes),
        work=work,
        order=ALL_READ_FIRST,
    )


def _int16_constants(
    step: QuantizedNode, conv: Conv2dGeometry, channels: AffineExpr
) -> tuple[Operand, ...]:
    """Operands for weights, of four or two channels per block, and for the numbers of each
    channel."""
    c, taps = conv.x[-1], math.prod(conv.kernel)
    packed = wide_packed(step.integers.weight.reshape(c, *conv.kernel))
    weights = packed.reshape(-1, 4 * taps if channels else 2 * taps)
    each = np.pad(packed_channels(step), ((0, c % 2), (0, 0)))
    blocks: AffineExpr = (("k", 1),) if channels else ()
    return (
        Operand("weights", "weights", weights.shape, (blocks, ()), itemsize=2, array=weights),
        Operand("channels", "channels", (len(each), 16), (channels, ()), array=each),
    )


def _int16_tile_fields(regions: Mapping[str, Region]) -> Fields:
    unused = ("row_stride", "y_stride")
    return {name: value for name, value in tile_fields(regions).items() if name not in unused}
