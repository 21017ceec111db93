# SPDX-License-Identifier: Apache-2.0
"""Tiling of convolutions with products of 16 bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.geometry import Conv2dGeometry, tile_fields
from myoedge.operators.kernel import Fields, Region, TiledKernel
from myoedge.operators.library import rows as dense
from myoedge.operators.library.packing import (
    BLOCK,
    CHANNELS,
    channel_axes,
    packed_channels,
    rows_in_blocks,
    table_operand,
    weight_operands,
)
from myoedge.operators.result_order import ALL_READ_FIRST
from myoedge.targets.chip import Engine

ONE_ROW = 9 / 24  # fraction of a block's int16 instructions that a single window takes
ONE_CHANNEL = 3 / 24  # the same for one channel of a single window
PIXEL_CHANNELS = 32  # ME_PIXEL_CHANNELS: maximum that are shared one by one


def wide_in_tiles(step: QuantizedNode, engine: Engine, conv: Conv2dGeometry) -> TiledKernel:
    """Return the tiled kernel of an int16 convolution, which computes one group after another."""
    c, k, taps = conv.x[-1], conv.y[-1], math.prod(step.integers.weight.shape[1:])
    weights, channels = _pack_int16_weights(step, conv.groups)
    x_size = step.read_type(0).size_bytes
    x = replace(conv.read(()), itemsize=x_size, row_stride="row_stride")
    y = replace(conv.write(CHANNELS), itemsize=step.element_type.size_bytes)
    pixels = x_size == 2 and conv.pointwise
    return TiledKernel(
        function="me_conv_s16",
        axes={**conv.axes(), **channel_axes(k)},
        split=("k", "t0", "t1"),
        unit_axes=("n", "g"),
        operands=(
            x,
            *weight_operands(weights, channels, len(channels) // conv.groups, conv.group),
            *table_operand(step),
            y,
        ),
        op={**conv.fields(c, step), **step.wide_flags("x", "y")},
        tile=lambda regions: _int16_tile_fields(regions, x.itemsize, pixels),
        # sum of me_conv_s16_row_bytes over the windows
        scratch=lambda sizes: (
            sizes["t0"]
            * sizes["t1"]
            * 4
            * (-(-taps // 2) | 1)
            * (1 - _reads_window_in_place(sizes, pixels))
        ),
        work=lambda sizes: _int16_work(
            (sizes["t0"] * sizes["t1"], sizes["k"]),
            (conv.kernel[0], conv.kernel[1] * c),
            engine.cores,
            _reads_window_in_place(sizes, pixels),
        ),
        order=None if pixels and math.prod(conv.y[1:3]) == 1 else ALL_READ_FIRST,
    )


def _reads_window_in_place(sizes: Mapping[str, Any], pixels: bool) -> Any:
    """Return whether the kernel reads its only window from x: one pixel of int16, in few
    channels."""
    few = sizes["k"] * BLOCK <= PIXEL_CHANNELS
    return pixels * (sizes["t0"] * sizes["t1"] == 1) * few


def _pack_int16_weights(step: QuantizedNode, groups: int) -> tuple[Array, Array]:
    """Pack weights and channel numbers for me_conv_s16, group by group."""
    weights = np.split(step.integers.weight.reshape(len(step.integers.weight), -1), groups)
    channels = np.split(packed_channels(step), groups)
    return (
        np.concatenate([wide_weights(rows) for rows in weights]),
        np.concatenate([rows_in_blocks(rows) for rows in channels]),
    )


def wide_weights(weight: Array) -> Array:
    """Pack weights int16 [K, taps] for the int16 kernel: one word per pair of taps, in blocks of
    four channels; zeros fill the last block."""
    rows = rows_in_blocks(weight)
    taps = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).reshape(len(rows) // 4, 4, -1, 2)
    return np.ascontiguousarray(taps.swapaxes(1, 2)).ravel()


def _int16_work(
    results: tuple[Any, Any], window: tuple[int, int], cores: int, in_place: Any
) -> Any:
    """Work in 4 x 4 sums of two taps, with equivalents for results and gathered windows.

    results    windows, and blocks of four channels
    window     rows of taps, and taps per row
    in_place   whether the only window is not gathered, and channels are shared one by one
    """
    (windows, blocks), (rows, in_row) = results, window
    words = -(-rows * in_row // 2)
    units = -(-(-(-windows // dense.PIXELS) * blocks) // cores)
    high = np.minimum(windows, dense.PIXELS)
    sums = units * (np.where(windows < dense.PIXELS, windows * ONE_ROW, 1.0) * words + 6 * high)
    gathered = sums + -(-windows * rows // cores) * (0.13 * in_row + 8)
    one_by_one = -(-blocks * BLOCK // cores) * (ONE_CHANNEL * words + 2)
    return np.where(in_place, one_by_one, gathered)


def _int16_tile_fields(regions: Mapping[str, Region], x_itemsize: int, pixels: bool) -> Fields:
    row_stride = x_itemsize * math.prod(regions["x"].extent[2:])
    fields = {**tile_fields(regions), "row_stride": row_stride}
    y = regions["y"].extent
    if pixels and y[1] == y[2] == 1 and y[4] <= PIXEL_CHANNELS:
        fields["in_place"] = 1
    return {name: fields[name] for name in fields if name != "y_stride"}
