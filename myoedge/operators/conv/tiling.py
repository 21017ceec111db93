# SPDX-License-Identifier: Apache-2.0
"""Convolutions in tiles: dense ones, depthwise ones, and those of 16 bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv import depthwise
from myoedge.operators.conv import int16 as wide_conv
from myoedge.operators.conv.depthwise import packed_depthwise
from myoedge.operators.conv.geometry import Spatial
from myoedge.operators.kernel import Dim, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.operators.products import gemm as dense
from myoedge.operators.products.int16 import wide_rows
from myoedge.operators.products.packing import (
    CHANNELS,
    channel_axes,
    packed_channels,
    packed_weights,
    weight_operands,
    with_table,
)
from myoedge.operators.products.row_tiling import is_large_product, rows_in_place, rows_in_tiles
from myoedge.targets.chip import Engine

FEW_CHANNELS = 64  # up to here images are brought in with their padding, which is faster
PADDED_BYTE = 0.06  # of a word of 4 x 4 sums: a byte that is copied between its padding
TABLE = 1.5  # times the work of a depthwise convolution, where results are looked up
CROSSING = 1.35  # times the work, where windows are read as they lie, across words
TOGETHER_BYTES = 64 << 10  # of scratch in which every core gathers windows for itself, at most


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Axes t0 and t1 of the results, k in blocks of channels; groups one after another."""
    groups = step.attrs["groups"]
    if step.weight_type == INT16:
        return wide_in_tiles(step, engine, Spatial.of(step))
    if step.element_type == INT16:
        taps = math.prod(step["weight"].shape[1:])
        return wide_rows(step, engine, math.prod(step.out[:-1]), taps, step.out[-1])
    if 1 < groups == step.shapes[0][-1] == step.out[-1]:
        return _depthwise_in_tiles(step, engine, Spatial.of(step))
    conv = Spatial.of(step, groups)
    if conv.pointwise and groups == 1:
        return rows_in_tiles(step, engine, math.prod(step.out[:-1]), conv.x[-1], conv.y[-1])
    return _dense_in_tiles(step, engine, conv.flat() if conv.pointwise else conv)


def is_large_pointwise(step: QuantizedNode) -> bool:
    """Whether nine cores share a convolution: one whose results are each made of one position."""
    narrow = step.weight_type != INT16 and step.element_type != INT16
    if not narrow or step.attrs["groups"] > 1:
        return False
    conv = Spatial.of(step)
    rows = math.prod(step.out[:-1])
    return conv.pointwise and is_large_product(rows, conv.x[-1], conv.y[-1])


@dataclass(frozen=True, slots=True)
class _Dense:
    """Windows as me_conv_s8 reads them.

    gather    each core copies those that it multiplies, `room` bytes of scratch for all
    padded    the input is brought in with its padding first
    together  all windows are copied once, by all cores
    table     words that pass while a block's results are looked up
    """

    conv: Spatial
    windows: dense.Windows
    gather: bool
    padded: bool
    together: bool
    room: int
    table: int
    cores: int

    @staticmethod
    def of(step: QuantizedNode, conv: Spatial, cores: int, *, once: bool = False) -> _Dense:
        """once: whatever is faster, all windows are copied once"""
        c = conv.x[-1]
        reaches_over = conv.pads != ((0, 0), (0, 0))
        few = c <= FEW_CHANNELS and conv.kernel[0] > 1
        room, padded = dense.scratch(conv.taps, cores), conv.narrow or (few and reaches_over)
        return _Dense(
            conv,
            conv.windows(),
            gather=not conv.pointwise or c % 4 != 0,
            padded=padded and not once,
            together=once or (room > TOGETHER_BYTES and c % 4 == 0 and not conv.pointwise),
            room=room,
            table=dense.TABLE if step.table is not None else 0,
            cores=cores,
        )

    @property
    def has_edges(self) -> bool:
        """Whether windows reach over the edges of what lies there."""
        return self.conv.pads != ((0, 0), (0, 0)) and not self.padded

    def work(self, sizes: Sizes) -> Any:
        """Words of taps of 4 x 4 sums, and what takes as long: windows that are copied, padding."""
        rows, columns, words = sizes["t0"] * sizes["t1"], sizes["t1"], self.windows.words
        blocks = dense.shared_windows_work if self.together else dense.block_work
        found = blocks(rows, sizes["k"], words + self.table, self.cores)
        copied = sizes["k"] if not self.together else 1  # else by all cores together
        found = found + dense.gather_work(rows, columns, copied, self.windows, self.cores)
        if self.has_edges:
            edges = self.conv.edge_share * rows / self.cores
            found = found + edges * (dense.EDGE + dense.EDGE_WORD * words)
        if self.padded:
            found = found + self.conv.padded_bytes(sizes) / self.cores * PADDED_BYTE
        return found * (CROSSING if self.windows.crossing else 1.0)

    def scratch(self, sizes: Sizes) -> Any:
        if self.padded:
            return self.room + self.conv.padded_bytes(sizes)
        if self.together:
            return sizes["t0"] * sizes["t1"] * dense.stride(self.conv.taps)
        return self.room if self.gather else 0

    def fields(self, regions: Mapping[str, Region]) -> Fields:
        padded = f"@scratch+{self.room}" if self.padded else "@none"
        return {**_tile_fields(regions), "padded": padded}


def gathered_once(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """A core's own copies of windows are the most of scratch: here all cores share one of each."""
    conv = Spatial.of(step, step.attrs["groups"])
    if conv.pointwise and conv.groups == 1:
        return rows_in_place(step, engine, math.prod(step.out[:-1]), conv.x[-1], conv.y[-1])
    return _dense_in_tiles(step, engine, conv.flat() if conv.pointwise else conv, once=True)


def has_wide_windows(step: QuantizedNode) -> bool:
    """Whether a convolution is of int8, and rows of its windows are not read as a word each."""
    int8 = step.weight_type != INT16 and step.element_type != INT16
    return int8 and not Spatial.of(step, step.attrs["groups"]).narrow


def _dense_in_tiles(
    step: QuantizedNode, engine: Engine, conv: Spatial, *, once: bool = False
) -> TiledKernel:
    c, k = conv.x[-1], conv.y[-1]
    arrays = {"weights": _packed(step["weight"], conv), "channels": packed_channels(step)}
    table, how = with_table(step, arrays), _Dense.of(step, conv, engine.cores, once=once)
    weights = weight_operands(arrays, k, conv.group)
    ways = {"narrow": int(conv.narrow), "together": int(how.together)}
    return TiledKernel(
        function="me_conv_s8",
        kernel_waits=True,
        axes={**conv.axes(), **channel_axes(k)},
        split=("k", "t0", "t1"),
        unit_axes=("n", "g"),
        operands=(conv.read(()), *weights, *table, conv.write(CHANNELS)),
        op={**conv.fields(c, step), **ways},
        tile=how.fields,
        arrays=arrays,
        scratch=how.scratch,
        work=how.work,
    )


def wide_in_tiles(step: QuantizedNode, engine: Engine, conv: Spatial) -> TiledKernel:
    """Products of 16 bits."""
    c, k, taps = conv.x[-1], conv.y[-1], math.prod(step["weight"].shape[1:])
    arrays = wide_conv.arrays(step)
    table = with_table(step, arrays)
    wide = {"x_wide": step["x_wide"], "y_wide": step.element_type.size_bytes - 1}
    x, y = replace(conv.read(()), itemsize=1 + wide["x_wide"]), conv.write(CHANNELS)
    return TiledKernel(
        function="me_conv_s16",
        axes={**conv.axes(), **channel_axes(k)},
        split=("k", "t0", "t1"),
        unit_axes=("n", "g"),
        operands=(
            x,
            *wide_conv.weight_operands(arrays),
            *table,
            replace(y, itemsize=step.element_type.size_bytes),
        ),
        op={**conv.fields(c, step), **wide},
        tile=_wide_tile,
        arrays=arrays,
        scratch=lambda sizes: sizes["t0"] * sizes["t1"] * wide_conv.row_bytes(taps),
        work=lambda sizes: wide_conv.work(
            sizes["t0"] * sizes["t1"], sizes["k"], conv.kernel[0], conv.kernel[1] * c, engine.cores
        ),
    )


def _wide_tile(regions: Mapping[str, Region]) -> Fields:
    fields = _tile_fields(regions)
    return {name: fields[name] for name in fields if name not in ("row_stride", "y_stride")}


def _packed(weight: Array, conv: Spatial) -> Array:
    """Group by group."""
    groups = weight.reshape(conv.groups, conv.y[-1], -1)
    if conv.narrow:  # a zero behind the three taps of a row
        rows = weight.reshape(conv.groups, conv.y[-1], conv.kernel[0], 3)
        groups = np.pad(rows, ((0, 0), (0, 0), (0, 0), (0, 1)))
    return np.concatenate([packed_weights(group) for group in groups])


def _depthwise_in_tiles(step: QuantizedNode, engine: Engine, conv: Spatial) -> TiledKernel:
    """Channels are cut in fours where they are a multiple of it: as their weights are packed."""
    c, (k_h, k_w) = conv.x[-1], conv.kernel
    weights = packed_depthwise(step["weight"].reshape(c, k_h, k_w))
    arrays: dict[str, Array] = {"weights": weights, "channels": packed_channels(step)}
    table = with_table(step, arrays)
    cut = c % 4 == 0
    way, words = (
        depthwise.way(conv.kernel, conv.stride, conv.dilation),
        depthwise.tap_words(k_h, k_w),
    )
    looked_up, whole = TABLE if table else 1.0, -(-c // 4)
    channels: Dim = CHANNELS if cut else ()
    blocks: Dim = (("k", 1),) if cut else ()
    packed = (
        Operand("weights", "weights", (len(weights), weights[0].size), (blocks, ())),
        Operand("channels", "channels", (c, 16), (channels, ())),
    )
    return TiledKernel(
        function="me_depthwise_conv_s8",
        axes={**conv.axes(), **(channel_axes(c) if cut else {})},
        split=("k", "t0", "t1") if cut else ("t0", "t1"),
        unit_axes=("n",),
        operands=(conv.read(channels), *packed, *table, conv.write(channels)),
        op={**conv.fields(1, step), "narrow": 0, "together": 0},
        tile=lambda regions: {**_tile_fields(regions), "padded": "@none"},
        arrays=arrays,
        scratch=lambda sizes: depthwise.scratch(
            k_h, k_w, 4 * sizes.get("k", c), sizes["t1"], engine.cores
        ),
        work=lambda sizes: (
            looked_up
            * depthwise.work(
                way, words, sizes["t0"], sizes["t1"], sizes.get("k", whole), engine.cores
            )
        ),
    )


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    x, y = regions["x"], regions["y"]
    return {
        "x": "@x",
        "h": x.extent[1],
        "w": x.extent[2],
        "pad_top": x.before[1],
        "pad_left": x.before[2],
        "row_stride": math.prod(x.extent[2:]),
        "weights": "@weights",
        "channels": "@channels",
        "y": "@y",
        "oh": y.extent[1],
        "ow": y.extent[2],
        "k": y.extent[4],
        "y_stride": y.extent[4],
        "scratch": "@scratch",
    }
